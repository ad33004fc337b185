"""A prompt -> its wishes: which thing is to be where, and which characters name it.

text -> pieces (phrases.py, with the words of lexicon.py) -> wishes (reader.py) -> without repetitions (checks.py).
`python -m steering.prompts` reads one prompt a line and writes one JSON object a line.
"""

from .checks import Parsed, checked
from .corrections import override
from .phrases import pieces
from .reader import read

__all__ = ["Parsed", "override", "parse"]


def parse(prompt: str) -> Parsed:
    """The wishes that the prompt states, none for many a prompt. Never raises; takes time linear in its length."""
    return checked(prompt, read(pieces(prompt)))
