"""Words of place without an object: "on the left", "a bird above", "from left to right"."""

from ..relations import DIRECTIONS, NAME_OF, NOWHERE, PLACE_OF, Direction
from ..words import Phrase, Wish
from . import lexicon as lex
from .mind import Mind, Placed, Statement, Thing
from .parts import Part
from .vocabulary import alive, finite, stems


def adverb(mind: Mind, part: Part) -> Mind:
    """ "a house with a car in front"; "a bird above, a fish below"; "a castle on a hill. Below, a river flows" """
    thing, start, relation = mind.clause.nearest, part.piece.start, part.relations[0]
    base = (mind.base if relation == "below" else None) or mind.topic
    if part.begins and base and part.following in ("comma", "thing") and not mind.sentence.first:
        return mind.wait(Statement(start, (relation,), (base,)))
    if thing is None or thing.missing or mind.clause.negated:
        return mind
    if thing.owner and not thing.owner.scene:
        mind = mind.say(Statement(start, (relation,), (thing.owner,), None, (thing,)))
        return mind.in_clause(since_thing=mind.clause.since_thing | {"with"})
    if relation in DIRECTIONS:
        mind = place(mind, start, thing, DIRECTIONS[relation], said=False)
    return mind.in_clause(since_thing=mind.clause.since_thing | {"side"})


def side(mind: Mind, part: Part) -> Mind:
    """A place in the picture: of the nearest thing, or of the next one where it begins a clause."""
    clause, start = mind.clause, part.piece.start
    to = part.piece.text.startswith("to")
    hangs = clause.nearest.hangs if clause.nearest else ""
    if (stems(clause.verb) | stems(hangs)) & (lex.LOOKING | lex.MOVING if to else lex.LOOKING) or clause.negated:
        return mind
    if part.begins and (part.inverted or not clause.free):
        return mind.in_sentence(waiting_place=(start, part.place))
    if clause.nearest:
        thing, holder = _bearer(clause.nearest, clause.verb)
        if holder and part.place == NOWHERE:  # "a pond with a duck in the middle"
            inside = Statement(start, ("inside",), (holder,), None, (thing,))
            return mind.say(inside) if holder.noun in lex.HOLDING else mind
        holder = None if part.place[2] else holder  # "a lake with hills in the background"
        if stems(thing.noun) & lex.BODY and thing.article in lex.POSSESSIVES | {""}:
            return mind  # "hair swept to the left"
        for one in (thing,) if holder else thing.together:
            mind = place(
                mind,
                start,
                one,
                part.place,
                holder,
                whole=" of" in part.piece.text or part.place[2] != 0,
                bare=part.piece.text in ("left", "right"),
            )
        return mind.in_clause(since_thing=clause.since_thing | {"side", "with"})
    if mind.sentence.said and clause.old and (part.place[1] or part.place[2]):
        mind = place(
            mind, start, mind.sentence.said.subjects[0], part.place, whole=True
        )  # "a kite over a hill at the top"
    return mind


def _bearer(thing: Thing, verb: str) -> tuple[Thing, Thing | None]:
    """Whose place it is, "a cook in a blue apron on the left"; and what this one may be beside instead."""
    holder, after = thing.holder, thing.after
    if not thing.hanging or not holder or holder.scene or (after and after is not holder and after.scene):
        return thing, None
    if thing.hangs in lex.HAVING and not (finite(verb) or alive(holder.noun) or thing.part):
        return thing, holder
    acts = thing.hangs not in lex.PREPOSITIONS and not thing.part and not alive(holder.noun)
    seen = stems(thing.hangs) & lex.GAZING or (thing.hangs == "at" and alive(thing.noun))
    return thing if acts or seen or thing.hangs == "which" else holder, None


def place(
    mind: Mind,
    start: int,
    thing: Thing,
    where: Direction,
    holder: Thing | None = None,
    said: bool = True,
    whole: bool = False,
    bare: bool = False,
) -> Mind:
    """Remember that the thing stands there, or say it of the landmark that the sentence has already.

    holder: what it may be beside instead; said: is it a place in the picture; whole: for sure, "of the picture"?
    bare: only with another one, "a dog left, a cat right".
    """
    if thing.missing:
        return mind
    before, relation = mind.sentence.said, NAME_OF.get(where)
    if (
        before
        and relation
        and before.relations[0] in DIRECTIONS
        and (where[0] or not said)
        and not whole
        and not holder
    ):
        pair = any(a and b for one in mind.placed[-1:] for a, b in zip(one.place, where, strict=True))
        one_axis = not pair and any(a and b for a, b in zip(DIRECTIONS[before.relations[0]], where, strict=True))
        others = (*before.objects, *before.subjects)
        if one_axis and all(thing.phrase.span != other.phrase.span for other in others):
            return mind.say(Statement(start, (relation,), before.objects, None, (thing,)))
    return mind._replace(placed=(*mind.placed, Placed(start, thing, where, holder, said, bare)))


def row(mind: Mind, part: Part) -> Mind:
    """ "from left to right: a dog, a cat and a bird", or the row before these words"""
    nearest = mind.clause.nearest
    nearest = mind.clause.free if nearest and nearest.hanging else nearest  # "three cups in a row from left to right"
    group = nearest.group if nearest else []
    if len(group) < 2:
        return mind.in_sentence(row=part.relations[0]).in_clause(preposition="", verb="")
    pairs = zip(group, group[1:], strict=False)
    return mind.say(*(Statement(other.phrase.span[0], part.relations, (other,), None, (one,)) for one, other in pairs))


def pair_places(mind: Mind) -> Mind:
    """The places of things, and each thing against the one before: "a boat on the left, a car on the right"."""
    placed = mind.placed if len(mind.placed) > 1 else tuple(one for one in mind.placed if not one.bare)
    held = [one for one in placed if one.holder]
    start, thing, where, holder, *_ = held[0] if held else Placed(0, Thing(Phrase("", (0, 0)), ""), NOWHERE)
    if holder and len(placed) == 1 and sum(map(abs, where)) == 1:  # "a bed with a lamp on the left"
        doubt = Wish(thing.phrase, NAME_OF[where], holder.phrase), Wish(thing.phrase, PLACE_OF[where])
        mind = mind._replace(doubts=(*mind.doubts, doubt))
        return mind.say(Statement(start, (NAME_OF[where],), (holder,), None, (thing,)))
    if len({one.holder for one in held}) > 1 or len(held) < len(placed):
        placed = tuple(one._replace(thing=one.holder or one.thing) for one in placed)
    places = (
        (one.start, Wish(one.thing.phrase, PLACE_OF[one.place])) for one in placed if one.said and one.place in PLACE_OF
    )
    mind = mind._replace(stated=(*mind.stated, *places))
    statements = []
    for one, other in zip(placed, placed[1:], strict=False):
        way = [b - a for a, b in zip(one.place, other.place, strict=True)]
        relation = NAME_OF.get(tuple((s > 0) - (s < 0) for s in way))
        corners = sum(map(bool, one.place)) > 1 and sum(map(bool, other.place)) > 1
        if relation and (corners or sum(map(bool, way)) == 1):
            statements.append(Statement(other.start, (relation,), (one.thing,), None, (other.thing,)))
    return mind.say(*statements)
