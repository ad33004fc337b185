"""Which of a model's layers show where things are, measured on finished pictures."""

from typing import NamedTuple

import torch
from torch import Tensor

from .losses.geometry import places
from .maps import shapes

SLACK = 0.02  # of the best score: a range this near to it that ends sooner costs less and is as good
WIDEST = 8  # layers in a range; more hardly change a mean of maps


class Measured(NamedTuple):
    """scores: of each layer alone, (layers,), 1 for maps wholly where they should be, 0 for maps spread evenly; first,
    last: the range of layers to read, counted from 1; score: that of the range."""

    scores: Tensor
    first: int
    last: int
    score: float


def measure(maps: Tensor, things: Tensor | None = None) -> Measured:
    """Score layers, and every range of them up to WIDEST, by how much of a word's likely place lies on its thing.

    maps: (B, words, layers, R, R), a layer's heads averaged; things: where the words' things are, (B, words, R, R) in
    0..1, zeros where that is not known. None: by how well a range agrees with all layers on what tells the words apart,
    which needs no boxes and misleads where most layers are wrong.
    Raises ValueError where no thing is known.
    """
    if things is None:
        things = _agreed(maps)
    known = things.flatten(2).sum(-1) > 0  # (B, words)
    if not known.any():
        raise ValueError("No layer can be chosen: in none of the pictures was a thing found that the words name.")
    maps = shapes(maps)
    sums = torch.cat([torch.zeros_like(maps[:, :, :1]), maps.cumsum(2)], 2)
    scores: dict[tuple[int, int], float] = {}
    for last in range(1, maps.shape[2] + 1):
        firsts = torch.arange(max(1, last - WIDEST + 1), last + 1)
        means = (sums[:, :, last, None] - sums[:, :, firsts - 1]) / (last - firsts + 1)[:, None, None]
        of_ranges = _score(means, things[:, :, None])[known].mean(0)  # (ranges,)
        scores |= {(one, last): score for one, score in zip(firsts.tolist(), of_ranges.tolist(), strict=True)}
    best = max(scores.values())
    first, last = min(
        (one for one, score in scores.items() if score >= best - SLACK), key=lambda one: (one[1], -scores[one])
    )
    alone = torch.tensor([scores[layer, layer] for layer in range(1, maps.shape[2] + 1)])
    return Measured(alone, first, last, scores[first, last])


def _score(maps: Tensor, things: Tensor) -> Tensor:
    """Maps (B, words, N, R, R) -> how much more of each lies on its thing (B, words, 1, R, R) than of an even map,
    (B, words, N), at most 1."""
    likely = places(maps.flatten(0, 1)[:, :, None]).view_as(maps)
    there, even = (likely * things).sum((-1, -2)), things.mean((-1, -2))
    return (there - even) / (1 - even).clamp_min(1e-6)


def _agreed(maps: Tensor) -> Tensor:
    """Where all layers together see more of a word than of the other words, as (B, words, R, R) of 0 and 1."""
    mean = shapes(maps).mean(2)
    if mean.shape[1] > 1:
        mean = mean - mean.mean(1, keepdim=True)
    highest = mean.flatten(2).quantile(0.85, -1)[..., None, None]
    return (mean >= highest).to(mean.dtype)


def on_grid(box: tuple[float, float, float, float], width: float, height: float, cells: int) -> Tensor:
    """How much of each cell a box covers, (cells, cells) in 0..1. box: left, top, right, bottom, in a picture of that
    width and height."""
    edges = torch.arange(cells + 1, dtype=torch.float32) / cells

    def covered(start: float, end: float, size: float) -> Tensor:
        low, high = start / size, end / size
        return ((edges[1:].clamp_max(high) - edges[:-1].clamp_min(low)).clamp_min(0)) * cells

    return covered(box[1], box[3], height)[:, None] * covered(box[0], box[2], width)[None, :]
