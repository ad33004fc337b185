"""Words of a prompt in a CONDITIONING that another node made: entry by entry, found or refused."""

from ...steering.words import Wish, Words
from .marks import mark
from .pieces import pieces_in
from .words import BY_HAND, find_words, one_sequence, takes_pictures


def words_of_given(clip, prompt: str, wishes: tuple[Wish, ...], conditioning: list) -> tuple[Words, list, list[str]]:
    """The words, the CONDITIONING with those of its entries marked that are of this prompt, and what the user should
    know. Raises ValueError when none is."""
    if all(phrase.rows for wish in wishes for phrase in wish.things):  # by hand, or nothing to find
        words = find_words(clip, prompt, wishes, rows=conditioning[0][0].shape[-2])
        return words, mark(conditioning, prompt, one_sequence(clip)), []
    moved = one_sequence(clip)
    held = [pieces_in(clip, prompt, entry[0], moved) for entry in conditioning]
    pieces = next((pieces for pieces in held if pieces), ())
    if pieces:
        marked = [
            mark([entry], prompt, moved)[0] if found == pieces else entry
            for entry, found in zip(conditioning, held, strict=True)
        ]
        left = len(held) - held.count(pieces)
        notes = [f"{left} of the conditioning's {len(held)} parts are not of this text: they are not steered."]
        return find_words(clip, prompt, wishes, pieces=pieces), marked, notes if left else []
    rows = conditioning[0][0].shape[-2]
    words = find_words(clip, prompt, wishes, rows=rows)  # says so when the number of rows is another
    if takes_pictures(clip, prompt, rows):
        note = "The conditioning holds pictures: whether it is of this text too could not be checked."
        return words, mark(conditioning, prompt, moved), [note]
    raise ValueError(
        "The CONDITIONING is not of this text: encoded here, the text gives other rows. Connect what the same CLIP "
        "made of exactly this text alone, for all its encoders (prompts that change while sampling, weights of another "
        f"pack, pictures, or a mixture are not), or give the token positions by hand, {BY_HAND}."
    )
