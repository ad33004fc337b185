"""InfSplign's loss (arXiv 2512.17851): the middle and the spread of words' maps, against what the wishes mean.

It needs no training. Made for Stable Diffusion's UNet, in whose decoder it reads two levels of three layers each; the
loss as published is theirs number by number, and the one mended differs where their code does what nobody wants:
- "near" pulls things together, by their distance; theirs drives them apart, and looks at one axis only.
- A thing that stands far enough is left alone; theirs, an exact GELU, pulls it back to some distance.
- Every layer has a part in both presence and balance; theirs gives one to each level, which other models do not have.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..maps import MapLayout, ModelLayers
from ..words import Words
from . import Moment, Score
from .geometry import NEAR

# Axis (0: x, 1: y) and sign of the way from object to subject.
WAYS = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
SIDE = 64  # cells that they bring every map to
DECODER = {"SD15": (8, 13), "SD20": (8, 13)}  # its two levels, in the forward order of the model's 16 layers


class Weights(NamedTuple):
    """slope: by which the missing way is multiplied; margin: the way wished for, in sides of the picture; place,
    presence, balance: weights of the terms."""

    slope: float
    margin: float
    place: float
    presence: float
    balance: float


CLI = Weights(0.75, 0.25, 1.0, 1.0, 1.0)  # their command's defaults
JOB = Weights(1.5, 0.25, 0.5, 1.0, 1.0)  # of the script that made their results


@dataclass(frozen=True)
class InfSplignLoss:
    """Satisfaction is the share of the wanted way that there is, 1 where nothing is missing.

    model: whose maps it will be given; published: as their code has it, with its faults.
    """

    model: ModelLayers
    published: bool = False
    weights: Weights = JOB

    @property
    def layout(self) -> MapLayout | None:
        """As published: the decoder's two levels in Stable Diffusion, elsewhere the usual layers; else any."""
        if not self.published:
            return None
        first, last = DECODER.get(self.model.family, self.model.usual)
        return MapLayout(self.model.family, first, last, "averaged", last - first + 1, SIDE)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return ()

    @property
    def relations(self) -> tuple[str, ...]:
        return (*WAYS, "near")

    def score(self, maps: Tensor, words: Words, moment: Moment) -> Score:
        losses, met = [], []
        for wish, (subject, object) in zip(words.wishes, words.pairs, strict=True):
            by_layer, missing = self.by_layer(maps[:, subject], maps[:, object], wish.relation)
            losses.append(by_layer.mean(1))
            met.append(1 - missing.detach().mean(1) / self.weights.margin)
        return Score(torch.stack(losses, 1), torch.stack(met, 1).clamp(0, 1))

    def by_layer(self, subject: Tensor, object: Tensor, relation: str) -> tuple[Tensor, Tensor]:
        """Maps (B, channels, R, R) of two things -> the loss of every channel, and how much of the way is missing, in
        sides of the picture, not more than 0 where nothing is; both (B, channels)."""
        middle, spread = _middle_and_spread(subject)
        other, other_spread = _middle_and_spread(object)
        missing = self._missing(middle - other, relation)
        wrong = self.weights.slope * missing
        wrong = F.gelu(wrong) if self.published else F.relu(wrong)
        presence = self.weights.presence * (spread + other_spread)
        balance = self.weights.balance * (spread - other_spread).abs()
        if self.published:  # the lower level has the one, the higher the other
            half = subject.shape[1] // 2
            rest = torch.cat([presence[:, :half], balance[:, half:]], 1)
        else:
            rest = (presence + balance) / 2
        return self.weights.place * wrong + rest, missing

    def _missing(self, way: Tensor, relation: str) -> Tensor:
        """way: from object to subject, (B, channels, 2)."""
        if relation in WAYS:
            axis, sign = WAYS[relation]
            return self.weights.margin - sign * way[..., axis]
        if self.published:
            return self.weights.margin - way[..., 0].abs()
        distance = (way.square().sum(-1) + 1e-12).sqrt()  # has a gradient at 0 too
        return torch.maximum(distance - NEAR[1], NEAR[0] - distance)


def _middle_and_spread(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (..., R, R) -> x and y of their middle, 0..1, (..., 2), and their variance around it, (...)."""
    share = maps / maps.sum((-1, -2), keepdim=True).clamp_min(1e-30)
    cells = torch.linspace(0, 1, maps.shape[-1], device=maps.device, dtype=maps.dtype)  # both ends included
    x, y = (share * cells).sum((-1, -2)), (share * cells[:, None]).sum((-1, -2))
    squares = (cells - x[..., None, None]).square() + (cells[:, None] - y[..., None, None]).square()
    return torch.stack([x, y], -1), (share * squares).sum((-1, -2))
