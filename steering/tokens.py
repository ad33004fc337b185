"""Where a phrase's tokens stand in the conditioning. Pure Python: takes ids, from whichever tokenizer."""

import re
from collections.abc import Sequence


def occurrence(prompt: str, span: tuple[int, int]) -> int:
    """How many times the phrase at `span` (characters) stands in the prompt before it, as whole words, in any case."""
    words = re.escape(prompt[slice(*span)])
    return len(re.findall(rf"(?<!\w){words}(?!\w)", prompt[: span[0]], re.IGNORECASE))


def positions(ids: Sequence[int], phrase: Sequence[int], occurrence: int = 0) -> tuple[int, ...]:
    """Rows of the conditioning that hold the phrase's tokens.

    ids: the prompt's tokens as they reach the text encoder, specials and padding included, chunks one after another.
    phrase: the phrase's tokens without specials. occurrence: 0 for the first match.
    Returns an empty tuple when there is no such match.
    """
    ids, phrase = list(ids), list(phrase)
    if not phrase:
        return ()
    starts = [i for i in range(len(ids) - len(phrase) + 1) if ids[i : i + len(phrase)] == phrase]
    if occurrence >= len(starts):
        return ()
    return tuple(range(starts[occurrence], starts[occurrence] + len(phrase)))
