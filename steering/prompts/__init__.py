"""A prompt -> its wishes: which thing is to be where, and which characters name it.

text -> words (text.py) -> pieces (splitter.py; what a word is: forms.py, how far a noun phrase reaches: nouns.py) ->
parts, relation words together with their object (parts.py) -> wishes (reader.py, which keeps mind.py in mind; relation
words: statements.py, words of place without an object: places.py) -> without repetitions (checks.py).
vocabulary.py tells what a word can be, by WordNet;
lexicon.py holds the English of places; corrections.py reads wishes that are written by hand.
`python -m steering.relations` reads one prompt a line and writes one JSON object a line (command.py).
"""

from .checks import Parsed, checked

__all__ = ["NOTHING", "Parsed", "override", "parse"]

# For the user, where nothing was read.
NOTHING = (
    'No place or relation found. Write it like "a dog left of a cat", "a cup on a table" or "a dog on the left", in '
    "English; for other words and languages write lines into corrections."
)


# The English of all this is loaded when it is first read: it takes longer than the rest of the pack.


def parse(prompt: str) -> Parsed:
    """The wishes that the prompt states, none for many a prompt. Never raises; takes time linear in its length."""
    from .reader import read
    from .splitter import pieces

    return checked(prompt, *read(pieces(prompt)))


def override(prompt: str, lines: str) -> Parsed:
    """The wishes of lines that are written by hand, as corrections.py reads them; raises ValueError as it does."""
    from .corrections import override

    return override(prompt, lines)
