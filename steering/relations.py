"""Spatial relations in a prompt: which thing is to be where, and which characters name it."""

import json
import re
import sys
from dataclasses import dataclass

STEERABLE = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def _sides(side: str) -> list[str]:
    """Every way to write "left of" or "right of"."""
    leads = ("", "to ", "to the ", "on the ", "at the ")
    return [
        f"{lead}{side}{tail} of"
        for lead in leads
        for tail in ("", " side", " hand side", "-hand side")
    ]


# How each relation is written. A new relation needs a line here and one in OPPOSITE.
SPELLINGS = {
    "left of": _sides("left"),
    "right of": _sides("right"),
    "above": ["above", "over", "atop", "on top of", "on the top of", "at the top of"],
    "below": ["below", "under", "beneath", "underneath", "on the bottom of", "at the bottom of"],
}
LABELS = {
    tuple(spelling.split()): label
    for label, spellings in SPELLINGS.items()
    for spelling in spellings
}
LONGEST = max(map(len, LABELS))


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


DETERMINERS = _set(
    "a an the this that these those one two three four five six seven eight nine ten some several many few all both "
    "each every another no my your his her its our their"
)
JOINS = _set("and & but while")
RELATIVES = _set("which that who")
VERBS = _set(
    "is are was were be being been sits hangs lies hovers appears stays placed located positioned situated"
)
# What a noun phrase never contains.
STOPS = DETERMINERS | JOINS | RELATIVES | VERBS | _set(
    ". , with without in on at by for from to into onto near beside behind between among around through against inside "
    "outside next during as like it he she they them him me you us itself there here above over atop below under "
    "beneath underneath"
)  # fmt: skip
# What a noun phrase may contain but not end with: "a flying bird", "a bird flying above a tree".
LOOSE = _set(
    "sitting standing lying hanging flying floating hovering resting sleeping running walking jumping leaping swimming "
    "perched parked stacked balanced balancing suspended seated mounted soaring gliding towering looming leaning "
    "waiting hidden set sit sat stand stands hang hung lie fly flies float floats rest rests directly just high right "
    "far slightly immediately exactly straight way up down low close only also clearly of"
)
SKIPPED = VERBS | JOINS | RELATIVES | {","}
# "a man wearing a hat left of a cat", "a man in a hat left of a cat" are about the man.
CARRIES = _set(
    "in on wearing holding carrying riding eating drinking reading chasing showing containing"
)
HEADS = _set(
    "photo photograph picture image emoji painting drawing sketch illustration render rendering shot view close-up "
    "closeup portrait icon snapshot scene depiction artwork watercolor cartoon"
)
NOT_BEFORE = _set(
    "of from all left a an the"
)  # "seen from above", "all over", "left over", "the above"
# Bare words that make an idiom of the relation: "above average", "right of way", "under construction".
IDIOMS = _set(
    "average par way passage construction control pressure attack arrest repair time age zero"
)
# With "the", the picture itself or nothing at all: "the left side of the image", "one above the other".
NOT_THINGS = _set(
    "image picture photo frame scene canvas shot composition other others top center centre middle"
)

WEIGHT = re.compile(r":\s*[-+]?\d*\.?\d+(?=\s*[)\]])")  # of ComfyUI's "(a dog:1.2)"
BLANKS = str.maketrans(dict.fromkeys('()[]{}"“”\\', " "))
WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]|[\n\r]")


@dataclass(frozen=True)
class Phrase:
    """A noun phrase without its article, as typed; span: its characters in the prompt, end exclusive."""

    text: str
    span: tuple[int, int]


@dataclass(frozen=True)
class Relation:
    """The subject stands so to the object; label is a key of OPPOSITE."""

    subject: Phrase
    label: str
    object: Phrase

    def __str__(self) -> str:
        return f"{self.subject.text} | {self.label} | {self.object.text}"


@dataclass(frozen=True)
class Parsed:
    """A prompt's relations in the order of the text, and sentences for its user."""

    prompt: str
    relations: tuple[Relation, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    """A word in lower case, "." for a sentence's end or "," for any other mark; start and end in characters."""

    text: str
    start: int
    end: int


def parse(prompt: str) -> Parsed:
    """The relations that the prompt states, none for many a prompt. Never raises."""
    words = _words(prompt)
    found: list[Relation] = []
    previous = None  # the relation before this one in the same sentence
    floor = i = 0  # floor: where this relation's subject can begin
    while i < len(words):
        if words[i].text == ".":
            previous, floor = None, i + 1
        label, end = _relation_at(words, i)
        if label:
            subject, object = (
                _subject(prompt, words, floor, i, previous),
                _object(prompt, words, end),
            )
            if subject and object:
                previous = Relation(subject, label, object)
                found.append(previous)
            floor = end
        i = end
    return _checked(prompt, found)


def override(prompt: str, lines: str) -> Parsed:
    """Relations by hand, one "subject | relation | object" a line; "dog#2" is the second dog of the prompt.

    Raises ValueError for a line of another form, a relation that cannot be steered, or words not in the prompt.
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
        label = LABELS.get(tuple(parts[1].lower().split()))
        if label not in STEERABLE:
            allowed = ", ".join(STEERABLE[:-1]) + " or " + STEERABLE[-1]
            raise ValueError(
                where + f'"{parts[1]}" is not a relation that can be steered. Use {allowed}.'
            )
        subjects, objects = (_occurrences(prompt, part, where) for part in (parts[0], parts[2]))
        # The first two places that do not overlap: with "dog | left of | hot dog", the dog is not the hot dog's.
        pairs = [
            (s, o)
            for s in subjects
            for o in objects
            if s.span[1] <= o.span[0] or o.span[1] <= s.span[0]
        ]
        if not pairs:
            raise ValueError(
                where + f'"{parts[0]}" and "{parts[2]}" are the same words of the prompt. '
                "Name two things, each in its own place there."
            )
        subject, object = pairs[0]
        found.append(Relation(subject, label, object))
    return _checked(prompt, found)


def _words(prompt: str) -> list[_Word]:
    """The prompt's words and marks, without ComfyUI's emphasis."""
    plain = WEIGHT.sub(lambda match: " " * len(match[0]), prompt).translate(
        BLANKS
    )  # as long as the prompt
    words = []
    for match in WORD.finditer(plain):
        text = match[0].lower()
        if not (text[0].isalnum() or text[0] in "_&"):
            text = "." if text in ".!?;\n\r" else ","
        words.append(_Word(text, *match.span()))
    return words


def _relation_at(words: list[_Word], i: int) -> tuple[str | None, int]:
    """The label of the relation whose words begin at i (None: there is none) and the index after it."""
    if i == 0 or words[i - 1].text not in NOT_BEFORE:
        for end in range(min(i + LONGEST, len(words)), i, -1):
            label = LABELS.get(tuple(word.text for word in words[i:end]))
            if label:
                return label, end
    return None, i + 1


def _determines(word: _Word) -> bool:
    return word.text in DETERMINERS or word.text.isdigit()


def _inside(word: _Word) -> bool:
    """Whether a noun phrase can contain the word."""
    return word.text not in STOPS and not _determines(word)


def _skip_back(words: list[_Word], floor: int, end: int) -> int:
    """Where the noun phrase ends that stands before end: over "which is just", "and sits", commas."""
    while end > floor:
        text = words[end - 1].text
        noun = end - 2 >= floor and _determines(words[end - 2])  # "three flies above a cake"
        if text not in SKIPPED and (text not in LOOSE or noun):
            break
        end -= 1
    return end


def _subject(
    prompt: str, words: list[_Word], floor: int, i: int, previous: Relation | None
) -> Phrase | None:
    """What stands before the relation at i: the nearest noun phrase, or the subject that it shares with previous."""
    end = _skip_back(words, floor, i)
    skipped = {word.text for word in words[end:i]}
    # "a dog left of a cat and above a bus" is about the dog; "a dog left of a cat, which is above a bus" is not.
    if previous and (skipped & JOINS or ("," in skipped and not skipped & RELATIVES)):
        return previous.subject
    subject = None
    while end > floor:
        start = end
        while start > floor and _inside(words[start - 1]) and words[start - 1].text not in CARRIES:
            start -= 1
        heads = [
            k + 2
            for k in range(start, end - 1)
            if words[k].text in HEADS and words[k + 1].text == "of"
        ]
        subject = _phrase(prompt, words[max(heads, default=start) : end]) or subject
        while start > floor and _determines(words[start - 1]):
            start -= 1
        if start == floor or words[start - 1].text not in CARRIES:
            break
        end = _skip_back(words, floor, start - 1)
    return subject


def _object(prompt: str, words: list[_Word], i: int) -> Phrase | None:
    """The noun phrase that begins at i; None when there is none or it is no thing of the picture."""
    while i + 1 < len(words) and words[i].text in JOINS:  # "above and to the left of a cat"
        label, i = _relation_at(words, i + 1)
        if not label:
            return None
    start = i
    while start < len(words) and _determines(words[start]):
        start += 1
    end = start
    while end < len(words) and _inside(words[end]) and not _relation_at(words, end)[0]:
        if end > start and words[end].text in CARRIES:
            break
        end += 1
    phrase = _phrase(prompt, words[start:end])
    if phrase is None or (start == i and words[start].text in IDIOMS):
        return None
    text = phrase.text.lower()
    indefinite = start > i and words[start - 1].text in ("a", "an")
    return (
        None if (text in NOT_THINGS and not indefinite) or text.endswith("background") else phrase
    )


def _phrase(prompt: str, words: list[_Word]) -> Phrase | None:
    """The words as a phrase, without what a phrase does not end with."""
    while words and words[-1].text in LOOSE and (len(words) > 1 or words[-1].text == "of"):
        words = words[:-1]
    # A bracket inside, "a (brown:1.2) dog", is no part of a phrase: what follows it holds the noun.
    for k in range(len(words) - 1, 0, -1):
        if not prompt[words[k - 1].end : words[k].start].isspace():
            words = words[k:]
            break
    if not words:
        return None
    span = words[0].start, words[-1].end
    return Phrase(prompt[slice(*span)], span)


def _occurrences(prompt: str, part: str, where: str) -> list[Phrase]:
    """Where the prompt has the part, a phrase with or without "#2". Raises ValueError when it does not."""
    name, number = re.fullmatch(r"(.+?)\s*(?:#([1-9]\d{0,3}))?", part).groups()
    name = re.sub(r"^(?:an?|the)\s+", "", name, flags=re.IGNORECASE)
    pattern = r"(?<![\w-])" + r"\s+".join(map(re.escape, name.split())) + r"(?![\w-])"
    found = [
        Phrase(match[0], match.span()) for match in re.finditer(pattern, prompt, re.IGNORECASE)
    ]
    if not found:
        raise ValueError(where + f'"{name}" is not in the prompt. Write it as it stands there.')
    if number is None:
        return found
    if int(number) > len(found):
        times = "once" if len(found) == 1 else f"{len(found)} times"
        raise ValueError(where + f'"{part}" is not there: the prompt has "{name}" only {times}.')
    return [found[int(number) - 1]]


def _checked(prompt: str, found: list[Relation]) -> Parsed:
    """The relations without those said twice, with warnings of these and of contradictions."""
    things: dict[
        str, tuple[int, int]
    ] = {}  # a phrase's text -> its first span: "the dog" is the dog named before
    said: dict[tuple, Relation] = {}
    kept, warnings = [], []
    for relation in found:
        ends = []
        for phrase in (relation.subject, relation.object):
            first = things.setdefault(" ".join(phrase.text.lower().split()), phrase.span)
            definite = re.search(
                r"\b(?:the|this|that)\W+$", prompt[: phrase.span[0]], re.IGNORECASE
            )
            ends.append(first if definite else phrase.span)
        subject, object = ends
        if subject == object:  # "a dog left of the dog": two dogs all the same
            object = relation.object.span
        label, opposite = relation.label, OPPOSITE[relation.label]
        if earlier := said.get((subject, label, object)):
            warnings.append(f'"{relation}" says the same as "{earlier}", so it counts once.')
            continue
        if earlier := said.get((subject, opposite, object)):
            warnings.append(
                f'"{relation}" contradicts "{earlier}": a picture can follow only one. Take one out.'
            )
        kept.append(relation)
        said.setdefault((subject, label, object), relation)
        said.setdefault((object, opposite, subject), relation)
    return Parsed(prompt, tuple(kept), tuple(warnings))


def _main() -> None:
    """Reads one prompt a line, writes one JSON object a line."""
    sys.stdin.reconfigure(encoding="utf-8")
    for line in sys.stdin:
        parsed = parse(line.rstrip("\r\n"))
        relations = [
            {"subject": r.subject.text, "relation": r.label, "object": r.object.text,
             "subject_span": r.subject.span, "object_span": r.object.span}
            for r in parsed.relations
        ]  # fmt: skip
        print(
            json.dumps(
                {"prompt": parsed.prompt, "relations": relations, "warnings": parsed.warnings}
            )
        )


if __name__ == "__main__":
    _main()
