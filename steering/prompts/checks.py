"""What a prompt wishes for, without what is said twice, and sentences on what cannot be."""

import re
from dataclasses import dataclass

from ..relations import DIRECTIONS, NOWHERE, OPPOSITE, PLACES
from ..words import Phrase, Wish


@dataclass(frozen=True)
class Parsed:
    """A prompt's wishes in the order of the text, and sentences for its user."""

    prompt: str
    wishes: tuple[Wish, ...]
    warnings: tuple[str, ...]


def checked(prompt: str, found: list[Wish], doubts: tuple[tuple[Wish, Wish], ...] = ()) -> Parsed:
    """The wishes without those said twice, with warnings of these, of contradictions and of doubts: what may be
    meant as another wish.

    Phrases of the same words are the same thing here, but for the two ends of one wish, and "a fish" said again is
    another fish where it comes to contradictions. A place is a direction from the picture's middle.
    """
    said: dict[tuple, Wish] = {}
    # (axis, thing) -> the things further along that axis
    after: dict[tuple, list[tuple[tuple, Wish]]] = {}
    first: dict[str, tuple[int, int]] = {}
    kept, warnings = [], []
    for wish in found:
        a, *objects = (phrase.name for phrase in wish.things)
        b, c = [*objects, "", ""][:2]
        relation, itself = wish.relation, wish.object.span if wish.object and b == a else None
        if earlier := said.get((a, relation, itself or b, c)):
            if wish.object is None and earlier.subject != wish.subject:
                kept.append(wish)  # "a dog on the left, another dog"
                continue
            warnings.append(f'"{wish}" says the same as "{earlier}", so it counts once.')
            continue
        one = _which(prompt, wish.subject, first, placed=wish.object is None)
        other = _which(prompt, wish.object, first) if wish.object else "the picture"
        other = wish.object.span if wish.object and one == other else other
        direction = DIRECTIONS.get(relation) or PLACES.get(relation, NOWHERE)
        steps = [((axis, one), (axis, other))[::-s] for axis, s in enumerate(direction) if s]
        earlier = next(filter(None, (_way(after, end, begin) for begin, end in steps)), None)
        if earlier and earlier.things == wish.things:
            earlier = None  # "shelves above and below a counter"
        elif earlier:
            warnings.append(
                f'"{wish}" contradicts "{earlier}": a picture can follow only one. Take one out, or call one thing '
                '"another" if two are meant.'
            )
        else:
            for begin, end in steps:
                after.setdefault(begin, []).append((end, wish))
        kept.append(wish)
        said[a, relation, itself or b, c] = wish
        if relation in OPPOSITE:
            said[itself or b, OPPOSITE[relation], a, ""] = wish
        if c:
            said[a, relation, c, b] = wish
    for wish, other in doubts:
        lines = "\n".join(_line(prompt, other if one == wish else one) for one in kept)
        warnings.append(f'"{wish}" may be meant as "{other}". If so, paste into corrections:\n{lines}')
    return Parsed(prompt, tuple(kept), tuple(warnings))


def _line(prompt: str, wish: Wish) -> str:
    """As it is written into corrections, "dog#2 | left of | cat"."""
    names = []
    for phrase in wish.things:
        same = re.finditer(rf"(?<![\w-]){re.escape(phrase.text)}(?![\w-])", prompt, re.IGNORECASE)
        number = 1 + sum(match.start() < phrase.span[0] for match in same)
        names.append(phrase.text if number == 1 else f"{phrase.text}#{number}")
    subject, *objects = names
    return " | ".join([subject, wish.relation, *([" and ".join(objects)] if objects else [])])


def _which(prompt: str, phrase: Phrase, first: dict[str, tuple[int, int]], placed: bool = False) -> object:
    """What tells the thing from others: its words, or its place in the text where these mean another one."""
    begin = phrase.span[0]
    again = first.setdefault(phrase.name, phrase.span) != phrase.span
    # "a fish above a reef and a fish below it", "clouds above the hill, clouds below it"
    other = re.search(
        r"(?:^|\W)(?:an?|another|one|other|second)\s+$", prompt[max(begin - 10, 0) : begin], re.IGNORECASE
    )
    bare = re.search(r"(?:^|[,.;:(]|\band)\s*$", prompt[max(begin - 10, 0) : begin]) and (
        placed or phrase.name.endswith("s")
    )
    # "the robot on the left is tin, the robot on the right is wood"
    told = placed and re.match(r"\s+(?:on|at|in|to)\s+the\s", prompt[phrase.span[1] :][:12], re.IGNORECASE)
    words = phrase.name.split()
    return phrase.span if again and (other or bare or told or words[0] in ("one", "another")) else phrase.name


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
