"""Losses: maps -> how far every wish is from being granted. One file a loss.

places: reads where each word's thing is, of any model or one, and asks for all wishes at once (wanted); classifier: the
relation classifier that this pack trains (Learn-to-Steer); published: those of the method's authors; geometry,
infsplign: need no training, any model.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from ..maps import MapLayout
from ..relations import PLACES
from ..words import Wish, Words


@dataclass(frozen=True)
class Moment:
    """When the maps were read. level: noise level, 0 clean to 1 pure noise; step: sampling step, from 0, of `steps`."""

    level: float
    step: int = 0
    steps: int = 1


class Score(NamedTuple):
    """loss: to descend, in units of the loss's own; satisfaction: 0..1, to stop by and to show. Both (B, wishes)."""

    loss: Tensor
    satisfaction: Tensor


class Loss(Protocol):
    """What guidance asks of a loss.

    layout: of the maps that it was trained on; None: any will do. modules: networks that run inside it, moved to the
    maps' device before it is asked. relations: names of those that it can serve.
    """

    @property
    def layout(self) -> MapLayout | None: ...

    @property
    def modules(self) -> tuple[nn.Module, ...]: ...

    @property
    def relations(self) -> tuple[str, ...]: ...

    def score(self, maps: Tensor, words: Words, moment: Moment) -> Score:
        """maps: (B, words, channels, R, R), as strong as the attention is; differentiable."""
        ...


@dataclass(frozen=True)
class Aim:
    """What a run is steered by: a loss, the words whose wishes it is asked about, and the layout of their maps."""

    loss: Loss
    words: Words
    layout: MapLayout


def not_served(loss: Loss, wishes: tuple[Wish, ...]) -> tuple[str, ...]:
    """A sentence for each of the wishes that the loss cannot serve."""
    known = [name for name in loss.relations if name not in PLACES]
    if len(known) < len(loss.relations):
        known.append("places in the picture")
    return tuple(
        f'"{wish}" is not steered: this loss knows only {", ".join(known)}.'
        for wish in wishes
        if wish.relation not in loss.relations
    )
