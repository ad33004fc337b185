"""Recordings: the maps of looks at scenes, on disk and in memory, with where the named things are."""

from dataclasses import dataclass

from torch import Tensor

from .maps import MapLayout


@dataclass(frozen=True)
class Recording:
    """Looks at scenes: of each one word after another, in the order of its prompt's chain.

    layout: of the maps; maps: (words, channels, R, R), half precision, the mean of each made 1 (`maps.shapes`);
    strength: (words, channels), the means that they had; boxes: (words, 4), left, top, right, bottom of each word's
    thing, as shares of the picture's width and height; names: of each word; look: (words,), which look it is of; level,
    true, scene: (looks,), as in dataset.Look; made: how, a sentence each, for the card of what is learnt.
    """

    layout: MapLayout
    maps: Tensor
    strength: Tensor
    boxes: Tensor
    names: tuple[str, ...]
    look: Tensor
    level: Tensor
    true: Tensor
    scene: Tensor
    made: tuple[str, ...]
