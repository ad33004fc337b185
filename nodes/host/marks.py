"""Which prompt a CONDITIONING was made of: it forgets its text, so Relation Parse marks it."""

import node_helpers

MARK = "learn_to_steer"  # in an entry of a CONDITIONING: the prompt that it was encoded from


def mark(conditioning: list, prompt: str) -> list:
    """The CONDITIONING with every entry marked by the prompt that it was encoded from.

    A CONDITIONING forgets its text, but the host's nodes keep an entry's other values: Combine, Concat, Average (its
    first input's), SetArea, SetTimestepRange, ControlNet and the rest pass the mark on.
    """
    return node_helpers.conditioning_set_values(conditioning, {MARK: prompt})


def encoded_from(entries: list, prompt: str) -> list:
    """Those of a conditioning's entries that are marked with the prompt.

    entries: of a CONDITIONING, (tensor, values), or as samplers hold them, the values. Raises ValueError for none.
    """
    values = (entry if isinstance(entry, dict) else entry[1] for entry in entries)
    ours = [entry for entry, marked in zip(entries, values, strict=True) if marked.get(MARK) == prompt]
    if not ours:
        raise ValueError(
            f'The positive conditioning was not encoded from "{prompt}", whose relations are meant. Connect the '
            "positive output of that Relation Parse; nodes in between may change or combine it, but Concat and Average "
            "keep only what comes first (conditioning_to). Does it come second, or did another node encode it? Then "
            "lead it through Relation Parse's conditioning input."
        )
    return ours
