"""What a reader of a prompt keeps in mind from one part of it to the next. Nothing here changes: it is replaced.

Clause, Sentence and Mind are tuples and no dataclasses: a prompt replaces one a word, and these are quicker to replace.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ..relations import Direction
from ..words import Phrase, Wish
from . import lexicon as lex
from .forms import is_plural
from .vocabulary import alive, idea, kinds


@dataclass(frozen=True, eq=False)  # a thing is equal to itself alone
class Thing:
    """A thing of the picture and how it came up."""

    phrase: Phrase
    noun: str
    article: str = ""
    holder: "Thing | None" = None  # what it hangs on: "a man with a hat"
    hangs: str = ""  # the word by which it hangs, "with"
    apart: bool = False  # "a kitchen, with a cat under the table"
    missing: bool = False  # "no dog", "without a dog"
    after: "Thing | None" = None  # what came before it
    joined: "Thing | None" = None  # what stands before it in "a dog and a cat"
    listed: bool = False  # by "and", not only by a comma

    @property
    def group(self) -> list["Thing"]:
        """Those joined with it, and itself, in order."""
        group = [self]
        while group[-1].joined:
            group.append(group[-1].joined)
        return group[::-1]

    @property
    def together(self) -> tuple["Thing", ...]:
        """Itself and those that "and" joins with it, "a dog, a fox and a cat"; not "a garden, a dog"."""
        if not self.listed:
            return (self,)
        alike = [
            one
            for one in self.group
            if not one.hanging and not (one.scene or one.missing or (idea(one.noun) and not one.article))
        ]
        while (
            len(alike) > 2 and self.article not in ("", "the") and not alike[0].article and not is_plural(alike[0].noun)
        ):
            alike.pop(0)  # "night, a dog and a cat"
        return tuple(alike)

    @property
    def scene(self) -> bool:
        return self.noun in lex.SCENES or self.noun.endswith(("yard", "scape"))

    @property
    def plural(self) -> bool:
        return self.article in lex.PLURALS or is_plural(self.noun) or self.joined is not None

    def fits(self, pronoun: str) -> bool:
        """Can the pronoun stand for it: is "she" a person, "it" none, "they" several?"""
        if pronoun in lex.PLURAL_PRONOUNS:
            return self.plural or self.noun in lex.CROWDS
        if pronoun in lex.NEUTER:
            return "p" not in kinds(self.noun)
        words = self.phrase.text.split()
        name = words[-1][0].isupper() and (len(words) > 1 or kinds(self.noun) == "n") and not self.article
        return alive(self.noun) or name

    @property
    def part(self) -> bool:
        """Is it a part of what it hangs on, or worn by it?"""
        return bool({"w", "b"} & set(kinds(self.noun)))

    @property
    def holds(self) -> bool:
        """Is it there for what it holds: "a room with a lamp", "a table with a cup"?"""
        return self.scene or self.noun in lex.SURFACES

    @property
    def owner(self) -> "Thing | None":
        """Its holder where that has it: "a man with a hat"."""
        return self.holder if self.hangs in lex.HAVING else None

    @property
    def hanging(self) -> bool:
        """Is it said about its holder, and not the other way round?"""
        shows = self.hangs in lex.SHOWING  # "a window depicting a lion"
        shown = shows or (self.hangs in lex.PICTURING and self.holder is not None and self.holder.holds)
        return bool(self.hangs) and not shown and not self.apart


@dataclass(frozen=True, eq=False)
class Statement:
    """Relation words with their things, or still without their subjects: each subject stands so to each object."""

    start: int  # in the prompt's characters
    relations: tuple[str, ...]
    objects: tuple[Thing, ...]
    second: Thing | None = None
    subjects: tuple[Thing, ...] = ()
    turned: bool = False  # "a castle surrounded by a moat": the objects stand so to the subjects

    def wishes(self) -> tuple[Wish, ...]:
        """One for each subject, relation and object; none of a thing to itself or of what is not there."""
        second = self.second.phrase if self.second else None
        ends = (self.objects, self.subjects) if self.turned else (self.subjects, self.objects)
        return tuple(
            Wish(subject.phrase, relation, object.phrase, second)
            for subject in ends[0]
            for relation in self.relations
            for object in ends[1]
            if subject.phrase.span != object.phrase.span and not subject.missing
        )


class Placed(NamedTuple):
    """A thing and its place in the picture, "a dog on the left"; start: of the words of place in the prompt."""

    start: int
    thing: Thing
    place: Direction
    holder: Thing | None = None  # what it may be beside instead, "a bed with a lamp on the left"
    said: bool = True  # else only the place of one as seen from another, "a bird above, a fish below"
    bare: bool = False  # "two slices left"


class Clause(NamedTuple):
    """What is remembered since the last relation."""

    old: Thing | None = None  # the object of that relation
    nearest: Thing | None = None  # the last thing since
    free: Thing | None = None  # the last of them that hangs on nothing
    preposition: str = ""  # the one since the last thing
    verb: str = ""  # and which verb
    aside: Thing | None = None  # what stood before the last comma
    dash: Thing | None = None  # and before the last dash
    since_thing: frozenset[str] = frozenset()  # kinds of pieces since the last thing
    since_relation: frozenset[str] = frozenset()  # and since the last relation
    plural: bool = False  # "both", "stand": what comes is about all that are joined
    negated: bool = False  # "not"


class Sentence(NamedTuple):
    """What is remembered since the last full stop."""

    first: Thing | None = None  # the first thing that hangs on nothing
    opening: Statement | None = None  # the first that was said
    said: Statement | None = None  # the last
    landmark: tuple[Thing, ...] = ()  # what "its" stood for
    waiting: Statement | None = None  # what still has no subject
    outer: Statement | None = None  # what waited before it: "behind the bar, above which hangs a clock, stands a cook"
    waiting_place: tuple[int, Direction] | None = None  # the same of "on the left": its start and place
    waited: tuple[Thing, Statement | tuple[int, Direction]] | None = None  # what came for it
    row: str = ""  # the relation of "from left to right"
    last_in_row: Thing | None = None


class Mind(NamedTuple):
    """What is remembered from the whole prompt, with the sentence and the clause that are being read."""

    topic: Thing | None = None  # what the last sentence was about
    lately: tuple[Thing, ...] = ()  # the last three things that hang on nothing
    several: tuple[Thing, ...] = ()  # the last two plurals
    hero: Thing | None = None  # the first person or animal
    held: tuple[Thing, ...] = ()  # the last two things that something is done to
    pair: tuple[Thing, ...] = ()  # of the last sentence: "A cat sits beside a dog. A bird flies above them."
    base: Thing | None = None  # on what the last thing rests
    ground: Thing | None = None  # from where it was seen: "left of the door is a window"
    placed: tuple[Placed, ...] = ()
    stated: tuple[tuple[int, Wish], ...] = ()  # by the part read last, each with the start of its relation words
    doubts: tuple[tuple[Wish, Wish], ...] = ()  # what was read, and what may be meant as well
    sentence: Sentence = Sentence()
    clause: Clause = Clause()

    def in_sentence(self, **changes) -> "Mind":
        return self._replace(sentence=self.sentence._replace(**changes))

    def in_clause(self, **changes) -> "Mind":
        return self._replace(clause=self.clause._replace(**changes))

    def begin_clause(self, old: Thing | None) -> "Mind":
        return self._replace(clause=Clause(old))

    def wait(self, statement: Statement) -> "Mind":
        """Its subject is still to come."""
        return self.begin_clause(statement.objects[0]).in_sentence(waiting=statement)

    def say(self, *statements: Statement) -> "Mind":
        """Take the wishes of statements that have all their things; one without wishes is as if it were not said."""
        said = {statement: wishes for statement in statements if (wishes := statement.wishes())}
        if not said:
            return self
        first, last = next(iter(said)), next(reversed(said))
        stated = tuple((statement.start, wish) for statement, wishes in said.items() for wish in wishes)
        mind = self._replace(stated=self.stated + stated)
        return mind.in_sentence(said=last, opening=self.sentence.opening or first)
