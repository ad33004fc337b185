"""Pictures whose things were found -> which wishes they grant, and why not."""

from collections.abc import Sequence
from dataclasses import dataclass

from .relations import DIRECTIONS, NOWHERE, RELATIONS, Box, holds
from .words import Wish


@dataclass(frozen=True)
class Found:
    """A thing that was found in a picture. box: left, top, right, bottom, in px; confidence: 0..1."""

    name: str
    box: Box
    confidence: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """Whether a picture grants a wish; reason: what it shows, for people. there: all of the wish's things were found.
    granted is None where boxes cannot tell."""

    wish: Wish
    there: bool
    granted: bool | None
    reason: str


def judge(found: Sequence[Found], wishes: Sequence[Wish]) -> list[Verdict]:
    """A verdict a wish. Things are known by their names, in any case; of several with one name, the surest counts, and
    two things of one name in a wish are two findings. A missing thing grants nothing. (GenEval's rule, relations.py.)
    """
    return [_verdict(found, wish) for wish in wishes]


def _verdict(found: Sequence[Found], wish: Wish) -> Verdict:
    left = sorted(found, key=lambda one: -one.confidence)
    things: list[Found] = []
    missing: list[str] = []
    for phrase in wish.things:
        thing = next((one for one in left if one.name.lower() == phrase.name), None)
        if thing:
            left.remove(thing)
            things.append(thing)
        else:
            another = any(thing.name.lower() == phrase.name for thing in things)
            missing.append(f"no second {phrase.text}" if another else f"no {phrase.text}")
    if missing:
        return Verdict(wish, False, False, " and ".join(missing))
    boxes = [thing.box for thing in things]
    granted = holds(wish.relation, *boxes)
    if granted is None:
        return Verdict(wish, True, None, f'whether it is "{wish.relation}" cannot be told from boxes')
    if granted:
        return Verdict(wish, True, True, f"{wish.subject.text} {wish.relation} {wish.object_text}")
    if not any(DIRECTIONS.get(wish.relation, NOWHERE)[:2]):
        return Verdict(wish, True, False, f"{wish.subject.text} not {wish.relation} {wish.object_text}")
    straight = [name for name, d in DIRECTIONS.items() if sum(map(abs, d)) == 1 and RELATIONS[name].visible]
    shown = [name for name in straight if holds(name, boxes[0], boxes[1])]
    instead = f"{wish.subject.text} {' and '.join(shown) or 'on'} {wish.object.text}"
    return Verdict(wish, True, False, instead)
