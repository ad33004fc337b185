"""Where a prompt's phrases stand among the text rows that a diffusion model attends to, for the host's text encoders.

The tokens of a phrase are found in the host's own tokens (steering/tokens.py); ENCODERS says which of them become which
rows. Read in ComfyUI 0.30.0: comfy/text_encoders/*.py, and extra_conds in comfy/model_base.py.
"""

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import node_helpers
import torch

from ...steering.attention import pooling
from ...steering.relations import Phrase, Relation
from ...steering.tokens import phrase_positions, variants

# --- A prompt's words, and the conditioning that was made of it ---------------------------------------------------

MARK = "learn_to_steer"  # in an entry of a CONDITIONING: the prompt that it was encoded from


@dataclass(frozen=True)
class Words:
    """A prompt's relations and the rows of their phrases, in the text sequence that the model's attention sees.

    pairs: (subject, object) of each relation, as indices into names and words; (subject, object, object) for "between".
    """

    prompt: str
    relations: tuple[Relation, ...]
    names: tuple[str, ...]
    words: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, ...], ...]


def find_words(
    clip, prompt: str, relations: tuple[Relation, ...], rows: int | None = None
) -> Words:
    """rows: of the CONDITIONING's tensor that was made of the prompt, when it is to be checked.

    Raises ValueError as find_rows does; for phrases whose rows were given by hand, when these are too high.
    """
    phrases: dict[Phrase, tuple[int, ...]] = {}
    for relation in relations:
        for phrase in relation.things:
            if phrase.rows:
                pooling(
                    [phrase.rows], text_rows(clip, prompt, rows)
                )  # says so when they are too high
                phrases[phrase] = phrase.rows
            elif phrase not in phrases:
                parts = find_rows(clip, prompt, phrase.span, rows).values()
                phrases[phrase] = tuple(sorted(row for part in parts for row in part))
    order = list(phrases)
    pairs = tuple(tuple(map(order.index, relation.things)) for relation in relations)
    return Words(
        prompt, relations, tuple(phrase.text for phrase in order), tuple(phrases.values()), pairs
    )


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
    ours = [
        entry for entry, marked in zip(entries, values, strict=True) if marked.get(MARK) == prompt
    ]
    if not ours:
        raise ValueError(
            f'The positive conditioning was not encoded from "{prompt}", whose relations are meant. Connect the '
            "positive output of that Relation Parse; nodes in between may change or combine it. Encoded by another "
            "node? Then lead it through Relation Parse's conditioning input."
        )
    return ours


# --- Which tokens become rows: token ids -> the token of each row, None for a row of no token ------------------------

Rows = Sequence[int | None]


def every(ids: list[int]) -> Rows:
    return range(len(ids))


def after(count: int) -> Callable[[list[int]], Rows]:
    """All but the first tokens: a template of fixed length."""
    return lambda ids: range(count, len(ids))


def _find(ids: list[int], *wanted: int) -> int:
    """Index of the first run of these tokens, -1 for none."""
    n = len(wanted)
    return next((i for i in range(len(ids) - n + 1) if tuple(ids[i : i + n]) == wanted), -1)


def after_user(ids: list[int]) -> Rows:
    """Qwen-Image's template up to "<|im_start|>user\\n" is dropped, what follows the prompt stays."""
    turns = [i for i, token in enumerate(ids) if token == 151644][:2]
    start = turns[-1] if turns else len(ids) - 1
    if ids[start + 1 : start + 3] == [872, 198] and len(ids) > start + 3:
        start += 3
    return range(start, len(ids))


def after_user_or_36(ids: list[int]) -> Rows:
    """As after_user; a prompt that brings its own template, "<|start_header_id|>...", loses 36 tokens."""
    return range(36, len(ids)) if ids[:1] == [27] and len(ids) > 36 else after_user(ids)


def between_user_and_end(ids: list[int]) -> Rows:
    """LongCat drops what follows the prompt too. Rows of padding stay."""
    rows = after_user(ids) if 151644 in ids else every(ids)
    if 151645 not in ids:
        return rows
    tail = len(ids) - max(i for i, token in enumerate(ids) if token == 151645)
    return rows[:-tail] if tail < len(rows) else rows


def user_turn(ids: list[int]) -> Rows:
    """HunyuanVideo's Llama: after "user<|end_header_id|>\\n\\n" until "<|eot_id|>", which stays."""
    head = _find(ids, 128006, 882, 128007)
    start, end = max(head + 2, 0) if head >= 0 else 0, len(ids)
    if head >= 0 and 128009 in ids[start:]:
        end = ids.index(128009, start) + 1
    if ids[start + 1 : start + 2] == [271] and len(ids) > start + 2:
        start += 2
    return range(start, end)


def from_colon(ids: list[int]) -> Rows:
    """Ovis drops its template up to the colon of "... objects and background: "."""
    start = _find(ids, 4004) if 4004 in ids else len(ids) - 1
    return range(start + (ids[start + 1 : start + 2] == [25]), len(ids))


def first_and_last_299(ids: list[int]) -> Rows:
    """PixelDiT: the start token and the end of its long template with the prompt."""
    return every(ids) if len(ids) <= 300 else [0, *range(len(ids) - 299, len(ids))]


def to_the_right_of_512(ids: list[int]) -> Rows:
    """Flux.2 (Klein too) puts rows of zeros before a text of fewer than 512 tokens (model_base.Flux2)."""
    return [None] * (512 - len(ids)) + list(range(len(ids)))


def without_left_padding(ids: list[int]) -> Rows:
    return range(next((i for i, token in enumerate(ids) if token != 0), len(ids)), len(ids))


# --- Encoders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A stretch of the text sequence: the rows that one tokenizer's tokens become.

    keys: of clip.tokenize's dict, more than one where encoders share rows; none: the encoder's only one.
    attended: the diffusion model's attention sees the rows. stored: they are rows of the CONDITIONING's own tensor, not
    of another entry of it. absent: rows of zeros in place of an encoder that was not loaded.
    optional: the part holds only some of the prompt.
    """

    keys: tuple[str, ...] = ()
    rows: Callable[[list[int]], Rows] = every
    name: str = ""
    attended: bool = True
    stored: bool = True
    absent: int = 0
    optional: bool = False


CLIP = Part(("l", "g"), name="clip")
T5 = Part(("t5xxl",))
BYT5 = Part(("byt5",), stored=False, optional=True)  # only what is quoted in the prompt
QWEN = Part(rows=after_user_or_36)

# Class that encodes the tokens (or, first, that makes them) -> parts in the order in which attention sees them. A class
# that inherits its encoding from one of these is not listed.
ENCODERS: dict[str, tuple[Part, ...]] = {
    # SD1.x, SD2.x, SDXL's refiner, Stable Cascade, PixArt, Chroma, AuraFlow, Mochi, LTXV, CogVideoX, Cosmos, Wan,
    # Lumina 2, Z-Image, OmniGen2, Boogu, ERNIE
    "ClipTokenWeightEncoder": (Part(),),
    "SDXLClipModel": (CLIP,),
    "SD3ClipModel": (CLIP, T5),
    "FluxClipModel": (T5,),
    "Flux2TEModel": (Part(rows=to_the_right_of_512),),
    "HyditModel": (Part(("hydit_clip",)), Part(("mt5xl",), stored=False)),
    "HiDreamTEModel": (
        Part(("t5xxl",), absent=128),
        Part(("llama",), stored=False, absent=1),
        # each block adds its own layer of Llama
        Part(("llama",), name="llama of the block", stored=False, absent=1),
    ),
    "HiDreamO1TE": (Part(("hidream_o1",)),),
    "QwenImageTEModel": (Part(rows=after_user),),
    "HunyuanImageTEModel": (QWEN, BYT5),
    "HunyuanVideo15Tokenizer": (BYT5, QWEN),
    "HunyuanVideoClipModel": (Part(("llama",), user_turn),),
    "Kandinsky5TEModel": (Part(rows=after_user),),
    "LongCatImageTEModel": (Part(rows=between_user_and_end),),
    "Krea2TEModel": (Part(rows=after_user),),
    "MageFlowTEModel": (Part(rows=after_user),),
    "JoyImageTEModel": (Part(rows=after(34)),),
    "Ideogram4TEModel": (Part(),),
    "Ideogram4Qwen3VLTEModel": (Part(),),
    "OvisTEModel": (Part(rows=from_colon),),
    "NewBieTEModel": (Part(("gemma",)),),
    "LensGptOssClipModel": (Part(rows=after(97)),),
    "PixelDiTGemma2TE": (Part(rows=first_and_last_299),),
    "MiniMaxH3ClipModel": (Part(),),
    "LTXAVTEModel": (Part(("gemma3_12b",), without_left_padding),),
    # The adapter turns Qwen's rows into one for each token of T5 (ldm/anima/model.py).
    "AnimaTEModel": (Part(("qwen3_06b",), attended=False), Part(("t5xxl",), stored=False)),
}
BY_HAND = 'in Relation Parse\'s corrections, as "dog@2 | left of | cat@7-8"'
CLIPS = ("l", "g", "h")
MODULES = {"l": "clip_l", "g": "clip_g", "h": "clip_h", "byt5": "byt5_small"}


def find_rows(
    clip, prompt: str, span: tuple[int, int], rows: int | None = None
) -> dict[str, tuple[int, ...]]:
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
            ids = [_ids(text.get(key, ()), others[0].get(key, ())) for text in (tokens, *others)]
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


def _sequences(clip, part: Part, tokens: dict) -> tuple[list[str], list[Rows], int]:
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
    return next(
        (cls.__name__ for cls in type(module).__mro__ if "encode_token_weights" in vars(cls)), ""
    )


def _name(clip) -> str:
    return type(clip.cond_stage_model).__name__.rstrip("_")


def _keys(clip, part: Part) -> tuple[str, ...]:
    return part.keys or (clip.cond_stage_model.clip_name,)


def _present(clip, part: Part, tokens: dict) -> list[str]:
    """The part's keys that have tokens and an encoder: any of SD3's and HiDream's can be missing."""
    model = clip.cond_stage_model
    return [
        key
        for key in _keys(clip, part)
        if key in tokens and getattr(model, MODULES.get(key, key), model) is not None
    ]


def _stored(clip, parts: tuple[Part, ...], tokens: dict) -> int:
    """Rows of the CONDITIONING's tensor."""
    total = 0
    for part in parts:
        if part.stored:
            keys = _present(clip, part, tokens)
            counts = [
                sum(token is not None for token in part.rows([token for token, _ in tokens[key]]))
                for key in keys
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
    result = {}
    for key, chunks in clip.tokenize(text, return_word_ids=True).items():
        width = _width(clip, key)
        result[key] = []
        for chunk in chunks:
            # Vectors of another model's embedding are dropped, and padding takes their places at the chunk's end.
            misfit = [
                torch.is_tensor(token[0]) and width not in (None, token[0].shape[-1])
                for token in chunk
            ]
            result[key] += [
                (token[0] if isinstance(token[0], numbers.Integral) else -1,
                 len(token) < 3 or token[2] != 0)
                for token, wrong in zip(chunk, misfit, strict=True)
                if not wrong
            ]  # fmt: skip
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
