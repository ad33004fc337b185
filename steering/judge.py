"""Pictures whose things were found, or that a loss looked at -> which wishes they grant, why not, and which is best."""

from collections.abc import Sequence
from dataclasses import dataclass

from .relations import DIRECTIONS, NOWHERE, PLACES, RELATIONS, Box, holds
from .words import Phrase, Wish

WHOLE = ("hot dog", "teddy bear")  # their last word names another thing
SINGULARS = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose",
    "wolves": "wolf", "knives": "knife", "loaves": "loaf", "leaves": "leaf", "feet": "foot", "teeth": "tooth",
    "oxen": "ox", "skis": "ski", "taxis": "taxi",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A thing that was found in a picture. box: left, top, right, bottom, in px; confidence: 0..1."""

    name: str
    box: Box
    confidence: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """Whether a picture grants a wish; reason: what it shows, for people.

    there: all of the wish's things were found, None where nobody searched; granted: None where it cannot be told;
    things: those that were found; confidence: 0..1, of the least sure of them, 0 where one is missing; of a look, how
    sure the loss is.
    """

    wish: Wish
    there: bool | None
    granted: bool | None
    reason: str
    things: tuple[Found, ...] = ()
    confidence: float = 0.0


def judge(found: Sequence[Found], wishes: Sequence[Wish], picture: Box | None = None) -> list[Verdict]:
    """A verdict a wish. Things are known by their names, as `fits` says; of several, the one that fits best and then
    the surest counts, and two things of one name in a wish are two findings. A missing thing grants nothing. (GenEval's
    rule, relations.py.) picture: its own box, without which places in it cannot be told.
    """
    return [_verdict(found, wish, picture) for wish in wishes]


def read(wishes: Sequence[Wish], satisfaction: Sequence[float | None], target: float) -> list[Verdict]:
    """A verdict a wish from a loss's look at the finished picture. satisfaction: 0..1, None where the loss does not
    serve the wish; target: from where on it counts as granted."""
    return [_seen(wish, sure, target) for wish, sure in zip(wishes, satisfaction, strict=True)]


def failing(pictures: Sequence[Sequence[Verdict]]) -> list[int]:
    """The pictures, counted from 0, in which a wish is not granted. What cannot be told is no failure."""
    return [number for number, said in enumerate(pictures) if any(verdict.granted is False for verdict in said)]


def best(pictures: Sequence[Sequence[Verdict]]) -> int:
    """The picture that grants most wishes; of several the one whose verdicts are surest on average, then the first."""

    def rank(number: int) -> tuple[int, float]:
        said = pictures[number]
        return sum(verdict.granted is True for verdict in said), sum(verdict.confidence for verdict in said)

    return max(range(len(pictures)), key=rank)


def unknown(pictures: Sequence[Sequence[Found]], wishes: Sequence[Wish]) -> list[str]:
    """What is wished for and has no like among the names of all that was found."""
    names = {one.name for found in pictures for one in found}
    texts = [phrase.text for wish in wishes for phrase in wish.things if not any(fits(name, phrase) for name in names)]
    return list(dict.fromkeys(texts))


def text(pictures: Sequence[Sequence[Verdict]]) -> str:
    """All verdicts, for people: the sum, and a line a picture, counted from 1."""
    again, lines = failing(pictures), []
    for number, said in enumerate(pictures, 1):
        lines.append(f"picture {number}: " + "; ".join(f"{_word(verdict)}: {verdict.reason}" for verdict in said))
    right = f"{len(pictures) - len(again)} of {len(pictures)} right; best: picture {best(pictures) + 1}"
    wrong = f"; wrong: {', '.join(str(number + 1) for number in again)}" if again else ""
    return "\n".join([f"{right}{wrong}.", *lines])


def _word(verdict: Verdict) -> str:
    return "not judged" if verdict.granted is None else "right" if verdict.granted else "wrong"


def fits(name: str, phrase: Phrase) -> int:
    """How well a detector's name is that of the phrase's thing: 2 in all words, 1 as its kind ("car" of "red sports
    car", "cup" of "cup of tea"), 0 not. In any case, and in either number; synonyms are not known."""
    names, kind = singulars(name), phrase.name.partition(" of ")[0]
    if names & singulars(phrase.name):
        return 2
    whole = next((whole for whole in WHOLE for one in singulars(kind) if f" {one}".endswith(f" {whole}")), "")
    ends = any(f" {one}".endswith(f" {name}") and name.endswith(whole) for one in singulars(kind) for name in names)
    return int(ends)


def singulars(name: str) -> set[str]:
    """The name in lower case, and what it may be the plural of."""
    *before, last = name.lower().split() or [""]
    ends = {last, SINGULARS.get(last, last)}
    if last.endswith("s") and not last.endswith(("ss", "us", "is")):
        ends |= {last[:-1]} | ({last[:-2]} if last.endswith("es") else set())
        ends |= {last[:-3] + "y"} if last.endswith("ies") else set()
    return {" ".join([*before, end]) for end in ends}


def _seen(wish: Wish, sure: float | None, target: float) -> Verdict:
    if sure is None:
        return Verdict(wish, None, None, f'this loss cannot tell whether it is "{wish.relation}"')
    return Verdict(wish, None, sure >= target, f"{wish.sentence} is read with {sure:.2f}", confidence=sure)


def _verdict(found: Sequence[Found], wish: Wish, picture: Box | None) -> Verdict:
    left = list(found)
    things: list[Found] = []
    missing: list[str] = []
    for phrase in wish.things:
        fitting = [(fits(one.name, phrase), one.confidence, one) for one in left]
        fit, _, thing = max(fitting, key=lambda one: one[:2], default=(0, 0.0, None))
        if thing and fit:
            left.remove(thing)
            things.append(thing)
        else:
            another = any(fits(thing.name, phrase) for thing in things)
            missing.append(f"no second {phrase.text}" if another else f"no {phrase.text}")
    if missing:
        return Verdict(wish, False, False, " and ".join(missing), tuple(things))
    boxes = [thing.box for thing in things]
    if wish.relation not in PLACES:
        granted = holds(wish.relation, *boxes)
    else:
        granted = holds(wish.relation, *boxes, picture) if picture else None
    sure = min(thing.confidence for thing in things)
    return Verdict(wish, True, granted, _reason(wish, boxes, granted), tuple(things), sure)


def _reason(wish: Wish, boxes: Sequence[Box], granted: bool | None) -> str:
    if granted is None:
        return f'whether it is "{wish.relation}" cannot be told from boxes'
    if granted:
        return wish.sentence
    if wish.object is None or not any(DIRECTIONS.get(wish.relation, NOWHERE)[:2]):
        return f"{wish.subject.text} not {wish.relation} {wish.object_text}".rstrip()
    straight = [name for name, d in DIRECTIONS.items() if sum(map(abs, d)) == 1 and RELATIONS[name].visible]
    shown = [name for name in straight if holds(name, boxes[0], boxes[1])]
    return f"{wish.subject.text} {' and '.join(shown) or 'just at'} {wish.object.text}"
