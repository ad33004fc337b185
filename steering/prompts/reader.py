"""A prompt's pieces -> the relations that it states.

Reads the pieces once from left to right and keeps in mind what a reader would: the thing spoken of, what hangs on it,
the relation before, and words of place that still wait for their thing.
"""

from dataclasses import dataclass

from ..relations import DIRECTIONS, NAME_OF, OPPOSITE
from ..words import Phrase, Wish
from . import lexicon as lex
from .phrases import Piece, is_plural


@dataclass
class _Thing:
    """A thing of the picture and how it came up."""

    phrase: Phrase
    noun: str
    article: str = ""
    holder: "_Thing | None" = None  # what it hangs on: "a man with a hat"
    hangs: str = ""  # the word by which it hangs, "with"
    apart: bool = False  # "a kitchen, with a cat under the table"
    missing: bool = False  # "no dog", "without a dog"
    joined: "_Thing | None" = None  # what stands before it in "a dog and a cat"

    @property
    def group(self) -> list["_Thing"]:
        """Those joined with it, and itself, in order."""
        group = [self]
        while group[-1].joined:
            group.append(group[-1].joined)
        return group[::-1]

    @property
    def scene(self) -> bool:
        return self.noun in lex.SCENES

    @property
    def plural(self) -> bool:
        return self.article in lex.PLURALS or is_plural(self.noun) or self.joined is not None

    @property
    def holds(self) -> bool:
        """Is it there for what it holds: "a room with a lamp", "a table with a cup"?"""
        return self.scene or self.noun in lex.SURFACES

    @property
    def owned(self) -> bool:
        """Does its holder have it: "a man with a hat"?"""
        return self.holder is not None and self.hangs in lex.HAVING

    @property
    def hanging(self) -> bool:
        """Is it said about its holder, and not the other way round?"""
        shown = self.hangs in lex.PICTURING and self.holder is not None and self.holder.holds
        return bool(self.hangs) and not shown and not self.apart


@dataclass
class _Said:
    """A relation's words, with its things or still without its subjects."""

    where: int  # in the prompt's characters
    labels: list[str]
    objects: list[_Thing]
    second: _Thing | None = None
    subjects: tuple[_Thing, ...] = ()


def read(pieces: list[Piece]) -> list[Wish]:
    """The relations in the order of their words. Never raises; takes time linear in the number of pieces."""
    return _Reader(pieces).read()


class _Reader:
    def __init__(self, pieces: list[Piece]):
        self.pieces = pieces
        self.found: list[tuple[int, Wish]] = []  # with the place in the text
        self.placed: list[tuple[int, _Thing, tuple[int, ...]]] = []  # "a dog on the left"
        self.topic: _Thing | None = None  # what the last sentence was about
        self.lately: list[_Thing] = []  # the last three things that hang on nothing
        self.several: list[_Thing] = []  # the last two plurals
        self.ground: _Thing | None = None  # from where it was seen: "left of the door is a window"
        self._begin_sentence()

    def _begin_sentence(self) -> None:
        self.first: _Thing | None = None  # the first thing that hangs on nothing
        self.opening: _Said | None = None  # the first relation
        self.said: _Said | None = None  # the last one
        self.landmark: list[_Thing] = []  # what "its" stood for
        self.waiting: _Said | None = None  # a relation whose subject is still to come
        self.waiting_place: tuple[int, tuple[int, ...]] | None = None  # the same of "on the left"
        self.beside: list[_Said] = []  # "a sofa with a lamp on the right"
        self.row, self.last_in_row = "", None  # "from left to right"
        self._begin_clause(None)

    def _begin_clause(self, old: _Thing | None) -> None:
        self.old = old  # the object of the relation before
        self.nearest: _Thing | None = None  # the last thing since
        self.free: _Thing | None = None  # the last of them that hangs on nothing
        self.preposition = self.verb = ""  # what stands since the last thing
        self.aside: _Thing | None = None  # what stood before the last comma
        self.dash: _Thing | None = None  # and before the last dash
        self.since: set[str] = set()  # kinds of pieces since the last thing
        self.between: set[str] = set()  # kinds of pieces since the last relation
        self.plural = self.negated = False

    def read(self) -> list[Wish]:
        i = 0
        while i < len(self.pieces):
            i = self._piece(i)
        self._end_sentence()
        self._pair_places()
        return [relation for _, relation in sorted(self.found, key=lambda found: found[0])]

    def _kind(self, i: int) -> str:
        return self.pieces[i].kind if 0 <= i < len(self.pieces) else "stop"

    def _begins(self, i: int) -> bool:
        """Does a clause begin at i?"""
        return self._kind(i - 1) in ("stop", "comma", "dash", "join", "there")

    def _piece(self, i: int) -> int:
        """Take in the piece at i. Returns the index of the next one."""
        piece = self.pieces[i]
        match piece.kind:
            case "relation":
                return self._relation(i)
            case "thing":
                self._thing(piece)
            case "pronoun":
                if meant := self._meant(piece.text, None):
                    self.nearest = self.free = meant[0]
                    self.since = set()
            case "adverb":
                self._adverb(piece.start, piece.label)
            case "side":
                self._side(piece.start, self._begins(i), i + 1, piece.place)
            case "row":
                self._row(piece)
            case "verb":
                self._verb(piece.text)
            case "preposition":
                self.preposition = piece.text
                self.since.add("preposition")
            case "not":
                self.negated = True
            case "both":
                self.plural = True
            case "comma" | "dash":
                self._comma(piece.kind, self._kind(i + 1))
            case "join":
                self._begin_part("join")
            case "stop":
                self._end_sentence()
            case kind:  # which, there
                self.since.add(kind)
                self.between.add(kind)
                self.preposition = ""
        return i + 1

    def _begin_part(self, kind: str) -> None:
        self.since.add(kind)
        self.between.add(kind)
        self.negated = False
        self.preposition = self.verb = ""

    def _comma(self, kind: str, following: str) -> None:
        """A comma or dash; the second one may end an aside: "the queen, gilded and immense, sits above"."""
        self._begin_part("comma")
        before = self.dash if kind == "dash" else self.aside
        if before and following in ("verb", "relation", "side") and self.nearest is not before:
            self.nearest = self.free = before
            self.since = {"comma"}
            self.aside = self.dash = None
        elif kind == "dash":
            self.dash = self.free
        else:
            self.aside = self.free

    def _verb(self, text: str) -> None:
        self.verb = text
        if text in lex.BE:
            self.negated = False  # "a letter that she never opened is under the door"
        self.plural = self.plural or text in lex.INTRANSITIVE or text in lex.PLURAL_BE
        self.since.add("verb")
        self.between.add("finite" if text in lex.FINITE else "participle")

    def _end_sentence(self) -> None:
        # Two are a pair: "a bed with a lamp on the left and a desk on the right".
        if len(self.beside) == 1 and self.placed[-1][1] is self.beside[0].subjects[0]:
            self._say(self.beside[0])
            self.placed.pop()
        topic = self.opening.subjects[0] if self.opening else self.first
        self.topic = topic if topic and topic.article != "its" else self.topic or topic
        self._begin_sentence()

    # --- things -------------------------------------------------------------------------------------------------

    def _thing(self, piece: Piece) -> None:
        if piece.text in lex.STYLE and not piece.article:
            self.since.add("comma")
            return
        thing = _Thing(piece.phrase, piece.text, piece.article)
        thing.missing = (
            piece.article == "no"
            or piece.text in lex.NOBODY | lex.COUNTED
            or self.preposition == "without"
            or (self.negated and (not self.verb or self.verb in lex.BE))
        )
        thing.apart = self.preposition == "with" and "comma" in self.since
        if self.since and self.since <= {"join", "comma"}:
            thing.joined = self.nearest
        self._hang(thing)
        before = thing.joined
        if before and before.hanging and not thing.hangs and thing.noun in lex.WORN:
            # "a boy with a hat and a red scarf"
            thing.holder, thing.hangs = before.holder, before.hangs
        if self.row and not thing.hanging:
            if self.last_in_row:
                self._say(_Said(piece.start, [self.row], [thing], None, (self.last_in_row,)))
            self.last_in_row = thing
        self.nearest = thing
        if not thing.hanging:
            self.free = thing
            if not thing.scene and not thing.missing:
                self.first = self.first or thing
            self.lately = [thing, *self.lately[:2]]
            if thing.plural:
                self.several = [thing, *self.several[:1]]
        self.preposition = self.verb = ""
        self.plural = self.negated = False
        self.since = set()

    def _hang(self, thing: _Thing) -> None:
        """Hang the thing on the one before by the preposition or verb between, or give it to words that wait for it."""
        if self.waiting and (self.verb or not self.preposition):  # "left of the door (is) a window"
            self.waiting.subjects = (thing,)
            self._say(self.waiting)
            self.ground, self.waiting = self.waiting.objects[0], None
        elif self.waiting_place and not self.preposition:  # "on the left (is) a window"
            (where, place), self.waiting_place = self.waiting_place, None
            self._place(where, thing, place)
        else:
            holder = self.free or self.old
            if self.preposition:
                thing.holder, thing.hangs = holder, self.preposition
            elif "which" in self.since and not self.verb:  # "an easel that a painter has set up"
                thing.holder, thing.hangs = holder, "which"
            elif holder and self.verb not in {""} | lex.BE | lex.PLACING and "there" not in self.since:
                thing.holder, thing.hangs = holder, self.verb

    def _meant(self, pronoun: str, subject: _Thing | None, *nearer: _Thing | None) -> list[_Thing]:
        """What "it" or "them" stands for, said about the subject, which it cannot be; nearer things go before."""
        topics = [*nearer, self.said and self.said.subjects[0], self.first, self.topic, self.ground]
        if pronoun in lex.PLURAL_PRONOUNS:
            topics = [thing for thing in (*topics, *self.several) if thing and thing.plural] + topics
        return [thing for thing in topics if thing and thing is not subject][:1]

    # --- relations ------------------------------------------------------------------------------------------------

    def _relation(self, i: int) -> int:
        """Relation words at i: say the relation, or let it wait for its subject. Returns the index after it."""
        begins, said = self._begins(i), _Said(self.pieces[i].start, [], [])
        said.labels, i = self._labels(i)
        match self._kind(i):
            case "thing" if not self._idiom(self.pieces[i], said.labels):
                return self._with_object(said, begins, i)
            case "pronoun":
                return self._with_pronoun(said, begins, i)
            case "which" if self.nearest:
                said.objects = [self.nearest]
                self._wait(said)
                return i + 1
            case "each other":
                group = self.nearest.group if self.nearest else []
                group = [one for one in group if not one.hanging]
                if len(group) < 2 and self.first in self.lately[:2]:
                    group = self.lately[1::-1]  # "a man with a hat and a dog side by side"
                for one, other in zip(group, group[1:], strict=False):
                    self._say(_Said(said.where, said.labels, [other], None, (one,)))
                self._begin_clause(self.nearest)
                return i + 1
            case kind:
                self._adverb(said.where, said.labels[0])
                return i + (kind == "thing")

    def _labels(self, i: int) -> tuple[list[str], int]:
        """The labels of relation words before one object, "above and to the left of", and the index after them."""
        labels, i = [self.pieces[i].label], i + 1
        while self._kind(i) == "join" and self._kind(i + 1) == "relation":
            labels.append(self.pieces[i + 1].label)
            i += 2
        directions = [DIRECTIONS[label] for label in labels if label in DIRECTIONS]
        if len(labels) == len(directions) == 2:
            both = tuple(map(sum, zip(*directions, strict=True)))
            labels = [NAME_OF[both]] if both in NAME_OF else labels
        return labels, i

    def _idiom(self, piece: Piece, labels: list[str]) -> bool:
        """Is the relation word none, "over the years", "above average"?"""
        one_word = piece.phrase.text.lower().startswith(piece.text)
        if "between" in labels and piece.phrase.text.isdigit():
            return True
        if piece.text in lex.COUNTED and piece.phrase.text[0].isdigit():
            return True
        if not one_word:
            return piece.text in lex.FIGURATIVE
        if not piece.article:
            return piece.text in lex.IDIOMS | lex.BARE_IDIOMS
        return piece.text in lex.IDIOMS and piece.article in ("the", "this")

    def _with_object(self, said: _Said, begins: bool, i: int) -> int:
        piece, after = self.pieces[i], i + 1
        said.objects = [_Thing(piece.phrase, piece.text, piece.article)]
        two = self._kind(after) == "join" and self._kind(after + 1) == "thing"
        if two and "between" in said.labels:
            other = self.pieces[after + 1]
            said.second = _Thing(other.phrase, other.text, other.article)
            after += 2
        bare = piece.article not in ("a", "an") and piece.phrase.text.lower().startswith(piece.text)
        if bare and piece.text in lex.PICTURE | lex.NOT_THINGS:
            if piece.text in lex.PICTURE and said.labels[0] in DIRECTIONS:
                self._side(said.where, begins, after, DIRECTIONS[said.labels[0]])
            return after
        if not self._inverted(begins, after):
            said.subjects = self._subjects(begins, said.objects[0])
        no_things = lex.BETWEEN_IDEAS if "between" in said.labels else ()
        none = any(thing.missing or thing.noun in no_things for thing in said.subjects)
        if none or self.negated or self.verb in lex.GAZING:
            self._begin_clause(said.objects[0])
            self.ground = said.objects[0]
        elif said.subjects:
            self.ground = None
            self._say(said)
            self._begin_clause(said.second or said.objects[0])
        elif begins:
            self._wait(said)
        return after

    def _with_pronoun(self, said: _Said, begins: bool, i: int) -> int:
        """ "with a cat on its left", "a lamp above it", "to its right stands a tree" """
        subject = None
        if not self._inverted(begins, i + 1):
            # "a table with a lamp above it" is about the lamp, "a man with a hat stands behind it" about the man.
            stands = self.verb in lex.FINITE and "which" not in self.since
            own = self.nearest and (not self.nearest.hangs or (self.nearest.owned and not stands))
            subject = self.nearest if own else (self._subjects(begins, None) or (None,))[0]
        opposite = self.said and OPPOSITE.get(self.said.labels[0]) == said.labels[0]
        pronoun, other = self.pieces[i].text, self.said and subject is not self.said.subjects[0]
        if subject and subject.owned:  # "a sofa with a cat on its left"
            said.objects = [subject.holder]
        elif subject and other and not self.landmark and (pronoun in lex.NEUTER or opposite):
            said.objects = self.said.objects[:1]  # "a dog left of a tree and a cat right of it"
        else:
            nearer = (*self.landmark, None if subject else self.ground)
            said.objects = self._meant(pronoun, subject, *nearer)
        if subject and not said.objects and begins and self._kind(i + 1) == "comma":
            said.objects, subject = [subject], None  # "a bookshop and, to its left, a cinema"
        if not said.objects or self.negated or (subject and subject.missing):
            self._begin_clause(None)
            return i + 1
        self.landmark = said.objects
        if "between" in said.labels and pronoun in lex.PLURAL_PRONOUNS:
            self._between_them(said, subject)
        if subject:
            said.subjects = (subject,)
            self._say(said)
            self._begin_clause(None)
        elif begins:
            self._wait(said)
        return i + 1

    def _between_them(self, said: _Said, subject: _Thing | None) -> None:
        """Two things that are joined, or else the last two: "on the left a cat, on the right a dog, between them" """
        thing = said.objects[0]
        lately = [one for one in self.lately if one is not subject]
        if thing.joined:
            said.objects, said.second = [thing.joined], thing
        elif not thing.plural and len(lately) > 1:
            said.objects, said.second = [lately[1]], lately[0]

    def _inverted(self, begins: bool, after: int) -> bool:
        """Does the subject stand behind the object, "under the tree (stands) a dog"?"""
        if self._kind(after) == "thing":
            return begins
        stands = self._kind(after) == "there" or (
            self._kind(after) == "verb" and self.pieces[after].text not in lex.CARRYING
        )
        return begins and stands and self._kind(after + 1) == "thing"

    def _wait(self, said: _Said) -> None:
        self._begin_clause(said.objects[0])
        self.waiting = said

    def _subjects(self, begins: bool, object: _Thing | None) -> tuple[_Thing, ...]:
        """What stands so: the thing before and those joined with it, or subject or object of the relation before."""
        thing = self.free
        if thing and begins and (thing.scene or (object and thing.phrase.name == object.phrase.name)):
            return ()  # "a room, under the window a bed"; "a sofa, and above the sofa a lamp"
        if thing and self.plural:
            return tuple(other for other in thing.group if not other.hangs)
        if thing:
            return (thing,)
        if self.said:
            main_clause = self.between & {"join", "comma", "finite"} and "which" not in self.between
            return tuple(self.said.subjects) if main_clause else (self.old,) if self.old else ()
        if self.nearest and not begins:
            return (self.nearest.holder or self.nearest,)
        return ()

    def _say(self, said: _Said) -> None:
        for subject in said.subjects:
            for label in said.labels:
                for object in said.objects:
                    if subject.phrase.span != object.phrase.span and not subject.missing:
                        second = said.second.phrase if said.second else None
                        self.found.append((said.where, Wish(subject.phrase, label, object.phrase, second)))
                        self.said = said
                        self.opening = self.opening or said

    # --- places: "on the left" --------------------------------------------------------------------------------------

    def _adverb(self, where: int, label: str) -> None:
        """ "a house with a car in front"; "a bird above, a fish below" """
        thing = self.nearest
        if thing is None or thing.missing or self.negated:
            return
        if thing.owned and not thing.holder.scene:
            self._say(_Said(where, [label], [thing.holder], None, (thing,)))
        elif label in DIRECTIONS:
            self._place(where, thing, DIRECTIONS[label])

    def _side(self, where: int, begins: bool, after: int, place: tuple[int, ...]) -> None:
        """A place in the picture, whose words begin a clause or not and end before the piece `after`."""
        if self.verb in lex.LOOKING or self.negated:
            return
        if begins and (self._inverted(begins, after) or not self.free):
            self.waiting_place = where, place
        elif self.nearest:
            self._place(where, self.nearest, place)

    def _place(self, where: int, thing: _Thing, place: tuple[int, ...]) -> None:
        """Remember that the thing stands there, or say it of the landmark that the sentence has already."""
        if thing.missing:
            return
        label = NAME_OF.get(place)
        if self.said and label and self.said.labels[0] in DIRECTIONS:
            one_axis = any(a and b for a, b in zip(DIRECTIONS[self.said.labels[0]], place, strict=True))
            others = (*self.said.objects, *self.said.subjects)
            if one_axis and all(thing.phrase.span != other.phrase.span for other in others):
                self._say(_Said(where, [label], self.said.objects, None, (thing,)))
                return
        self.placed.append((where, thing, place))
        if label and thing.owned and not thing.holder.scene:
            self.beside.append(_Said(where, [label], [thing.holder], None, (thing,)))

    def _pair_places(self) -> None:
        """Things that were given places, each against the one before: "a boat on the left, a car on the right"."""
        for (_, one, a), (where, other, b) in zip(self.placed, self.placed[1:], strict=False):
            step = [p - q for p, q in zip(a, b, strict=True)]
            label = NAME_OF.get(tuple((s > 0) - (s < 0) for s in step))
            corners = sum(map(bool, a)) > 1 and sum(map(bool, b)) > 1
            if label and (corners or sum(map(bool, step)) == 1):
                self._say(_Said(where, [label], [other], None, (one,)))

    def _row(self, piece: Piece) -> None:
        """ "from left to right: a dog, a cat and a bird", or the row before these words"""
        group = self.nearest.group if self.nearest else []
        for one, other in zip(group, group[1:], strict=False):
            self._say(_Said(other.phrase.span[0], [piece.label], [other], None, (one,)))
        if len(group) < 2:
            self.row = piece.label
            self.preposition = self.verb = ""
