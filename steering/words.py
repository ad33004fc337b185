"""What a prompt wishes for, and which text rows name its things: plain data that all that follows works on."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """A noun phrase without its article, as typed; span: its characters in the prompt, end exclusive.

    rows: its rows of the conditioning where the user gave them by hand, else empty.
    """

    text: str
    span: tuple[int, int]
    rows: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Its words in lower case, one blank between them."""
        return " ".join(self.text.lower().split())


@dataclass(frozen=True)
class Wish:
    """The subject is to stand so to the object. relation: a name of relations.RELATIONS; object: None where it is a
    place in the picture, "upper left"; second: the other object of "between"."""

    subject: Phrase
    relation: str
    object: Phrase | None = None
    second: Phrase | None = None

    @property
    def objects(self) -> tuple[Phrase, ...]:
        """None of a place, two of "between"."""
        return tuple(phrase for phrase in (self.object, self.second) if phrase)

    @property
    def things(self) -> tuple[Phrase, ...]:
        """The subject, then the objects."""
        return (self.subject, *self.objects)

    @property
    def object_text(self) -> str:
        return " and ".join(phrase.text for phrase in self.objects)

    @property
    def sentence(self) -> str:
        """ "dog left of cat"; of a place, "dog upper left" """
        return f"{self.subject.text} {self.relation} {self.object_text}".rstrip()

    def __str__(self) -> str:
        return " | ".join([self.subject.text, self.relation, *([self.object_text] if self.object else [])])


@dataclass(frozen=True)
class Words:
    """A prompt's wishes and the rows of their phrases, in the text sequence that the model's attention sees.

    prompt: the text, which marks the conditioning that was made of it; names, rows: of each phrase that maps are read
    for; pairs: the things of each wish as indices into names and rows, (subject, object), one of a
    place, three of "between".
    """

    prompt: str
    wishes: tuple[Wish, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, ...], ...]

    def only(self, wanted: Callable[[Wish], bool]) -> "Words":
        """The same prompt with those of its wishes that are wanted, and the phrases that these name."""
        kept = [(wish, pair) for wish, pair in zip(self.wishes, self.pairs, strict=True) if wanted(wish)]
        named = sorted({word for _, pair in kept for word in pair})
        return Words(
            self.prompt,
            tuple(wish for wish, _ in kept),
            tuple(self.names[word] for word in named),
            tuple(self.rows[word] for word in named),
            tuple(tuple(map(named.index, pair)) for _, pair in kept),
        )
