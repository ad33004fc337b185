"""A loss that needs no training and fits any model: where words' maps are bright, against what the wishes mean.

Each word's maps become one distribution over the cells, where its thing is likely to be. What two things make of a
wish is then a sum over their offsets, whose distribution is the cross-correlation of theirs. No classifier, no word of
relation, no model's own layout is in it; but nothing is learned either, so what it reads is less sure than what a
classifier of the model reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..maps import MapLayout, shapes
from ..relations import PLACES, RELATIONS, at_place, points
from ..words import Words
from . import Moment, Score

# Of 2, 4 and 8, on the demo model's tuning pairs: the power that put most things right.
POWER = 4.0
SIZE = 0.3  # of a thing, as a share of the picture's side: unknown here, so a usual one
NEAR = 0.25, 0.6  # distance of the middles: hardly overlapping, to a gap of as much as a thing
MIDDLE = 0.15  # of a thing between two others: at most so far from the middle between them
APART = 0.4  # of these two: at least so far from each other
ON = 0.1, 0.45, 0.25  # on: the middles at least and at most so far above each other, and so far aside
# What can be seen, but "inside" and "around": pulled onto one place, two things became one (bench/README.md).
SERVED = tuple(name for name, relation in RELATIONS.items() if relation.visible and name not in ("inside", "around"))
TAIL = 0.1  # of the picture's side: how fast places count less that are not where the wish is granted


@dataclass(frozen=True)
class GeometryLoss:
    """Satisfaction is the share of places at which a wish is granted. The loss is the negative logarithm of that share,
    in which places nearby count a little, so that things far from where they are wished feel the way."""

    @property
    def layout(self) -> MapLayout | None:
        return None

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return ()

    @property
    def relations(self) -> tuple[str, ...]:
        return SERVED

    def score(self, maps: Tensor, words: Words, moment: Moment) -> Score:
        return granted(places(maps), words)


def granted(likely: Tensor, words: Words) -> Score:
    """How much of the places, (B, words, R, R) of sum 1 each, grants every wish."""
    near, there = [], []
    for wish, pair in zip(words.wishes, words.pairs, strict=True):
        things = [likely[:, word] for word in pair]
        shares = GRANTED[len(things)](wish.relation, *things)
        near.append(shares[0])
        there.append(shares[1])
    return Score(-torch.stack(near, 1).clamp_min(1e-9).log(), torch.stack(there, 1).clamp(0, 1).detach())


def places(maps: Tensor) -> Tensor:
    """Maps (B, words, channels, R, R) -> where each word's thing is likely to be, (B, words, R, R) of sum 1."""
    mean = shapes(maps).mean(2)
    smooth = F.avg_pool2d(mean, 3, 1, 1, count_include_pad=False)  # single cells are noise
    return (POWER * smooth.clamp_min(1e-4).log()).flatten(2).softmax(-1).view_as(mean)


def offsets(subject: Tensor, object: Tensor) -> Tensor:
    """Distributions (B, R, R) -> that of the way from object to subject, (B, 2R - 1, 2R - 1); the middle is no way."""
    return _convolved(subject, object.flip(-1, -2))


def _at_place(relation: str, subject: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of places near and at which the subject is where it should be in the picture, (B,) each."""
    near, there = (kind(relation, subject.shape[-1]).to(subject) for kind in (tail, mask))
    return (subject * near).sum((-1, -2)), (subject * there).sum((-1, -2))


def _granted(relation: str, subject: Tensor, object: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of offsets near and at which the relation holds, (B,) each. Distributions (B, R, R)."""
    side = subject.shape[-1]
    way = offsets(subject, object)
    near, there = (kind(relation, side).to(way) for kind in (tail, mask))
    return (way * near).sum((-1, -2)), (way * there).sum((-1, -2))


def _between(relation: str, subject: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The same for a subject in the middle of two things that are apart."""
    sums = _convolved(first, second)  # of two places: twice their middle
    half = sums.new_tensor([0.5, 1.0, 0.5])
    middles = F.conv2d(sums[:, None], half.outer(half)[None, None], stride=2, padding=1)[:, 0]
    miss = offsets(subject, middles)
    apart = offsets(first, second)
    side = subject.shape[-1]
    shares = [
        (miss * kind("middle", side).to(miss)).sum((-1, -2)) * (apart * kind("apart", side).to(apart)).sum((-1, -2))
        for kind in (tail, mask)
    ]
    return shares[0], shares[1]


# By the number of things.
GRANTED: dict[int, Callable[..., tuple[Tensor, Tensor]]] = {1: _at_place, 2: _granted, 3: _between}


@cache
def mask(relation: str, side: int) -> Tensor:
    """Where a relation holds among the offsets between things of usual size, (2R - 1, 2R - 1), 0 or 1; also "middle"
    and "apart", of which "between" is made. Of a place: its cells of the picture, (R, R)."""
    with torch.inference_mode(False):  # kept for later runs
        if relation in PLACES:
            middles = (torch.arange(side) + 0.5) / side
            x, y = middles.expand(side, -1), middles[:, None].expand(-1, side)
            return torch.as_tensor(at_place(PLACES[relation], x, y)).float()
        steps = torch.arange(1 - side, side) / side
        x, y = steps.expand(len(steps), -1), steps[:, None].expand(-1, len(steps))
        distance = (x * x + y * y).sqrt()
        if relation == "near":
            return ((distance >= NEAR[0]) & (distance <= NEAR[1])).float()
        if relation == "on":
            return ((-y >= ON[0]) & (-y <= ON[1]) & (x.abs() <= ON[2])).float()
        if relation == "middle":
            return (distance <= MIDDLE).float()
        if relation == "apart":
            return (distance >= APART).float()
        return torch.as_tensor(points(relation, x, y, 2 * SIZE, 2 * SIZE)).float()


@cache
def tail(relation: str, side: int) -> Tensor:
    """The same, falling off with the distance to where it holds, to 1/e in TAIL."""
    with torch.inference_mode(False):
        where = mask(relation, side)
        cells = torch.stack(torch.meshgrid(*[torch.arange(len(where)) / side] * 2, indexing="ij"), -1).flatten(0, 1)
        nearest = torch.cdist(cells, cells[where.flatten() > 0]).amin(1)
        return torch.exp(-nearest / TAIL).view_as(where)


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    """(B, H, W) with (B, h, w) in full, (B, H + h - 1, W + w - 1)."""
    size = (a.shape[-2] + b.shape[-2] - 1, a.shape[-1] + b.shape[-1] - 1)
    return torch.fft.irfft2(torch.fft.rfft2(a, size) * torch.fft.rfft2(b, size), size).clamp_min(0)
