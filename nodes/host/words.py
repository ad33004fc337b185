"""Where a prompt's phrases stand among the text rows that a diffusion model attends to, for the host's text encoders.

The tokens of a phrase are found in the host's own tokens (steering/tokens.py); encoders.py says which become rows.
"""

import numbers

import torch

from ...steering.maps import pooling
from ...steering.tokens import phrase_positions, variants
from ...steering.words import Phrase, Wish, Words
from .encoders import ENCODERS, Part, RowTokens, to_the_right_of_512
from .pieces import Piece

BY_HAND = 'in Relation Parse\'s corrections, as "dog@2 | left of | cat@7-8"'
CLIPS = ("l", "g", "h")
MODULES = {"l": "clip_l", "g": "clip_g", "h": "clip_h", "byt5": "byt5_small"}


def find_words(
    clip, prompt: str, wishes: tuple[Wish, ...], rows: int | None = None, pieces: tuple[Piece, ...] = ()
) -> Words:
    """rows: of the CONDITIONING's tensor that was made of the prompt, when it is to be checked; pieces: the stretches
    of the prompt that it holds, where these are known.

    Raises ValueError as find_rows does; for phrases whose rows were given by hand, when these are too high.
    """
    phrases: dict[Phrase, tuple[int, ...]] = {}
    for wish in wishes:
        for phrase in wish.things:
            if phrase.rows:
                pooling([phrase.rows], rows_to_choose(clip, prompt, rows))  # says so when they are too high
                phrases[phrase] = phrase.rows
            elif phrase not in phrases:
                phrases[phrase] = _rows_in(clip, prompt, phrase, rows, pieces)
    order = list(phrases)
    pairs = tuple(tuple(map(order.index, wish.things)) for wish in wishes)
    return Words(prompt, wishes, tuple(phrase.text for phrase in order), tuple(phrases.values()), pairs)


def _rows_in(clip, prompt: str, phrase: Phrase, rows: int | None, pieces: tuple[Piece, ...]) -> tuple[int, ...]:
    """Rows of a phrase, in the piece that holds it if there are pieces."""
    if not pieces:
        return _joined(find_rows(clip, prompt, phrase.span, rows))
    start, end = phrase.span
    for piece in pieces:
        if piece.start <= start and end <= piece.start + len(piece.text):
            found = _joined(find_rows(clip, piece.text, (start - piece.start, end - piece.start)))
            return tuple(piece.row + row for row in found)
    raise ValueError(f'"{phrase.text}" is cut in two by a BREAK. Give its token positions by hand, {BY_HAND}.')


def _joined(found: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted(row for part in found.values() for row in part))


def find_rows(clip, prompt: str, span: tuple[int, int], rows: int | None = None) -> dict[str, tuple[int, ...]]:
    """Rows that hold the phrase at `span` (characters) in the text sequence that the diffusion model's attention sees.

    rows: of the CONDITIONING's tensor, when it is to be checked. More than the prompt makes are pictures before it
    (Qwen-Image Edit), for encoders that take them.
    Returns the rows by part, {"clip": (3,), "t5xxl": (80, 81)}, counted from the whole sequence's first row.
    Raises ValueError for an unknown encoder, a phrase that its tokens do not hold, or a CONDITIONING of other rows.
    """
    parts = _parts(clip)
    phrase = prompt[slice(*span)]
    replaced, longer = variants(prompt, span)
    tokens = _tokens(clip, prompt)
    others = [_tokens(clip, text) for text in (*replaced, longer)]
    offset, found = 0, {}
    pictures = 0 if rows is None else _pictures(clip, _stored(clip, parts, tokens), rows)
    for part in parts:
        if not part.attended:
            continue
        keys, sequences, length = _sequences(clip, part, tokens)
        offset += pictures if part.stored else 0
        at = set()
        for key, sequence in zip(keys, sequences, strict=True):
            ids = [_ids(text.get(key, []), others[0].get(key, [])) for text in (tokens, *others)]
            wanted = phrase_positions(ids[0], ids[1:-1], ids[-1]) if phrase.strip() else ()
            at |= {offset + row for row, token in enumerate(sequence[:length]) if token in wanted}
        key = _keys(clip, part)[0]
        name = part.name or ("clip" if key in CLIPS else key)
        if at:
            found[name] = tuple(sorted(at))
        elif keys and not part.optional:
            raise ValueError(
                f'"{phrase}" is not among the tokens of the prompt that {_name(clip)} keeps ({name}, {length} rows). '
                f"Make the prompt shorter, or name it nearer to the beginning."
            )
        offset += length
    return found


def text_rows(clip, prompt: str, rows: int | None = None) -> int | None:
    """Rows of the text sequence that the diffusion model's attention sees; `rows` for an unknown encoder."""
    try:
        parts = _parts(clip)
    except ValueError:
        return rows
    tokens = _tokens(clip, prompt)
    pictures = 0 if rows is None else _pictures(clip, _stored(clip, parts, tokens), rows)
    return pictures + sum(_sequences(clip, part, tokens)[2] for part in parts if part.attended)


def rows_to_choose(clip, prompt: str, rows: int | None = None) -> int | None:
    """As text_rows, for positions that are given by hand: a CONDITIONING may have other rows than the prompt makes."""
    try:
        return text_rows(clip, prompt, rows)
    except ValueError:  # rows is given, and not the prompt's
        stored = _stored(clip, _parts(clip), _tokens(clip, prompt))
        return (rows or 0) + (text_rows(clip, prompt) or 0) - stored


def takes_pictures(clip, prompt: str, rows: int) -> bool:
    """Whether a CONDITIONING of so many rows can be the prompt's with pictures before it."""
    return rows > _stored(clip, _parts(clip), _tokens(clip, prompt)) and hasattr(
        clip.tokenizer, "llama_template_images"
    )


def one_sequence(clip) -> bool:
    """Whether attention sees the CONDITIONING's own rows and no others, each where it stands."""
    try:
        parts = _parts(clip)
    except ValueError:
        return False
    return all(part.attended and part.stored and part.rows is not to_the_right_of_512 for part in parts)


def _sequences(clip, part: Part, tokens: dict) -> tuple[list[str], list[RowTokens], int]:
    """The part's keys, for each the token of every row, and the number of rows (the fewest of all)."""
    keys = _present(clip, part, tokens)
    sequences = [part.rows([token for token, _ in tokens[key]]) for key in keys]
    return keys, sequences, min(map(len, sequences), default=part.absent)


def _parts(clip) -> tuple[Part, ...]:
    """Raises ValueError for an encoder that is not in the table."""
    model = clip.cond_stage_model
    coder = _coder(model)
    if coder == "SD1ClipModel":  # encodes with its only encoder
        coder = _coder(getattr(model, model.clip))
    names = [cls.__name__ for cls in type(clip.tokenizer).__mro__] + [coder]
    parts = next((ENCODERS[name] for name in names if name in ENCODERS), None)
    if parts is None:
        raise ValueError(
            f"Which rows hold a word is not known for the text encoder {_name(clip)}. Give the token positions by "
            f"hand, {BY_HAND}."
        )
    return parts


def _coder(module) -> str:
    """Name of the class whose encode_token_weights the module has."""
    return next((cls.__name__ for cls in type(module).__mro__ if "encode_token_weights" in vars(cls)), "")


def _name(clip) -> str:
    return type(clip.cond_stage_model).__name__.rstrip("_")


def _keys(clip, part: Part) -> tuple[str, ...]:
    return part.keys or (clip.cond_stage_model.clip_name,)


def _present(clip, part: Part, tokens: dict) -> list[str]:
    """The part's keys that have tokens and an encoder: any of SD3's and HiDream's can be missing."""
    model = clip.cond_stage_model
    return [
        key for key in _keys(clip, part) if key in tokens and getattr(model, MODULES.get(key, key), model) is not None
    ]


def _stored(clip, parts: tuple[Part, ...], tokens: dict) -> int:
    """Rows of the CONDITIONING's tensor."""
    total = 0
    for part in parts:
        if part.stored:
            keys = _present(clip, part, tokens)
            counts = [
                sum(token is not None for token in part.rows([token for token, _ in tokens[key]])) for key in keys
            ]
            total += min(counts, default=part.absent)
    return total


def _pictures(clip, expected: int, rows: int) -> int:
    """Rows of pictures before the prompt. Raises ValueError when they cannot be that."""
    if rows == expected or (rows > expected and hasattr(clip.tokenizer, "llama_template_images")):
        return rows - expected
    raise ValueError(
        f"The CONDITIONING has {rows} text rows, but {_name(clip)} makes {expected} of this prompt. Connect one that "
        f"was made of the same prompt with the same CLIP, or give the token positions by hand, {BY_HAND}."
    )


def _tokens(clip, text: str) -> dict[str, list[tuple[int, bool]]]:
    """Key -> (id, is a word's) of each token, chunks one after another; an embedding's vectors have the id -1."""
    result: dict[str, list[tuple[int, bool]]] = {}
    for key, chunks in clip.tokenize(text, return_word_ids=True).items():
        if not isinstance(chunks, list):  # Qwen-Image 2.1 adds a bool
            continue
        width = _width(clip, key)
        result[key] = []
        for chunk in chunks:
            # Vectors of another model's embedding are dropped, and padding takes their places at the chunk's end.
            misfit = [torch.is_tensor(token[0]) and width not in (None, token[0].shape[-1]) for token in chunk]
            result[key] += [
                (int(token[0]) if isinstance(token[0], numbers.Integral) else -1, len(token) < 3 or token[2] != 0)
                for token, wrong in zip(chunk, misfit, strict=True)
                if not wrong
            ]
            result[key] += [(-1, False)] * sum(misfit)
    return result


def _width(clip, key: str) -> int | None:
    """Channels of the encoder's token embeddings; None when it has none of its own."""
    encoder = getattr(clip.cond_stage_model, MODULES.get(key, key), None)
    transformer = getattr(encoder, "transformer", None)
    if transformer is None:
        return None
    return getattr(transformer.get_input_embeddings(), "embedding_dim", None)


def _ids(tokens: list[tuple[int, bool]], marked: list[tuple[int, bool]]) -> list[int | None]:
    """Ids with None for specials and padding. A tokenizer that marks no word, even in `marked`, has none."""
    marks = any(word for _, word in marked)
    return [token if word or not marks else None for token, word in tokens]
