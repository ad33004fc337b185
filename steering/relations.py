"""Spatial relations in a prompt: which thing is to be where, and which characters name it.

The reading goes prompt -> pieces (phrases.py, with the words of lexicon.py) -> relations (reader.py).
`python -m steering.relations` reads one prompt a line and writes one JSON object a line.
"""

import json
import re
import sys
from dataclasses import dataclass

from .lexicon import DIRECTIONS, LABELS, OPPOSITE
from .phrases import Phrase, pieces
from .reader import Relation, read


@dataclass(frozen=True)
class Parsed:
    """A prompt's relations in the order of the text, and sentences for its user."""

    prompt: str
    relations: tuple[Relation, ...]
    warnings: tuple[str, ...]


def parse(prompt: str) -> Parsed:
    """The relations that the prompt states, none for many a prompt. Never raises; takes time linear in its length."""
    return _checked(prompt, read(pieces(prompt)))


def override(prompt: str, lines: str) -> Parsed:
    """Relations by hand, one "subject | relation | object" a line.

    "dog#2" is the second dog of the prompt; "dog@5-6" gives its rows of the conditioning by hand.
    Raises ValueError for a line of another form, an unknown relation, or words that are not in the prompt.
    """
    found = []
    for number, line in enumerate(lines.splitlines(), 1):
        if not line.strip():
            continue
        where = f'Line {number}, "{line.strip()}": '
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 3 or not all(parts):
            raise ValueError(
                where + 'write "subject | relation | object", for example "dog | left of | cat".'
            )
        label = _label(parts[1])
        if label is None:
            allowed = ", ".join(LABELS[:-1]) + " or " + LABELS[-1]
            raise ValueError(where + f'"{parts[1]}" is not a relation. Use {allowed}.')
        two = re.split(r"\s+(?:and|&)\s+", parts[2], maxsplit=1)
        names = [parts[0], *(two if label == "between" else parts[2:])]
        phrases: dict[int, Phrase] = {}
        # The longest first: "dog" is not the dog of "hot dog".
        for k in sorted(range(len(names)), key=lambda k: -len(names[k])):
            taken = [phrase.span for phrase in phrases.values()]
            phrases[k] = _phrase(prompt, names[k], taken, where)
        found.append(Relation(phrases[0], label, *(phrases[k] for k in range(1, len(names)))))
    return _checked(prompt, found)


def _label(text: str) -> str | None:
    """The relation written so, or None; "left" alone will do."""
    for way in (text, text + " of"):
        found = pieces(way)
        if len(found) == 1 and found[0].kind in ("relation", "adverb"):
            return found[0].label
    return None


# Thai, Lao, Burmese, Khmer, Japanese and Chinese: scripts that write no spaces between words.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"


def _phrase(prompt: str, part: str, taken: list[tuple[int, int]], where: str) -> Phrase:
    """Where the prompt has the part, a phrase with or without "#2" and "@5-6"; not in the spans that are taken.

    Raises ValueError when there is no such place.
    """
    name, number, rows = re.fullmatch(
        r"(.+?)\s*(?:#\s*([1-9]\d{0,3}))?\s*(?:@\s*([\d\s,-]+))?", part, re.DOTALL
    ).groups()
    name = re.sub(r"^(?:an?|the)\s+", "", name, flags=re.IGNORECASE)
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
            raise ValueError(
                where + f'in "{part}", write token positions like "dog@5", "dog@5-6" or "dog@5,8".'
            )
        rows.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(rows))


def _checked(prompt: str, found: list[Relation]) -> Parsed:
    """The relations without those said twice, with warnings of these and of contradictions.

    Phrases of the same words are the same thing here, but for the two ends of one relation.
    """
    said: dict[tuple, Relation] = {}
    # (axis, thing) -> the things further along that axis
    after: dict[tuple, list[tuple[tuple, Relation]]] = {}
    kept, warnings = [], []
    for relation in found:
        a, b, *second = (phrase.name for phrase in relation.things)
        label, c = relation.label, second[0] if second else None
        if a == b:
            b = relation.object.span
        if earlier := said.get((a, label, b, c)):
            warnings.append(f'"{relation}" says the same as "{earlier}", so it counts once.')
            continue
        direction = DIRECTIONS.get(label, (0, 0, 0, 0))
        steps = [
            ((axis, a), (axis, b)) if s < 0 else ((axis, b), (axis, a))
            for axis, s in enumerate(direction)
            if s
        ]
        earlier = next(filter(None, (_way(after, end, begin) for begin, end in steps)), None)
        if earlier:
            warnings.append(
                f'"{relation}" contradicts "{earlier}": a picture can follow only one. Take one out, or call one thing '
                '"another" if two are meant.'
            )
        else:
            for begin, end in steps:
                after.setdefault(begin, []).append((end, relation))
        kept.append(relation)
        said[a, label, b, c] = relation
        if label in OPPOSITE:
            said[b, OPPOSITE[label], a, None] = relation
        if c:
            said[a, label, c, b] = relation
    return Parsed(prompt, tuple(kept), tuple(warnings))


def _way(after: dict, begin: tuple, end: tuple) -> Relation | None:
    """The last relation on a way from begin to end along one axis, or None when there is no such way."""
    seen, open_ends = {begin}, [begin]
    while open_ends:
        for further, relation in after.get(open_ends.pop(), ()):
            if further == end:
                return relation
            if further not in seen:
                seen.add(further)
                open_ends.append(further)
    return None


def _main() -> None:
    """Reads one prompt a line, writes one JSON object a line."""
    sys.stdin.reconfigure(encoding="utf-8")
    for line in sys.stdin:
        parsed = parse(line.rstrip("\r\n"))
        relations = [
            {"subject": r.subject.text, "relation": r.label, "object": r.object_text,
             "subject_span": r.subject.span, "object_span": r.object_span}
            for r in parsed.relations
        ]  # fmt: skip
        print(
            json.dumps(
                {"prompt": parsed.prompt, "relations": relations, "warnings": parsed.warnings}
            )
        )


if __name__ == "__main__":
    _main()
