"""Relation words with their object: who stands so, and to what."""

from dataclasses import replace

from ..relations import OPPOSITE
from . import lexicon as lex
from .mind import Mind, Statement, Thing
from .parts import Part, surrounded
from .vocabulary import alive, finite, kinds, stems

OWN = lex.POSSESSIVES - {"my", "your"}


def to_thing(mind: Mind, part: Part) -> Mind:
    """ "left of a dog", "between a lamp and a book" """
    clause, between = mind.clause, "between" in part.relations
    objects = [Thing(piece.phrase, piece.text, piece.article) for piece in part.objects]
    second = objects.pop() if between and len(objects) > 1 else None
    last = second or objects[-1]
    rests, turned = bool({"on", "around"} & set(part.relations)), surrounded(part.piece)
    subjects = () if part.inverted or _aside(mind, part) else _subjects(mind, part.begins, objects[0])
    if rests:
        subjects = _resting(mind, part, subjects)
    nearest = clause.nearest
    if nearest and nearest.hanging and not (clause.since_thing or part.begins) and _closer(nearest, part):
        subjects = (nearest,)
    statement = Statement(part.piece.start, part.relations, tuple(objects), second, subjects, turned)
    none = any(thing.missing or _idle(thing, part, last) for thing in subjects)
    bows = part.piece.text == "over" and stems(clause.verb) & {"lean", "bend"}
    if clause.negated and subjects and not none:  # "a cup is not on the table but under it"
        return mind._replace(ground=last).begin_clause(last).in_clause(free=subjects[-1])
    if none or clause.negated or bows or stems(clause.verb) & lex.GAZING:
        return mind._replace(ground=last).begin_clause(last)
    if rests and stems(clause.verb) & (lex.ABOUT if "on" in part.relations else lex.MOVING) or _worn(mind, last, part):
        return hung(mind, last, part.relations[0])
    if subjects:
        mind = mind._replace(ground=None, base=last if rests else mind.base).say(statement)
        return hung(mind, last, part.relations[0]) if rests else mind.begin_clause(last)
    if part.begins:
        return mind.wait(statement)
    return hung(mind, last, part.relations[0]) if rests else mind


def _aside(mind: Mind, part: Part) -> bool:
    """ "a woman with a basket, and above her, a clock" """
    return part.begins and part.following == "comma" and {"comma", "join"} <= mind.clause.since_thing


def _closer(thing: Thing, part: Part) -> bool:
    """Is it the thing before the relation words that stands so, and not what it hangs on?

    "A station with a clock above the entrance", "a corridor with paintings on the walls", "walks past a poster on a
    wall", "watches a fish in a bowl", "holds a cup over a flame".
    """
    high = {"above", "below", "on"} & set(part.relations)
    owner, verb = thing.owner, stems(thing.hangs)
    if owner:
        part_of = high and part.objects[0].article == "the" and owner.article != "the" and not alive(owner.noun)
        return bool(part_of or (thing.after and thing.after is not owner and _met(thing.after)))
    lifted = "above" in part.relations and verb & lex.LIFTING
    return bool(thing.hangs in (lex.TOWARDS if "on" in part.relations else lex.PAST) or verb & lex.SEEING or lifted)


def _resting(mind: Mind, part: Part, subjects: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Who rests on it or is around it: "a vase on a table on a rug", "a cat between two dogs on a sofa"."""
    clause, said, nearest = mind.clause, mind.sentence.said, mind.clause.nearest
    upon = "on" in part.relations or surrounded(part.piece)
    close = not (clause.since_thing or part.begins)
    if nearest and close and (nearest.hangs in lex.TOWARDS or (upon and nearest.hangs in ("on", "around"))):
        return (nearest,)
    return said.subjects if said and "between" in said.relations and subjects == (clause.old,) else subjects


def _idle(thing: Thing, part: Part, object: Thing) -> bool:
    """Is the subject no thing that stands so: a time, the difference between two, a part of the same body?"""
    body, on = stems(thing.noun) & lex.BODY, "on" in part.relations
    return bool(
        ("between" in part.relations and thing.noun in lex.BETWEEN_IDEAS)
        or (part.piece.text.startswith("am") and "i" in kinds(thing.noun))  # "honour among thieves"
        or ({"on", "around"} & set(part.relations) and thing.noun in lex.TIMES)
        or (body and (on or not thing.article or (thing.article in OWN and object.part)))
        or (on and thing.noun in lex.HEADS and object.scene)  # "a photo on a beach"
    )


def hung(mind: Mind, thing: Thing, word: str) -> Mind:
    """The thing is the nearest one, and what is said next is still about what it hangs on."""
    thing = replace(thing, holder=mind.clause.free or mind.clause.old, hangs=word)
    return mind.in_clause(nearest=thing, preposition="", verb="", plural=False, since_thing=frozenset())


def _worn(mind: Mind, object: Thing, part: Part) -> bool:
    """ "a jacket over a shirt", "a man in a coat over a suit" """
    nearest = mind.clause.nearest
    both = nearest and "w" in kinds(nearest.noun) and "w" in kinds(object.noun)
    # "a tortoise with moss on its shell"
    held = nearest and (nearest.owner or (nearest.hanging and object.article == "its"))
    own = held and object.article in lex.POSSESSIVES
    return bool(
        (both or own) and part.piece.text in ("over", "under", "beneath", "underneath", "on", "around", "inside")
    )


def to_pronoun(mind: Mind, part: Part) -> Mind:
    """ "with a cat on its left", "a lamp above it", "to its right stands a tree" """
    word = part.objects[0].text
    subjects = () if part.inverted or _aside(mind, part) else _subjects_by_pronoun(mind, part.begins, word)
    subject = subjects[0] if subjects else None
    objects = _meant_beside(mind, word, part.relations, subject)
    if subject and not objects and part.begins and part.following == "comma":
        objects, subjects = (subject,), ()  # "a bookshop and, to its left, a cinema"
    if not objects or mind.clause.negated or (subject and subject.missing):
        return mind.begin_clause(None)
    statement = Statement(part.piece.start, part.relations, objects, None, subjects)
    mind = _doubted(mind, statement, word).in_sentence(landmark=objects)
    if "between" in part.relations and word in lex.PLURAL_PRONOUNS:
        statement = _between_them(mind, statement, subject)
    if subjects:
        mind = mind.say(statement).begin_clause(None)
        # "a chest with a mirror inside it (on a rug)" is about the chest again
        again = subject.owner if subject and {subject.owner, subject.after} & set(objects) else None
        while again and again.hanging and again.holder:
            again = again.holder  # "a woman wearing a hat with flowers on it"
        return mind.in_clause(nearest=again, free=again, since_thing=frozenset({"with"})) if again else mind
    return mind.wait(statement) if part.begins else mind


def _doubted(mind: Mind, statement: Statement, pronoun: str) -> Mind:
    """ "a bee sits on a flower, a leaf above it": the pronoun may stand for the other thing as well."""
    said, clause = mind.sentence.said, mind.clause
    wishes = statement.wishes()
    other = said.objects[0] if said and statement.objects[0] in said.subjects else None
    sure = mind.sentence.landmark or "comma" not in clause.since_relation or finite(clause.verb) or len(wishes) != 1
    if not other or sure or "p" in kinds(statement.objects[0].noun) or not other.fits(pronoun):
        return mind
    instead = replace(statement, objects=(other,)).wishes()
    return mind._replace(doubts=(*mind.doubts, (wishes[0], instead[0]))) if instead else mind


def to_each_other(mind: Mind, part: Part) -> Mind:
    """ "a dog and a cat next to each other" """
    nearest = mind.clause.nearest
    group = [one for one in nearest.group if not one.hanging] if nearest else []
    if len(group) < 2 and mind.sentence.first in mind.lately[:2]:
        group = list(mind.lately[1::-1])  # "a man with a hat and a dog side by side"
    pairs = zip(group, group[1:], strict=False)
    statements = (Statement(part.piece.start, part.relations, (other,), None, (one,)) for one, other in pairs)
    mind = mind.say(*statements).begin_clause(nearest)
    return mind.in_clause(nearest=nearest, free=nearest, since_thing=frozenset({"with"}))


def meant(mind: Mind, pronoun: str, subject: Thing | None, *nearer: Thing | None) -> tuple[Thing, ...]:
    """The one thing, or none, that "it" or "them" stands for when said about the subject; nearer ones go before."""
    said = mind.sentence.said
    topics = (
        *nearer,
        said.subjects[0] if said else None,
        mind.sentence.first,
        mind.topic,
        mind.ground,
        *mind.held,
        *mind.pair,
        mind.hero,
    )
    things = [thing for thing in topics if thing]
    if pronoun in lex.PLURAL_PRONOUNS:
        things = [thing for thing in (*things, *mind.several) if thing.fits(pronoun)] + things
    else:
        things.sort(key=lambda thing: not thing.fits(pronoun))
    return tuple(thing for thing in things if thing is not subject)[:1]


def _subjects(mind: Mind, begins: bool, object: Thing | None) -> tuple[Thing, ...]:
    """What stands so: the thing before and those joined with it, or subject or object of the relation before."""
    clause, said = mind.clause, mind.sentence.said
    thing = clause.free
    if thing and begins and (thing.scene or (object and thing.phrase.name == object.phrase.name)):
        return ()  # "a room, under the window a bed"; "a sofa, and above the sofa a lamp"
    nearest = clause.nearest
    if nearest and nearest.missing and nearest.article == "no" and nearest.hangs and not nearest.part and not begins:
        return (nearest,)  # "a car park with no car in front of a cinema"
    if nearest and nearest.hangs == "whose" and "verb" in clause.since_thing and "again" not in clause.since_thing:
        return (nearest,)  # "a painter whose easel stands by a pond"
    if nearest and nearest.hanging and clause.since_thing - {"again"} == {"verb"} and _done_to(nearest, clause.verb):
        return (nearest,)
    if thing and clause.plural:
        return tuple(other for other in thing.group if not other.hangs)
    if thing:
        return _all(thing, clause.verb)
    if said:
        main_clause = clause.since_relation & {"join", "comma", "finite"} and "which" not in clause.since_relation
        return said.subjects if main_clause or not clause.old else (clause.old,)
    if clause.nearest and not begins:
        return (clause.nearest.holder or clause.nearest,)
    return ()


def _all(thing: Thing, verb: str) -> tuple[Thing, ...]:
    """The thing and those joined with it, but "it is noon and a dog sleeps"."""
    return (thing,) if "z" in kinds(verb) or verb in ("is", "was") else thing.together


def _done_to(thing: Thing, verb: str) -> bool:
    """ "steam rises from a cart parked under a bridge", "a girl looks at a cat sitting on a sofa" """
    seen = thing.hangs == "at" or stems(thing.hangs) & (lex.GAZING | {"watch"})
    stuck = thing.hangs in lex.HAVING and thing.holder and not alive(thing.holder.noun)  # "a coat with a patch sewn on"
    parked = "d" in kinds(verb) and (stuck or thing.hangs in lex.PREPOSITIONS - lex.HAVING - {"in", "on", "around"})
    return bool((seen or parked) and not finite(verb))


def _subjects_by_pronoun(mind: Mind, begins: bool, pronoun: str) -> tuple[Thing, ...]:
    """ "a table with a lamp above it" is about the lamp, "a man with a hat stands behind it" about the man."""
    clause = mind.clause
    nearest = clause.nearest
    stands = finite(clause.verb) and "which" not in clause.since_thing
    if not nearest:
        said = mind.sentence.said
        return said.subjects if said and not begins else _subjects(mind, begins, None)[:1]
    if nearest.owner and not stands:
        alike = [one for one in nearest.group if one.owner is nearest.owner] if nearest.listed else [nearest]
        return tuple(alike)
    # "a man pulls a sled behind him"
    holder = nearest.holder if nearest.hanging and not nearest.owner and pronoun not in lex.NEUTER else None
    if holder and nearest.hangs not in lex.PREPOSITIONS - lex.TOWARDS and holder.fits(pronoun):
        return (nearest,)
    if not nearest.hangs:
        return _all(nearest, clause.verb) if not begins else (nearest,)
    return (clause.free,) if clause.free else _subjects(mind, begins, None)[:1]


def _meant_beside(mind: Mind, pronoun: str, relations: tuple[str, ...], subject: Thing | None) -> tuple[Thing, ...]:
    """What the pronoun stands for as the object of the relations."""
    landmark, said = mind.sentence.landmark, mind.sentence.said
    ground = mind.ground if not subject and pronoun in lex.NEUTER else None
    owner = subject.owner or (subject.holder if subject.hanging else None) if subject else None
    if subject and subject.apart and said and not landmark and said.subjects[0].fits(pronoun):
        return said.subjects[:1]  # "a ship lies in a bay, with gulls above it"
    if pronoun in lex.PLURAL_PRONOUNS and "between" not in relations and len(landmark) > 1 and subject not in landmark:
        return landmark  # "behind them hangs a tapestry, in front of them kneels a knight"
    if pronoun in lex.PLURAL_PRONOUNS and said and "between" not in relations and subject not in said.subjects:
        if len(said.subjects) > 1:
            return said.subjects
        pair = (*said.subjects, *said.objects[:1])  # "a queen beside a king, a jester in front of them"
        topic = (mind.topic,) if mind.topic else ()
        if subject not in pair and not any(one.fits(pronoun) for one in pair + topic):
            return pair
    after = subject.after if subject and subject.owner else None
    if pronoun in lex.NEUTER and after and after is not owner and _met(after):
        return (after,)  # "people at a table with food on it"
    if owner and owner.fits(pronoun):
        return (owner,)  # "a sofa with a cat on its left"
    if subject and said and subject is not said.subjects[0] and not landmark and said.objects[0].fits(pronoun):
        opposite = OPPOSITE.get(said.relations[0]) == relations[0]
        if (
            "comma" in mind.clause.since_relation - {"join"}
            and "join" not in mind.clause.since_relation
            and not (opposite or finite(mind.clause.verb))
        ):
            return said.subjects[:1]  # "a bottle floats above water, petals drifting around it"
        if mind.sentence.waited and said.subjects[0] is mind.sentence.waited[0] and not opposite:
            return said.subjects[:1]  # "left of the chair is a table, and a pot stands on it"
        if pronoun in lex.NEUTER or opposite:
            return said.objects[:1]  # "a dog left of a tree and a cat right of it"
    things = meant(mind, pronoun, subject, *landmark, ground, owner)
    if pronoun not in lex.PLURAL_PRONOUNS or "between" in relations or not things:
        return things
    if things[0].listed:
        return things[0].together  # "A king and a queen stand there. A crowd waits below them."
    if things[0].joined or not things[0].fits(pronoun):  # "a tree on the left, a house on the right, a moon above them"
        pair = tuple(one.thing for one in mind.placed[-2:]) or mind.pair
        return pair if len(pair) > 1 and subject not in pair else things
    return things


def _met(thing: Thing) -> bool:
    """Does it hang by a verb or by "at", as what can have something on it?"""
    if stems(thing.hangs) & (lex.GAZING | {"face", "overlook", "watch", "view"}):
        return False
    return thing.hanging and not thing.scene and thing.hangs not in lex.HAVING | {"in", "on", "around", "of", "which"}


def _between_them(mind: Mind, statement: Statement, subject: Thing | None) -> Statement:
    """Two things that are joined, or else the last two: "on the left a cat, on the right a dog, between them" """
    thing = statement.objects[0]
    lately = [one for one in mind.lately if one is not subject]
    placed = [one.thing for one in mind.placed if one.thing is not subject]
    if thing in placed[-1:] and len(placed) > 1:
        return replace(statement, objects=(placed[-2],), second=placed[-1])
    if thing.joined:
        return replace(statement, objects=(thing.joined,), second=thing)
    if not thing.plural and len(lately) > 1:
        return replace(statement, objects=(lately[1],), second=lately[0])
    return statement
