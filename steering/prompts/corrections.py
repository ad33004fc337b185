"""Wishes written by hand, which take the place of what was read."""

import re

from ..relations import PLACE_OF, PLACES, RELATIONS
from ..words import Phrase, Wish
from .checks import Parsed, checked
from .splitter import pieces

PLACE_NAMES = tuple(PLACES)
NAMES = tuple(name for name in RELATIONS if name not in PLACES)
FORM = 'write "subject | relation | object" or "thing | place", for example "dog | left of | cat".'
# What a language model, or a person, puts before a line: "- dog | left of | cat", "2. dog | left".
BULLET = re.compile(r"^\s*(?:[-*•–]\s+|\d{1,3}[.)]\s+)?")


def override(prompt: str, lines: str) -> Parsed:
    """Wishes by hand, one "subject | relation | object" or "thing | place" a line.

    "dog#2" is the second dog of the prompt; "dog@5-6" gives its rows of the conditioning by hand. What a language model
    writes around such lines is skipped: bullets, bold, and lines without any "|" where others have one; "none" in the
    last line means that there is none.
    Raises ValueError for a line of another form, an unknown relation, or words that are not in the prompt.
    """
    found = []
    numbered = [(number, line) for number, line in enumerate(lines.splitlines(), 1) if line.strip()]
    written = [(number, line) for number, line in numbered if "|" in line]
    if numbered and not written and numbered[-1][1].strip(" .*`").lower() == "none":
        return checked(prompt, [])
    for number, line in written or numbered:
        where = f'Line {number}, "{line.strip()}": '
        parts = [part.strip(" \t`*") for part in BULLET.sub("", line).strip(" \t`|*").split("|")]
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(where + FORM)
        if len(parts) == 2:
            found.append(Wish(_phrase(prompt, parts[0], [], where), _place(parts[1], where)))
            continue
        relation = _relation(parts[1])
        if relation is None:
            allowed = ", ".join(NAMES[:-1]) + " or " + NAMES[-1]
            raise ValueError(where + f'"{parts[1]}" is not a relation. Use {allowed}.')
        if relation == "around" and parts[1].lower().endswith(" by"):
            parts = parts[::-1]  # "castle | surrounded by | moat"
        two = re.split(r"\s+(?:and|&)\s+", parts[2], maxsplit=1)
        names = [parts[0], *(two if relation == "between" else parts[2:])]
        phrases: dict[int, Phrase] = {}
        # The longest first: "dog" is not the dog of "hot dog".
        for k in sorted(range(len(names)), key=lambda k: -len(names[k])):
            taken = [phrase.span for phrase in phrases.values()]
            phrases[k] = _phrase(prompt, names[k], taken, where)
        found.append(Wish(phrases[0], relation, *(phrases[k] for k in range(1, len(names)))))
    return checked(prompt, found)


def _relation(text: str) -> str | None:
    """The relation written so, or None; "left" alone will do."""
    for way in (text, text + " of"):
        found = pieces(way)
        if len(found) == 1 and found[0].kind in ("relation", "adverb", "preposition"):
            return found[0].relation or None
    return None


def _place(text: str, where: str) -> str:
    """The place in the picture written so: "upper left", "top left corner", "in the middle".

    Raises ValueError for other words.
    """
    name = " ".join(text.lower().split())
    found = pieces(name if name.startswith(("in ", "on ", "at ")) else f"in the {name}")
    if len(found) == 1 and found[0].kind == "side" and found[0].place in PLACE_OF:
        return PLACE_OF[found[0].place]
    allowed = ", ".join(PLACE_NAMES[:-1]) + " or " + PLACE_NAMES[-1]
    raise ValueError(where + f'"{text}" is not a place. Use {allowed}.')


# Thai, Lao, Burmese, Khmer, Japanese and Chinese: scripts that write no spaces between words.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"


def _phrase(prompt: str, part: str, taken: list[tuple[int, int]], where: str) -> Phrase:
    """Where the prompt has the part, a phrase with or without "#2" and "@5-6"; not in the spans that are taken.

    Raises ValueError when there is no such place.
    """
    match = re.fullmatch(r"(.+?)\s*(?:#\s*([1-9]\d{0,3}))?\s*(?:@\s*([\d\s,-]+))?", part, re.DOTALL)
    assert match  # any part that is not empty does
    number, rows = match[2], match[3]
    name = re.sub(r"^(?:an?|the)\s+", "", match[1], flags=re.IGNORECASE)
    beside = rf"(?![{UNSPACED}])[\w-]"  # what would make it part of a longer word
    pattern = rf"(?<!{beside})" + r"\s+".join(map(re.escape, name.split())) + rf"(?!{beside})"
    places = [match.span() for match in re.finditer(pattern, prompt, re.IGNORECASE)]
    if not places:
        raise ValueError(where + f'"{name}" is not in the prompt. Write it as it stands there.')
    if number and int(number) > len(places):
        times = "once" if len(places) == 1 else f"{len(places)} times"
        raise ValueError(where + f'"{part}" is not there: the prompt has "{name}" only {times}.')
    places = places[int(number) - 1 :][:1] if number else places
    apart = [span for span in places if all(span[1] <= a or b <= span[0] for a, b in taken)]
    if not apart:
        raise ValueError(
            where + f'"{part}" means words of the prompt that the line has already named. '
            "Name two things, each in its own place there."
        )
    return Phrase(prompt[slice(*apart[0])], apart[0], _rows(rows, part, where) if rows else ())


def _rows(text: str, part: str, where: str) -> tuple[int, ...]:
    """ "5-7, 9" -> (5, 6, 7, 9)"""
    rows: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5}))?\s*", piece)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(where + f'in "{part}", write token positions like "dog@5", "dog@5-6" or "dog@5,8".')
        rows.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(rows))
