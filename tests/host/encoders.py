"""Text encoders of every family: the host's tokenizers and encoder classes, with a few channels and random weights.

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
import comfy.sd1_clip
import comfy.sdxl_clip
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


JINA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
}  # and its Gemma
GPT_OSS = {
    "vocab_size": 2000, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1,
}  # fmt: skip


class NoVision(torch.nn.Module):
    """In place of a vision tower: one row of ones for each 2x2 patches of the picture."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, image, grid):
        return torch.ones(image.shape[0] // 4, 16)


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


def build(tokenizer, encoder, configs: dict, vocabularies: dict | None = None, folder=None, **options):
    """A comfy.sd.CLIP. configs: settings of the small encoders by the host's names for them."""
    target = comfy.supported_models_base.ClipTarget(tokenizer, encoder)
    options |= {f"{name}_model_config": config for name, config in configs.items()}
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


def _sd3(**present):
    class Wide(te.sd3_clip.sd3_clip(**present)):
        """T5's rows have 4096 channels, as the host expects of them."""

        def __init__(self, **options):
            super().__init__(**options)
            if self.t5xxl is not None:
                narrow = self.t5xxl.encode
                self.t5xxl.encode = lambda ids: (
                    torch.nn.functional.pad(narrow(ids)[0], (0, 4096 - 32)),
                    None,
                )

    return te.sd3_clip.SD3Tokenizer, Wide, {"clip_l": CLIP, "clip_g": CLIP, "t5xxl": T5}


def _hidream(**present):
    configs = {"clip_l": CLIP, "clip_g": CLIP, "t5xxl": T5, "llama": llm()}
    return te.hidream.HiDreamTokenizer, te.hidream.hidream_clip(**present), configs


def _lens():
    class WithWeights(te.gpt_oss.lens_te()):
        """The host makes the weights of GPT-OSS only when it loads them."""

        def __init__(self, **options):
            super().__init__(**options)
            for module in self.modules():
                if hasattr(module, "in_features"):
                    experts = (module.num_experts,) if hasattr(module, "num_experts") else ()
                    shape = (*experts, module.out_features, module.in_features)
                    module.weight = torch.nn.Parameter(torch.empty(shape), requires_grad=False)

    marks = ("<|start|>", "<|message|>", "<|end|>", "<|channel|>")
    vocabulary = torch.frombuffer(bytearray(byte_pairs(*marks).to_str().encode()), dtype=torch.uint8)
    return te.gpt_oss.LensTokenizer, WithWeights, {}, {"tokenizer_json": vocabulary}


def _newbie():
    vocabularies = {
        "gemma_spiece_model": gemma(),
        "jina_spiece_model": pieces(bos=0, pad=1, eos=2, unk=3),
    }
    return te.newbie.NewBieTokenizer, te.newbie.te(), vocabularies


ENCODERS = {
    "SD1": lambda: (comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel, {"clip_l": CLIP}),
    "SD2": lambda: (te.sd2_clip.SD2Tokenizer, te.sd2_clip.SD2ClipModel, {"clip_h": CLIP}),
    "SDXL": lambda: (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel, {"clip_l": CLIP, "clip_g": CLIP}),
    "SDXL refiner": lambda: (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLRefinerClipModel, {"clip_g": CLIP}),
    "Stable Cascade": lambda: (
        comfy.sdxl_clip.StableCascadeTokenizer, comfy.sdxl_clip.StableCascadeClipModel, {"clip_g": CLIP}
    ),
    "SD3": _sd3,
    "SD3 without T5": lambda: _sd3(t5=False),
    "SD3 T5 only": lambda: _sd3(clip_l=False, clip_g=False),
    "SD3 without CLIP-L": lambda: _sd3(clip_l=False),
    "Flux": lambda: (te.flux.FluxTokenizer, te.flux.flux_clip(), {"clip_l": CLIP, "t5xxl": T5}),
    "Flux.2": lambda: (te.flux.Flux2Tokenizer, te.flux.flux2_te(), {"mistral3_24b": llm(31)}),
    "Klein": lambda: (te.flux.KleinTokenizer, te.flux.klein_te(), {"qwen3_4b": llm(28)}),
    "Klein 8B": lambda: (te.flux.KleinTokenizer8B, te.flux.klein_te(model_type="qwen3_8b"), {"qwen3_8b": llm(28)}),
    "PixArt, Chroma": lambda: (te.pixart_t5.PixArtTokenizer, te.pixart_t5.pixart_te(), {"t5xxl": T5}),
    "AuraFlow": lambda: (te.aura_t5.AuraT5Tokenizer, te.aura_t5.AuraT5Model, {"pile_t5xl": T5}),
    "HunyuanDiT": lambda: (
        te.hydit.HyditTokenizer, te.hydit.HyditModel, {"hydit_clip": BERT, "mt5xl": T5}, {"mt5xl.spiece_model": t5()}
    ),
    "HiDream": _hidream,
    "HiDream Llama only": lambda: _hidream(clip_l=False, clip_g=False, t5=False),
    "HiDream O1": lambda: (te.hidream_o1.HiDreamO1Tokenizer, te.hidream_o1.HiDreamO1TE, {}),
    "Qwen-Image": lambda: (te.qwen_image.QwenImageTokenizer, te.qwen_image.te(), {"qwen25_7b": llm()}),
    "Z-Image": lambda: (te.z_image.ZImageTokenizer, te.z_image.te(), {"qwen3_4b": llm()}),
    "Lumina 2": lambda: (te.lumina2.LuminaTokenizer, te.lumina2.te(), {"gemma2_2b": llm()}, {"spiece_model": gemma()}),
    "Lumina 2 Gemma 3": lambda: (
        te.lumina2.NTokenizer, te.lumina2.te(model_type="gemma3_4b"), {"gemma3_4b": llm()}, {"spiece_model": gemma()}
    ),
    "OmniGen2": lambda: (te.omnigen2.Omnigen2Tokenizer, te.omnigen2.te(), {"qwen25_3b": llm()}),
    "Boogu": lambda: (te.boogu.BooguTokenizer, te.boogu.te(), {"qwen3vl_8b": llm()}),
    "Ovis": lambda: (te.ovis.OvisTokenizer, te.ovis.te(), {"qwen3_2b": llm()}),
    "NewBie": lambda: (*_newbie()[:2], {"": JINA}, _newbie()[2]),
    "Wan": lambda: (te.wan.WanT5Tokenizer, te.wan.te(), {"umt5xxl": T5}, {"spiece_model": t5()}),
    "Cosmos": lambda: (te.cosmos.CosmosT5Tokenizer, te.cosmos.te(), {"t5xxl": T5}),
    "Anima": lambda: (te.anima.AnimaTokenizer, te.anima.te(), {"qwen3_06b": llm()}),
    "Hunyuan Image": lambda: (te.hunyuan_image.HunyuanImageTokenizer, te.hunyuan_image.te(), {"qwen25_7b": llm()}),
    "HunyuanVideo 1.5": lambda: (
        te.hunyuan_video.HunyuanVideo15Tokenizer, te.hunyuan_image.te(), {"qwen25_7b": llm()}
    ),
    "HunyuanVideo": lambda: (
        te.hunyuan_video.HunyuanVideoTokenizer, te.hunyuan_video.hunyuan_video_clip(), {"clip_l": CLIP, "llama": llm()}
    ),
    "Kandinsky 5": lambda: (
        te.kandinsky5.Kandinsky5Tokenizer, te.kandinsky5.te(), {"clip_l": CLIP, "qwen25_7b": llm()}
    ),
    "Kandinsky 5 Image": lambda: (
        te.kandinsky5.Kandinsky5TokenizerImage, te.kandinsky5.te(), {"clip_l": CLIP, "qwen25_7b": llm()}
    ),
    "LTXV": lambda: (te.lt.LTXVT5Tokenizer, te.lt.ltxv_te(), {"t5xxl": T5}),
    "LTX-2": lambda: (  # without its last layer, of 720 million weights
        te.lt.LTXAVGemmaTokenizer, te.lt.ltxav_te(text_projection_type=None), {"": llm()}, {"spiece_model": gemma()}
    ),
    "LongCat": lambda: (te.longcat_image.LongCatImageTokenizer, te.longcat_image.te(), {"qwen25_7b": llm()}),
    "MageFlow": lambda: (te.mage_flow.MageFlowTokenizer, te.mage_flow.te(), {"qwen3vl_4b": llm()}),
    "ERNIE": lambda: (te.ernie.ErnieTokenizer, te.ernie.te(), {"ministral3_3b": llm()}),
    "Krea2": lambda: (te.krea2.Krea2Tokenizer, te.krea2.te(), {"qwen3vl_4b": llm(36)}),
    "Ideogram4": lambda: (te.ideogram4.Ideogram4Tokenizer, te.ideogram4.te(), {"qwen3vl_8b": llm(36)}),
    "Ideogram4 with vision": lambda: (
        te.ideogram4.Ideogram4Qwen3VLTokenizer, te.ideogram4.te_qwen3vl(), {"qwen3vl_8b": llm(36)}
    ),
    "Lens": _lens,
    "JoyImage": lambda: (te.joyimage.JoyImageTokenizer, te.joyimage.te(), {"qwen3vl_8b": llm()}),
    "PixelDiT": lambda: (
        te.pixeldit.PixelDiTGemma2Tokenizer, te.pixeldit.pixeldit_te(), {"gemma2_2b": llm()}, {"spiece_model": gemma()}
    ),
    "Mochi": lambda: (te.genmo.MochiT5Tokenizer, te.genmo.mochi_te(), {"t5xxl": T5}),
    "CogVideoX": lambda: (te.cogvideo.CogVideoXTokenizer, te.cogvideo.cogvideo_te(), {"t5xxl": T5}),
    "MiniMax H3": lambda: (te.minimax.MiniMaxH3Tokenizer, te.minimax.te(), {"qwen3vl_32b": llm()}),
}  # fmt: skip
OPTIONS = {"Lens": {"gpt_oss_config": GPT_OSS, "selected_layers": (0, 1)}}


@functools.cache
def encoder(name: str, folder: str | None = None):
    """folder: of textual-inversion files."""
    try:
        tokenizer, model, configs, *vocabularies = ENCODERS[name]()
    except AttributeError as error:
        if te.older and isinstance(error.obj, types.ModuleType):
            pytest.skip(f"ComfyUI {te.version}: {error}")
        raise
    return build(tokenizer, model, configs, *vocabularies, folder=folder, **OPTIONS.get(name, {}))
