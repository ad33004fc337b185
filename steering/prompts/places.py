"""Words of place without an object: "on the left", "a bird above", "from left to right"."""

from ..relations import DIRECTIONS, NAME_OF, PLACES, Direction
from ..words import Wish
from . import lexicon as lex
from .mind import Mind, Placed, Statement, Thing
from .parts import Part
from .vocabulary import stems

NAME_OF_PLACE = {place: name for name, place in PLACES.items()}


def adverb(mind: Mind, start: int, relation: str) -> Mind:
    """ "a house with a car in front"; "a bird above, a fish below" """
    thing = mind.clause.nearest
    if thing is None or thing.missing or mind.clause.negated:
        return mind
    if thing.owner and not thing.owner.scene:
        return mind.say(Statement(start, (relation,), (thing.owner,), None, (thing,)))
    if relation in DIRECTIONS:
        return place(mind, start, thing, DIRECTIONS[relation], beside=True)
    return mind


def side(mind: Mind, part: Part) -> Mind:
    """A place in the picture: of the nearest thing, or of the next one where it begins a clause."""
    clause, start = mind.clause, part.piece.start
    to = part.piece.text.startswith("to")
    away = lex.LOOKING | lex.MOVING if to else lex.LOOKING
    if stems(clause.verb) & away or clause.negated:
        return mind
    if part.begins and (part.inverted or not clause.free):
        return mind.in_sentence(waiting_place=(start, part.place))
    if clause.nearest:
        return place(mind, start, clause.nearest, part.place)
    return mind


def place(mind: Mind, start: int, thing: Thing, where: Direction, fronted: bool = False, beside: bool = False) -> Mind:
    """Remember that the thing stands there, or say it of the landmark that the sentence has already.

    fronted: the place stands before its thing, "on the left (is) a window", which then is beside nothing.
    """
    if thing.missing:
        return mind
    said, relation = mind.sentence.said, NAME_OF.get(where)
    if said and relation and said.relations[0] in DIRECTIONS:
        one_axis = any(a and b for a, b in zip(DIRECTIONS[said.relations[0]], where, strict=True))
        others = (*said.objects, *said.subjects)
        if one_axis and all(thing.phrase.span != other.phrase.span for other in others):
            return mind.say(Statement(start, (relation,), said.objects, None, (thing,)))
    mind = mind._replace(placed=(*mind.placed, Placed(start, thing, where, said=not beside)))
    if relation and thing.owner and not thing.owner.scene and not fronted:
        statement = Statement(start, (relation,), (thing.owner,), None, (thing,))
        return mind.in_sentence(beside=(*mind.sentence.beside, statement))
    return mind


def row(mind: Mind, part: Part) -> Mind:
    """ "from left to right: a dog, a cat and a bird", or the row before these words"""
    group = mind.clause.nearest.group if mind.clause.nearest else []
    if len(group) < 2:
        return mind.in_sentence(row=part.relations[0]).in_clause(preposition="", verb="")
    pairs = zip(group, group[1:], strict=False)
    return mind.say(*(Statement(other.phrase.span[0], part.relations, (other,), None, (one,)) for one, other in pairs))


def say_beside(mind: Mind) -> Mind:
    """At a sentence's end, one thing beside another; two are a pair, "a bed with a lamp left and a desk right"."""
    beside = mind.sentence.beside
    if len(beside) != 1 or mind.placed[-1].thing is not beside[0].subjects[0]:
        return mind
    return mind.say(beside[0])._replace(placed=mind.placed[:-1])


def pair_places(mind: Mind) -> Mind:
    """The places of things, and each thing against the one before: "a boat on the left, a car on the right"."""
    mind = mind._replace(stated=mind.stated + tuple(
        (start, Wish(thing.phrase, NAME_OF_PLACE[where])) for start, thing, where, said in mind.placed if said
    ))
    statements = []
    for (_, one, a, _), (start, other, b, _) in zip(mind.placed, mind.placed[1:], strict=False):
        way = [q - p for p, q in zip(a, b, strict=True)]
        relation = NAME_OF.get(tuple((s > 0) - (s < 0) for s in way))
        corners = sum(map(bool, a)) > 1 and sum(map(bool, b)) > 1
        if relation and (corners or sum(map(bool, way)) == 1):
            statements.append(Statement(start, (relation,), (one,), None, (other,)))
    return mind.say(*statements)
