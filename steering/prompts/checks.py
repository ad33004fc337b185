"""What a prompt wishes for, without what is said twice, and sentences on what cannot be."""

from dataclasses import dataclass

from ..relations import DIRECTIONS, NOWHERE, OPPOSITE
from ..words import Wish


@dataclass(frozen=True)
class Parsed:
    """A prompt's wishes in the order of the text, and sentences for its user."""

    prompt: str
    wishes: tuple[Wish, ...]
    warnings: tuple[str, ...]


def checked(prompt: str, found: list[Wish]) -> Parsed:
    """The wishes without those said twice, with warnings of these and of contradictions.

    Phrases of the same words are the same thing here, but for the two ends of one wish.
    """
    said: dict[tuple, Wish] = {}
    # (axis, thing) -> the things further along that axis
    after: dict[tuple, list[tuple[tuple, Wish]]] = {}
    kept, warnings = [], []
    for wish in found:
        a, object, *second = (phrase.name for phrase in wish.things)
        b = object if object != a else wish.object.span
        relation, c = wish.relation, second[0] if second else None
        if earlier := said.get((a, relation, b, c)):
            warnings.append(f'"{wish}" says the same as "{earlier}", so it counts once.')
            continue
        direction = DIRECTIONS.get(relation, NOWHERE)
        steps = [((axis, a), (axis, b)) if s < 0 else ((axis, b), (axis, a)) for axis, s in enumerate(direction) if s]
        earlier = next(filter(None, (_way(after, end, begin) for begin, end in steps)), None)
        if earlier:
            warnings.append(
                f'"{wish}" contradicts "{earlier}": a picture can follow only one. Take one out, or call one thing '
                '"another" if two are meant.'
            )
        else:
            for begin, end in steps:
                after.setdefault(begin, []).append((end, wish))
        kept.append(wish)
        said[a, relation, b, c] = wish
        if relation in OPPOSITE:
            said[b, OPPOSITE[relation], a, None] = wish
        if c:
            said[a, relation, c, b] = wish
    return Parsed(prompt, tuple(kept), tuple(warnings))


def _way(after: dict, begin: tuple, end: tuple) -> Wish | None:
    """The last wish on a way from begin to end along one axis, or None when there is no such way."""
    seen, open_ends = {begin}, [begin]
    while open_ends:
        for further, wish in after.get(open_ends.pop(), ()):
            if further == end:
                return wish
            if further not in seen:
                seen.add(further)
                open_ends.append(further)
    return None
