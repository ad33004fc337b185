"""How tiny text encoders are made of the host's tokenizers and encoder classes, with random weights.

Vocabularies that the host takes from a checkpoint (Gemma, umT5, mT5, Jina, Mistral, GPT-OSS) are made here.
"""

import contextlib
import functools
import importlib.util
import io
import random
import types
from unittest import mock

import comfy.sd
import comfy.supported_models_base
import comfyui_version
import pytest
import sentencepiece
import tokenizers
import torch
import transformers

WORDS = (  # noqa: SIM905
    "a an the of in on and left right above below dog cat bird red big blue hot house photo garden sitting tall old "
    "describe image color shape background user prompt given text spatial objects"
).split()

# --- The host's modules ---------------------------------------------------------------------------------------------


class TextEncoders:
    """comfy.text_encoders' modules as attributes. A test that asks for one which an older host lacks is skipped."""

    version = comfyui_version.__version__
    older = tuple(map(int, version.split(".")[:2])) < (0, 30)

    def __getattr__(self, name: str) -> types.ModuleType:
        if self.lacks(name):
            pytest.skip(f"ComfyUI {self.version} has no text_encoders/{name}.py")
        return importlib.import_module(f"comfy.text_encoders.{name}")

    def lacks(self, name: str) -> bool:
        return self.older and importlib.util.find_spec(f"comfy.text_encoders.{name}") is None


te = TextEncoders()

# --- Vocabularies ---------------------------------------------------------------------------------------------------


def sentences() -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=8)) + draw.choice([" (x).", ",", ":", ""]) for _ in range(400)]


@functools.cache
def pieces(**ids: int) -> torch.Tensor:
    """A SentencePiece model as bytes, as checkpoints carry it."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences() * 5), model_writer=file, vocab_size=420, hard_vocab_limit=False,
        byte_fallback=True, minloglevel=2, **{f"{name}_id": i for name, i in ids.items()},
    )  # fmt: skip
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


@functools.cache
def byte_pairs(*specials: str) -> tokenizers.Tokenizer:
    """A byte-level BPE like Mistral's and GPT-OSS's."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=alphabet,
        special_tokens=list(specials),
        show_progress=False,
    )
    made.train_from_iterator(sentences(), trainer)
    return made


def gemma() -> torch.Tensor:
    return pieces(pad=0, eos=1, bos=2, unk=3)


def t5() -> torch.Tensor:
    return pieces(pad=0, eos=1, bos=-1, unk=2)


# --- Encoders -------------------------------------------------------------------------------------------------------

CLIP = {
    "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3, "projection_dim": 32,
}  # fmt: skip
T5 = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_heads": 2, "num_layers": 2}
BERT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}


def llm(layers: int = 4) -> dict:
    return {
        "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 1, "num_key_value_heads": 1,
        "num_hidden_layers": layers,
    }  # fmt: skip


class NoVision(torch.nn.Module):
    """In place of a vision tower: one row of ones for each 2x2 patches of the picture."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, image, grid):
        return torch.ones(image.shape[0] // 4, 16, device=image.device)


class NoVision3(NoVision):
    """Qwen3-VL's gives rows for deeper layers too."""

    def forward(self, image, grid):
        return super().forward(image, grid), []


def fill(model: torch.nn.Module) -> None:
    """Random weights under which a row stays mostly its own token's."""
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        if p.ndim < 2:
            p.copy_(torch.full(p.shape, float(name.endswith("weight"))))
        else:
            scale = 1 if "embed" in name or "shared" in name else 0.3 * p.shape[-1] ** -0.5
            p.copy_(torch.randn(p.shape, generator=generator) * scale)


def build(
    tokenizer,
    encoder,
    configs: dict,
    vocabularies: dict | None = None,
    options: dict | None = None,
    folder: str | None = None,
) -> comfy.sd.CLIP:
    """configs: settings of the small encoders by the host's names for them; options: other settings of the encoder;
    folder: of textual-inversion files."""
    target = comfy.supported_models_base.ClipTarget(tokenizer, encoder)
    options = (options or {}) | {f"{name}_model_config": config for name, config in configs.items()}
    mistral = {"tokenizer_object": byte_pairs("<unk>", "<s>", "</s>"), "legacy": False}
    with (
        mock.patch("comfy.text_encoders.qwen_vl.Qwen2VLVisionTransformer", NoVision),
        contextlib.nullcontext()
        if te.lacks("qwen3vl")
        else mock.patch("comfy.text_encoders.qwen3vl.Qwen3VLVisionModel", NoVision3),
        mock.patch("comfy.clip_model.CLIPVision", NoVision),
        # transformers 5 reads tekken files only, and its LlamaTokenizer loses Llama 3's blanks.
        mock.patch("comfy.text_encoders.flux.load_mistral_tokenizer", lambda data: mistral),
        mock.patch(
            "comfy.text_encoders.hunyuan_video.LlamaTokenizerFast",
            transformers.PreTrainedTokenizerFast,
        ),
    ):
        clip = comfy.sd.CLIP(
            target,
            embedding_directory=folder,
            tokenizer_data=vocabularies or {},
            model_options=options,
        )
    fill(clip.cond_stage_model)
    return clip
