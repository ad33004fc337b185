"""The reader of places: one word's maps and the noise level -> where that word's thing is; and its use as a loss.

One network serves every wish that is geometry and any number of things, and no word of a relation can be its label.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..maps import MapLayout, shapes
from ..words import Words
from . import Moment, Score, files
from .geometry import SERVED
from .wanted import asked

SPREADS = (1, 2, 4, 1)  # how far apart the cells are that a convolution takes together


@dataclass(frozen=True)
class PlacesConfig:
    """layout: of the maps that it was trained on; None: those of any model. width: channels."""

    layout: MapLayout | None
    width: int = 48
    notes: dict = field(default_factory=dict)  # how it was trained and measured; for people


class PlaceReader(nn.Module):
    """Residual convolutions over the mean of a word's maps. It reads no single layer, so that any layers will do."""

    def __init__(self, config: PlacesConfig):
        super().__init__()
        self.config = config
        self.first = nn.Conv2d(3, config.width, 3, padding=1)
        self.level = nn.Sequential(nn.Linear(16, 64), nn.SiLU(), nn.Linear(64, config.width))
        self.more = nn.ModuleList(
            [nn.Conv2d(config.width, config.width, 3, padding=spread, dilation=spread) for spread in SPREADS]
        )
        self.last = nn.Conv2d(config.width, 1, 1)

    def forward(self, maps: Tensor, level: Tensor) -> Tensor:
        """maps: (N, channels, R, R); level: noise levels (N,) in 0..1. Returns logits of the cells that the middle of
        the word's thing is in, (N, R * R)."""
        mean = shapes(shapes(maps).mean(1, keepdim=True))
        mean = mean.clamp_min(0).add(1e-6).sqrt() - 1  # maps are peaked: a root keeps one cell from hiding the rest
        side = mean.shape[-1]
        ramp = torch.linspace(-1, 1, side, device=mean.device)
        place = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side)]).expand(len(mean), -1, -1, -1)
        waves = level[:, None] * torch.arange(1, 9, device=level.device) * math.pi
        seen = self.first(torch.cat([mean, place], 1))
        seen = seen + self.level(torch.cat([waves.sin(), waves.cos()], 1))[..., None, None]
        for convolution in self.more:
            seen = seen + F.silu(convolution(F.silu(seen)))
        return self.last(F.silu(seen)).flatten(1)


@dataclass(frozen=True)
class PlacesLoss:
    """Satisfaction is the share of places, as read, at which a wish is granted; the loss as in wanted.py."""

    reader: PlaceReader

    @property
    def layout(self) -> MapLayout | None:
        return self.reader.config.layout

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self.reader,)

    @property
    def relations(self) -> tuple[str, ...]:
        return SERVED

    def score(self, maps: Tensor, words: Words, moment: Moment) -> Score:
        return asked(places(self.reader, maps, moment.level), words)


def places(reader: PlaceReader, maps: Tensor, level: float) -> Tensor:
    """Maps (B, words, channels, R, R) -> where each word's thing is, (B, words, R, R) of sum 1."""
    flat = maps.flatten(0, 1)
    likely = reader(flat, flat.new_full((len(flat),), level)).softmax(-1)
    return likely.view(*maps.shape[:2], *maps.shape[-2:])


def of(file: files.File) -> PlaceReader:
    network = file.network(lambda config: PlaceReader(PlacesConfig(**config)))
    assert isinstance(network, PlaceReader)
    return network
