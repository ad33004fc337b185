"""Which tokens of a prompt are a phrase's. Pure Python: compares lists of ids, from whichever tokenizer."""

import unicodedata
from collections.abc import Sequence

STAND_INS = "qxkzj", "73590"

Ids = Sequence[int | None]


def variants(prompt: str, span: tuple[int, int]) -> tuple[list[str], str]:
    """The prompt with a stand-in word in place of the phrase at `span` (characters), and with words put in after it.

    Two stand-ins, a letter and a digit: a bracket before the phrase may join one and not the other. They are no
    characters of the phrase, so no token at its ends can be theirs too.
    """
    start, end = span
    phrase = unicodedata.normalize("NFKD", prompt[start:end]).casefold()
    words = [next((word for word in words if word not in phrase), words[0]) for words in STAND_INS]
    replaced = [prompt[:start] + word + prompt[end:] for word in words]
    following = unicodedata.normalize("NFKD", prompt[end:].strip()[:1]).casefold()
    more = f" {next(word for word in STAND_INS[0] if word not in following)}" * 4 + " "
    return replaced, prompt[:end] + more + prompt[end:]


def phrase_positions(prompt: Ids, replaced: Sequence[Ids], longer: Ids) -> tuple[int, ...]:
    """Positions of the phrase's tokens among the prompt's.

    prompt: token ids, None for specials and padding, which are left out while comparing.
    replaced, longer: the tokens of `variants`.
    Returns an empty tuple when the prompt's tokens do not hold the phrase. A token of the phrase and its neighbour, as
    "(dog" can be, is taken.
    """
    at = [i for i, token in enumerate(prompt) if token is not None]
    ids, longer = _words(prompt), _words(longer)
    others = [_words(other) for other in replaced]
    # Equal tokens at the start or end are text outside the phrase, so the longest such run is the nearest to it.
    start = max(_common(ids, other) for other in others)
    if len(longer) > len(ids):
        end = len(ids) - max(_common(ids[::-1], other[::-1]) for other in others)
    else:  # The prompt was cut off: its end moves when the phrase does, so compare what stands before that.
        end = max(_common(ids, longer), start + 1)
    return tuple(at[start:end])


def _words(ids: Ids) -> list[int]:
    return [token for token in ids if token is not None]


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many elements are equal at the start."""
    pairs = zip(a, b, strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
