"""A prompt's pieces -> the wishes that they state.

Reads the parts once from left to right; each step takes what is kept in mind (mind.py) and one part, and gives what is
kept in mind after it.
"""

from dataclasses import replace

from ..relations import Direction
from ..words import Wish
from . import lexicon as lex
from .forms import is_plural
from .mind import Clause, Mind, Sentence, Statement, Thing
from .parts import Part, parts
from .places import adverb, pair_places, place, row, side
from .splitter import Piece
from .statements import meant, to_each_other, to_pronoun, to_thing
from .vocabulary import alive, finite, kinds, stems


def read(pieces: list[Piece]) -> tuple[list[Wish], tuple[tuple[Wish, Wish], ...]]:
    """The wishes in the order of their relation words, and pairs of one that may be meant as the other.

    Never raises; takes time linear in the number of pieces.
    """
    mind = Mind()
    stated: list[tuple[int, Wish]] = []
    for part in parts(pieces):
        mind = step(mind._replace(stated=()) if mind.stated else mind, part)
        stated += mind.stated
    mind = pair_places(end_sentence(mind._replace(stated=())))
    stated += mind.stated
    return [wish for _, wish in sorted(stated, key=lambda one: one[0])], mind.doubts


def step(mind: Mind, part: Part) -> Mind:
    """Read one part."""
    match part.kind:
        case "relation":
            return relation(mind, part)
        case "thing":
            return thing(mind, part)
        case "pronoun":
            return pronoun(mind, part.piece)
        case "adverb":
            return adverb(mind, part)
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
            return mind.in_clause(negated=True, verb="")
        case "both":
            return mind.in_clause(plural=True)
        case "comma" | "dash":
            return comma(mind, part)
        case "join":
            return divide(mind, "join")
        case "stop":
            return end_sentence(mind)
        case kind:  # which, there
            return note(mind, "whose" if part.piece.text == "whose" else kind, preposition="")


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
    if mind.sentence.waiting_place and mind.clause.verb and not mind.clause.nearest:
        mind = mind.in_sentence(waiting_place=None)  # "the right side is dark, a violin"
    outer = mind.sentence.outer
    if outer and not mind.sentence.waiting:  # "behind the bar, above which hangs a clock, stands a cook"
        return mind.wait(outer).in_sentence(outer=None, waited=None)
    told = "which" in mind.clause.since_thing and finite(mind.clause.verb)
    mind = divide(mind, "comma")
    if told:  # "a sign that reads so, a man below it"
        mind = mind.in_clause(since_thing=mind.clause.since_thing - {"which"})
    clause = mind.clause
    before = clause.dash if part.kind == "dash" else clause.aside
    listed = clause.nearest is not None and clause.nearest.listed and before in clause.nearest.group
    ends = part.following in ("relation", "side") or (part.following == "verb" and finite(part.then))
    if before and ends and not listed and "side" not in clause.since_thing:
        return mind.in_clause(nearest=before, free=before, since_thing=frozenset({"comma"}), aside=None, dash=None)
    return mind.in_clause(dash=clause.free) if part.kind == "dash" else mind.in_clause(aside=clause.free)


def verb(mind: Mind, text: str) -> Mind:
    clause = mind.clause
    first, nearest = mind.sentence.first, clause.nearest
    after_comma = "g" in kinds(text) and first is not None and first is not nearest
    if after_comma and first and nearest and clause.since_thing == {"comma"} and _tagged(first, nearest):
        mind = mind.in_clause(nearest=first, free=first)
    elif after_comma and not nearest and "comma" in clause.since_relation and not mind.sentence.said:
        mind = mind.in_clause(free=first)
    clause = mind.clause
    # "a letter that she never opened is under the door", "people who are not eating sit there"
    ends = text in lex.BE or (clause.verb not in lex.BE and clause.verb and finite(text))
    return mind.in_clause(
        preposition="" if clause.preposition == "to" else clause.preposition,  # "to reach a lamp"
        verb=text,
        negated=clause.negated and not ends,
        plural=clause.plural or "v" in kinds(text) or text in lex.PLURAL_BE,
        since_thing=clause.since_thing | {"again" if clause.verb else "verb", "verb"},
        since_relation=clause.since_relation | {"finite" if finite(text) else "participle"},
    )


def _tagged(first: Thing, nearest: Thing) -> bool:
    """Is what is done now done by the first thing, "1girl, kimono, sitting on a bench"?"""
    return not nearest.article or (alive(first.noun) and not alive(nearest.noun))


def pronoun(mind: Mind, piece: Piece) -> Mind:
    """What it stands for; a "she" whom nothing before explains stands for herself."""
    clause = mind.clause
    done_to = piece.text in ("it", "him", "her", "them") and clause.free and clause.verb not in lex.BE | {""}
    if done_to and "comma" not in clause.since_thing:
        return mind  # "a cat watches them"
    things = meant(mind, piece.text, None)
    if piece.text in ("he", "she", "they") and not (things and (things[0].fits(piece.text) or mind.topic)):
        return _remember(mind, Thing(piece.phrase, piece.text))
    if things:
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
            nearest = mind.clause.nearest or mind.clause.old
            if nearest is None:
                return note(mind, kind, preposition="")
            mind = mind.in_sentence(outer=mind.sentence.waiting)
            return mind.wait(Statement(part.piece.start, part.relations, (nearest,)))


def end_sentence(mind: Mind) -> Mind:
    opening, said = mind.sentence.opening, mind.sentence.said
    topic = opening.subjects[0] if opening else mind.sentence.first
    topic = None if topic and topic.noun in lex.PRONOUNS else topic
    topic = topic if topic and topic.article != "its" else mind.topic or topic
    ground = next(iter(mind.sentence.landmark), None)  # "to its left sits a cat; to its right a dog"
    pair = (said.subjects[0], said.objects[0]) if said else mind.pair
    return mind._replace(topic=topic, pair=pair, ground=ground, sentence=Sentence(), clause=Clause())


# --- things ---------------------------------------------------------------------------------------------------------


def thing(mind: Mind, part: Part) -> Mind:
    """A thing comes up: it hangs on the one before, or words that wait for their thing are said of it."""
    clause, sentence, piece = mind.clause, mind.sentence, part.piece
    if piece.text in lex.STYLE and not piece.article:
        return mind.in_clause(since_thing=clause.since_thing | {"comma"})
    in_hand = clause.preposition == "in" and piece.text in ("hand", "hands") and not piece.article
    if (
        in_hand
        and clause.nearest
        and clause.nearest in mind.lately[:1]
        and mind.lately[1:]
        and not clause.nearest.article
        and "comma" in clause.since_relation
    ):
        holder = mind.lately[1]  # "a tailor stands on the left, scissors in hand"
        return mind.in_clause(nearest=holder, free=holder, preposition="", since_thing=frozenset({"with"}))
    waiting = sentence.waiting if clause.verb or not clause.preposition else None
    waiting_place = sentence.waiting_place if not clause.preposition and not waiting else None
    if (waiting or waiting_place) and "comma" in clause.since_thing | clause.since_relation and _tag(part):
        return mind  # "inside a library, ornate, soft light"
    new = _new_thing(mind, part, free=bool(waiting or waiting_place))
    if waiting:  # "left of the door (is) a window"
        mind = mind._replace(ground=waiting.objects[0])
        mind = mind.say(replace(waiting, subjects=(new,))).in_sentence(waiting=None, waited=(new, waiting))
    elif waiting_place:  # "on the left (is) a window"
        mind = place(mind.in_sentence(waiting_place=None, waited=(new, waiting_place)), *_placing(waiting_place, new))
    elif sentence.waited and new.listed and not _goes_on(part):
        mind = _also(mind, new, *sentence.waited)
    if sentence.row and not new.hanging:
        mind = _in_row(mind, new, piece.start)
    return _remember(mind, new)


def _goes_on(part: Part) -> bool:
    """Is something else said of the thing, "and a cat sits on it"? "A cup and a vase stand" is said of both."""
    both = part.following == "verb" and ("v" in kinds(part.then) or part.then in lex.PLURAL_BE)
    return part.following in ("relation", "side", "adverb", "row", "verb") and not both


def _placing(waiting: tuple[int, Direction], thing: Thing) -> tuple[int, Thing, Direction]:
    return waiting[0], thing, waiting[1]


def _also(mind: Mind, new: Thing, first: Thing, words: Statement | tuple[int, Direction]) -> Mind:
    """ "on the sill (are) a jar and a cat": what was said of the first is said of those joined with it."""
    group = new.group
    for one in group[group.index(first) + 1 :] if first in group else ():
        if isinstance(words, Statement):
            mind = mind.say(replace(words, subjects=(one,)))
        else:
            mind = place(mind, *_placing(words, one))
    return mind.in_sentence(waited=(new, words)) if first in group else mind


def _tag(part: Part) -> bool:
    """Is it a word on the picture's style, as it stands in a list: no article, one thing, nothing said of it?"""
    piece = part.piece
    plain = kinds(piece.text)[0] == "a" and "n" not in kinds(piece.text)
    return not piece.article and part.following in ("comma", "stop") and (plain or not is_plural(piece.text))


def _in_row(mind: Mind, new: Thing, start: int) -> Mind:
    """The next in a row; after "and" comes the last one, and a style has no article: "a cup, a vase, oil painting"."""
    last = mind.sentence.last_in_row
    if last and (last.listed or (last.article and not new.article and not new.listed)):
        return mind.in_sentence(row="")
    if last:
        mind = mind.say(Statement(start, (mind.sentence.row,), (new,), None, (last,)))
    return mind.in_sentence(last_in_row=new)


def _new_thing(mind: Mind, part: Part, free: bool) -> Thing:
    """The thing and what it hangs on. free: no words before it make it hang."""
    clause, piece = mind.clause, part.piece
    holder, hangs = (None, "") if free else _holder(mind)
    joined = clause.nearest if clause.since_thing and clause.since_thing <= {"join", "comma"} else None
    listed = joined is not None and "join" in clause.since_thing
    if joined and joined.hanging and joined.hangs in ("on", "around"):
        joined, listed = None, False
    if joined and joined.hanging and not hangs:
        worn = {"w", "b"} & set(kinds(piece.text))
        does = listed and part.following in ("verb", "side") and not alive(piece.text) and joined.owner
        described = joined.hangs in lex.HAVING | {"in"}
        if (joined.part or described) and (worn or does):
            holder, hangs = joined.holder, joined.hangs  # "a boy with a hat and a red scarf"
        elif listed and piece.article and described:
            joined = joined.holder or joined  # "a man in a hat and a woman in a scarf sit"
    if {"join", "with"} <= clause.since_thing and not hangs and part.following in ("adverb", "side") and clause.nearest:
        # "a cottage with a well in front and a barn behind"
        holder = clause.nearest.owner or (clause.nearest if part.following == "adverb" else None)
        hangs = "with" if holder else ""
    missing = (
        piece.article == "no"
        or piece.text in lex.NOBODY | lex.COUNTED
        or piece.phrase.name.startswith(("nobody else", "nothing else"))
        or clause.preposition == "without"
        or (clause.negated and (not clause.verb or clause.verb in lex.BE))
    )
    apart = clause.preposition == "with" and "comma" in clause.since_thing
    if hangs == "with" and "side" in clause.since_thing and clause.nearest:
        apart = apart or clause.nearest.apart  # ", with a tree on the left and a pond on the right"
    return Thing(piece.phrase, piece.text, piece.article, holder, hangs, apart, missing, clause.nearest, joined, listed)


def _holder(mind: Mind) -> tuple[Thing | None, str]:
    """What the thing that comes now hangs on, and by which preposition or verb."""
    clause = mind.clause
    holder = clause.free or clause.old
    if clause.preposition == "of" and "comma" in clause.since_thing:
        return None, ""  # "a photo, grainy, of a dog"
    if clause.preposition:
        return holder, clause.preposition
    if "whose" in clause.since_thing and not clause.verb:
        return holder, "whose"
    if "which" in clause.since_thing and not clause.verb:  # "an easel that a painter has set up"
        return holder, "which"
    if holder and clause.verb and not stems(clause.verb) & (lex.BE | lex.PLACING) and "there" not in clause.since_thing:
        return holder, clause.verb
    return None, ""


def _remember(mind: Mind, new: Thing) -> Mind:
    """It is the nearest thing now, and what stands since the last one is forgotten."""
    fresh = dict(nearest=new, preposition="", verb="", plural=False, negated=False, since_thing=frozenset())
    if new.hanging:
        done = new.hangs not in lex.PREPOSITIONS or (new.hangs in ("in", "at") and not new.part)
        held = (new, *mind.held[:1]) if done else mind.held
        return mind._replace(held=held).in_clause(**fresh)
    if not (mind.sentence.first or new.scene or new.missing or stems(new.noun) & lex.BODY):
        mind = mind.in_sentence(first=new)
    several = (new, *mind.several[:1]) if new.plural else mind.several
    mind = mind._replace(hero=new) if not mind.hero and alive(new.noun) else mind
    return mind._replace(lately=(new, *mind.lately[:2]), several=several).in_clause(free=new, **fresh)
