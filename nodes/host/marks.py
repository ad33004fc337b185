"""Which prompt a CONDITIONING was made of: it forgets its text, so Relation Parse marks it."""

from typing import NamedTuple

import torch
from torch import Tensor

from ...steering.words import Words

MARK = "learn_to_steer"  # in an entry of a CONDITIONING: its Mark
OWN = 0.5  # a word's row is still its own above this cosine: own rows mixed with others to 0.7 give 0.78 and more,
# other texts' rows nearly always less (the demo's encoder, 7 prompts)


class Mark(NamedTuple):
    """The prompt that an entry was encoded from, and the rows that came of it, (B, rows, channels).

    one_sequence: attention sees these rows and no others, each where it stands.
    """

    prompt: str
    rows: Tensor
    one_sequence: bool


def mark(conditioning: list, prompt: str, one_sequence: bool = True) -> list:
    """The CONDITIONING with every entry marked by the prompt that it was encoded from.

    A CONDITIONING forgets its text, but the host's nodes keep an entry's other values: Combine, Concat, Average (its
    first input's), SetArea, SetTimestepRange, ControlNet and the rest pass the mark on.
    """
    return [[rows, {**values, MARK: Mark(prompt, rows, one_sequence)}] for rows, values in conditioning]


def encoded_from(entries: list, prompt: str) -> list:
    """Those of a conditioning's entries that are marked with the prompt.

    entries: of a CONDITIONING, (tensor, values), or as samplers hold them, the values. Raises ValueError for none.
    """
    values = (entry if isinstance(entry, dict) else entry[1] for entry in entries)
    ours = [
        entry for entry, marked in zip(entries, values, strict=True) if MARK in marked and marked[MARK].prompt == prompt
    ]
    if not ours:
        raise ValueError(
            f'The positive conditioning was not encoded from "{prompt}", whose relations are meant. Connect the '
            "positive output of that Relation Parse; nodes in between may change or combine it, but Concat and Average "
            "keep only what comes first (conditioning_to). Does it come second, or did another node encode it? Then "
            "lead it through Relation Parse's conditioning input."
        )
    return ours


def gone(entry: dict, words: Words) -> str | None:
    """A word whose rows are another text's by now, as after Average with little weight; None when all are there.

    entry: as samplers hold it. Raises ValueError where rows were added after the mark and the words' places are then
    unknown.
    """
    mark, rows = entry[MARK], entry.get("cross_attn")
    if rows is None:
        return None
    if not mark.one_sequence:
        if rows.shape[-2] != mark.rows.shape[-2]:
            raise ValueError(
                f"The positive conditioning has {rows.shape[-2]} text rows, {mark.rows.shape[-2]} when Relation Parse "
                "encoded it, and with this text encoder the words then stand elsewhere. Bypass the node that added "
                "rows (Conditioning Concat), or lead its result through Relation Parse's conditioning input and give "
                "the token positions by hand."
            )
        return None
    own, now = (text.float().cpu() - text.float().cpu().mean(-2, keepdim=True) for text in (mark.rows, rows))
    for name, places in zip(words.names, words.rows, strict=True):
        at = list(places)
        if max(at) < min(own.shape[-2], now.shape[-2]):
            alike = torch.cosine_similarity(own[:1, at], now[:1, at], dim=-1)
            if own[:1, at].any() and alike.max() < OWN:
                return name
    return None
