"""A prompt's pieces -> the wishes that they state.

Reads the parts once from left to right; each step takes what is kept in mind (mind.py) and one part, and gives what is
kept in mind after it.
"""

from dataclasses import replace

from ..words import Wish
from . import lexicon as lex
from .mind import Clause, Mind, Sentence, Statement, Thing
from .parts import Part, parts
from .places import adverb, pair_places, place, row, say_beside, side
from .splitter import Piece
from .vocabulary import finite, kinds, stems
from .statements import meant, to_each_other, to_pronoun, to_thing


def read(pieces: list[Piece]) -> list[Wish]:
    """The wishes in the order of their relation words. Never raises; takes time linear in the number of pieces."""
    mind = Mind()
    stated: list[tuple[int, Wish]] = []
    for part in parts(pieces):
        mind = step(mind._replace(stated=()) if mind.stated else mind, part)
        stated += mind.stated
    stated += pair_places(end_sentence(mind._replace(stated=()))).stated
    return [wish for _, wish in sorted(stated, key=lambda one: one[0])]


def step(mind: Mind, part: Part) -> Mind:
    """Read one part."""
    match part.kind:
        case "relation":
            return relation(mind, part)
        case "thing":
            return thing(mind, part.piece)
        case "pronoun":
            return pronoun(mind, part.piece.text)
        case "adverb":
            return adverb(mind, part.piece.start, part.relations[0])
        case "side":
            return side(mind, part)
        case "row":
            return row(mind, part)
        case "verb":
            return verb(mind, part.piece.text)
        case "preposition":
            since = mind.clause.since_thing | {"preposition"}
            return mind.in_clause(preposition=part.piece.text, since_thing=since)
        case "not":
            return mind.in_clause(negated=True)
        case "both":
            return mind.in_clause(plural=True)
        case "comma" | "dash":
            return comma(mind, part)
        case "join":
            return divide(mind, "join")
        case "stop":
            return end_sentence(mind)
        case kind:  # which, there
            return note(mind, kind, preposition="")


def note(mind: Mind, kind: str, **changes) -> Mind:
    """Remember that a piece of this kind came, and the changes."""
    clause = mind.clause
    return mind.in_clause(
        since_thing=clause.since_thing | {kind}, since_relation=clause.since_relation | {kind}, **changes
    )


def divide(mind: Mind, kind: str) -> Mind:
    """A comma or an "and": a preposition, a verb or a "not" before it reaches no further."""
    return note(mind, kind, negated=False, preposition="", verb="")


def comma(mind: Mind, part: Part) -> Mind:
    """A comma or dash; the second one may end an aside: "the queen, gilded and immense, sits above"."""
    mind = divide(mind, "comma")
    clause = mind.clause
    before = clause.dash if part.kind == "dash" else clause.aside
    if before and part.following in ("verb", "relation", "side") and clause.nearest is not before:
        return mind.in_clause(nearest=before, free=before, since_thing=frozenset({"comma"}), aside=None, dash=None)
    return mind.in_clause(dash=clause.free) if part.kind == "dash" else mind.in_clause(aside=clause.free)


def verb(mind: Mind, text: str) -> Mind:
    clause = mind.clause
    return mind.in_clause(
        verb=text,
        negated=clause.negated and text not in lex.BE,  # "a letter that she never opened is under the door"
        plural=clause.plural or "v" in kinds(text) or text in lex.PLURAL_BE,
        since_thing=clause.since_thing | {"verb"},
        since_relation=clause.since_relation | {"finite" if finite(text) else "participle"},
    )


def pronoun(mind: Mind, text: str) -> Mind:
    if things := meant(mind, text, None):
        return mind.in_clause(nearest=things[0], free=things[0], since_thing=frozenset())
    return mind


def relation(mind: Mind, part: Part) -> Mind:
    match part.objects[0].kind:
        case "thing":
            return to_thing(mind, part)
        case "pronoun":
            return to_pronoun(mind, part)
        case "each other":
            return to_each_other(mind, part)
        case kind:  # which: "a table on which a cat sleeps"
            nearest = mind.clause.nearest
            if nearest is None:
                return note(mind, kind, preposition="")
            return mind.wait(Statement(part.piece.start, part.relations, (nearest,)))


def end_sentence(mind: Mind) -> Mind:
    mind = say_beside(mind)
    opening = mind.sentence.opening
    topic = opening.subjects[0] if opening else mind.sentence.first
    topic = topic if topic and topic.article != "its" else mind.topic or topic
    return mind._replace(topic=topic, sentence=Sentence(), clause=Clause())


# --- things ---------------------------------------------------------------------------------------------------------


def thing(mind: Mind, piece: Piece) -> Mind:
    """A thing comes up: it hangs on the one before, or words that wait for their thing are said of it."""
    clause, sentence = mind.clause, mind.sentence
    if piece.text in lex.STYLE and not piece.article:
        return mind.in_clause(since_thing=clause.since_thing | {"comma"})
    waiting = sentence.waiting if clause.verb or not clause.preposition else None
    waiting_place = sentence.waiting_place if not clause.preposition and not waiting else None
    new = _new_thing(mind, piece, free=bool(waiting or waiting_place))
    if waiting:  # "left of the door (is) a window"
        mind = mind._replace(ground=waiting.objects[0])
        mind = mind.say(replace(waiting, subjects=(new,))).in_sentence(waiting=None)
    elif waiting_place:  # "on the left (is) a window"
        start, where = waiting_place
        mind = place(mind.in_sentence(waiting_place=None), start, new, where, fronted=True)
    if sentence.row and not new.hanging:
        if sentence.last_in_row:
            mind = mind.say(Statement(piece.start, (sentence.row,), (new,), None, (sentence.last_in_row,)))
        mind = mind.in_sentence(last_in_row=new)
    return _remember(mind, new)


def _new_thing(mind: Mind, piece: Piece, free: bool) -> Thing:
    """The thing and what it hangs on. free: no words before it make it hang."""
    clause = mind.clause
    holder, hangs = (None, "") if free else _holder(mind)
    joined = clause.nearest if clause.since_thing and clause.since_thing <= {"join", "comma"} else None
    listed = joined is not None and "join" in clause.since_thing
    if joined and joined.hanging and not hangs and {"w", "b"} & set(kinds(piece.text)):
        holder, hangs = joined.holder, joined.hangs  # "a boy with a hat and a red scarf"
    missing = (
        piece.article == "no"
        or piece.text in lex.NOBODY | lex.COUNTED
        or clause.preposition == "without"
        or (clause.negated and (not clause.verb or clause.verb in lex.BE))
    )
    apart = clause.preposition == "with" and "comma" in clause.since_thing
    return Thing(piece.phrase, piece.text, piece.article, holder, hangs, apart, missing, joined, listed)


def _holder(mind: Mind) -> tuple[Thing | None, str]:
    """What the thing that comes now hangs on, and by which preposition or verb."""
    clause = mind.clause
    holder = clause.free or clause.old
    if clause.preposition:
        return holder, clause.preposition
    if "which" in clause.since_thing and not clause.verb:  # "an easel that a painter has set up"
        return holder, "which"
    if holder and clause.verb and not stems(clause.verb) & (lex.BE | lex.PLACING) and "there" not in clause.since_thing:
        return holder, clause.verb
    return None, ""


def _remember(mind: Mind, new: Thing) -> Mind:
    """It is the nearest thing now, and what stands since the last one is forgotten."""
    fresh = dict(nearest=new, preposition="", verb="", plural=False, negated=False, since_thing=frozenset())
    if new.hanging:
        return mind.in_clause(**fresh)
    if not mind.sentence.first and not new.scene and not new.missing:
        mind = mind.in_sentence(first=new)
    several = (new, *mind.several[:1]) if new.plural else mind.several
    return mind._replace(lately=(new, *mind.lately[:2]), several=several).in_clause(free=new, **fresh)
