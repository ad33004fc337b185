"""Which tokens of the host's text encoders become rows of the text that a diffusion model attends to: one table.

Read in ComfyUI 0.30.0: comfy/text_encoders/*.py, and extra_conds in comfy/model_base.py. ADDING.md says how to add one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# --- Which tokens become rows: token ids -> the token of each row, None for a row of no token ------------------------

RowTokens = Sequence[int | None]


def every(ids: list[int]) -> RowTokens:
    return range(len(ids))


def after(count: int) -> Callable[[list[int]], RowTokens]:
    """All but the first tokens: a template of fixed length."""
    return lambda ids: range(count, len(ids))


def _find(ids: list[int], *wanted: int) -> int:
    """Index of the first run of these tokens, -1 for none."""
    n = len(wanted)
    return next((i for i in range(len(ids) - n + 1) if tuple(ids[i : i + n]) == wanted), -1)


def after_user(ids: list[int]) -> RowTokens:
    """Qwen-Image's template up to "<|im_start|>user\\n" is dropped, what follows the prompt stays."""
    turns = [i for i, token in enumerate(ids) if token == 151644][:2]
    start = turns[-1] if turns else len(ids) - 1
    if ids[start + 1 : start + 3] == [872, 198] and len(ids) > start + 3:
        start += 3
    return range(start, len(ids))


def after_user_or_36(ids: list[int]) -> RowTokens:
    """As after_user; a prompt that brings its own template, "<|start_header_id|>...", loses 36 tokens."""
    return range(36, len(ids)) if ids[:1] == [27] and len(ids) > 36 else after_user(ids)


def between_user_and_end(ids: list[int]) -> RowTokens:
    """LongCat drops what follows the prompt too. Rows of padding stay."""
    rows = after_user(ids) if 151644 in ids else every(ids)
    if 151645 not in ids:
        return rows
    tail = len(ids) - max(i for i, token in enumerate(ids) if token == 151645)
    return rows[:-tail] if tail < len(rows) else rows


def user_turn(ids: list[int]) -> RowTokens:
    """HunyuanVideo's Llama: after "user<|end_header_id|>\\n\\n" until "<|eot_id|>", which stays."""
    head = _find(ids, 128006, 882, 128007)
    start, end = max(head + 2, 0) if head >= 0 else 0, len(ids)
    if head >= 0 and 128009 in ids[start:]:
        end = ids.index(128009, start) + 1
    if ids[start + 1 : start + 2] == [271] and len(ids) > start + 2:
        start += 2
    return range(start, end)


def from_colon(ids: list[int]) -> RowTokens:
    """Ovis drops its template up to the colon of "... objects and background: "."""
    start = _find(ids, 4004) if 4004 in ids else len(ids) - 1
    return range(start + (ids[start + 1 : start + 2] == [25]), len(ids))


def first_and_last_299(ids: list[int]) -> RowTokens:
    """PixelDiT: the start token and the end of its long template with the prompt."""
    return every(ids) if len(ids) <= 300 else [0, *range(len(ids) - 299, len(ids))]


def to_the_right_of_512(ids: list[int]) -> RowTokens:
    """Flux.2 (Klein too) puts rows of zeros before a text of fewer than 512 tokens (model_base.Flux2)."""
    return [None] * (512 - len(ids)) + list(range(len(ids)))


def without_left_padding(ids: list[int]) -> RowTokens:
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
    rows: Callable[[list[int]], RowTokens] = every
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
