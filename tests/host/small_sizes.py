"""The sizes of the stand-in checkpoints, in place of the true ones by which ComfyUI knows its families.

A server that has this file among its custom nodes reads a stand-in as it reads the true file: only numbers are other.
"""

from functools import partial

import comfy.ldm.anima.model as anima
import comfy.model_detection
import comfy.sd
import comfy.supported_models as known
from comfy.text_encoders import qwen3vl, qwen_vl, sd3_clip
from comfy_api.latest import ComfyExtension

CLIP = {
    "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3, "projection_dim": 32,
}  # fmt: skip
T5 = {"d_model": 64, "d_ff": 64, "d_kv": 16, "num_heads": 4, "num_layers": 2}
LLM = {
    "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4,
    "num_hidden_layers": 4,
}  # fmt: skip
DEEP_LLM = LLM | {  # Klein and Krea 2 read rows of many layers
    "num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": 36,
}  # fmt: skip
WIDE_LLM = LLM | {"hidden_size": 64}  # Qwen3 0.6B and 4B are told apart by their width
EYES = {"hidden_size": 32, "intermediate_size": 32, "depth": 1, "deepstack_visual_indexes": [0]}  # of Qwen3-VL
ADAPTER = dict.fromkeys(("source_dim", "target_dim", "model_dim"), WIDE_LLM["hidden_size"])  # Anima's, of its text
TEXT_ENCODERS = {
    "clip_l": CLIP,
    "clip_g": CLIP,
    "clip_h": CLIP,
    "t5xxl": T5,
    "qwen25_7b": LLM,
    "qwen3_4b": DEEP_LLM,
    "qwen3vl_4b": DEEP_LLM,
    "qwen3_06b": WIDE_LLM,
}
# What is found in a file, and what is known of the family without looking.
UNETS = {
    "SD15": ({"model_channels": 32, "context_dim": 32}, {}),
    "SD20": ({"model_channels": 64, "context_dim": 32}, {}),
    "SDXL": (
        {
            "model_channels": 64,
            "context_dim": 64,
            "adm_in_channels": 6 * 256 + 32,
            "transformer_depth": [0, 2],
        },
        {},
    ),
    "QwenImage": (
        {},
        {
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "axes_dims_rope": (8, 12, 12),
        },
    ),
    "ZImage": ({"dim": 256}, {"n_heads": 8, "n_kv_heads": 8, "axes_dims": [8, 12, 12]}),
    "Krea2": ({}, {"txtheads": 4, "txtkvheads": 4}),
    "Anima": ({}, {"num_blocks": 2, "num_heads": 2, "crossattn_emb_channels": WIDE_LLM["hidden_size"]}),
}


def with_number(function, true: int, small: int) -> None:
    """Give a function another number in place of one that is written in it."""
    code = function.__code__
    assert true in code.co_consts
    function.__code__ = code.replace(co_consts=tuple(small if value == true else value for value in code.co_consts))


class SmallSizes(ComfyExtension):
    async def on_load(self) -> None:
        for family, (found, without_looking) in UNETS.items():
            config = getattr(known, family)
            config.unet_config = config.unet_config | found
            config.unet_extra_config = config.unet_extra_config | without_looking
        with_number(comfy.model_detection.detect_unet_config, 3840, 256)  # Z-Image's channels
        with_number(comfy.sd.detect_te_model, 2560, LLM["hidden_size"])  # Qwen3 4B's
        with_number(comfy.sd.detect_te_model, 1024, WIDE_LLM["hidden_size"])  # Qwen3 0.6B's
        with_number(comfy.sd.VAE.__init__, 128, 32)  # the channels of an encoder; a decoder's are read off its file
        anima.LLMAdapter = partial(anima.LLMAdapter, **ADAPTER)
        with_number(sd3_clip.SD3ClipModel.encode_token_weights, 4096, T5["d_model"])
        true = qwen_vl.Qwen2VLVisionTransformer.__init__  # Qwen2.5-VL's eyes, which no prompt uses
        true.__defaults__ = tuple(1 if value == 32 else value for value in true.__defaults__)
        qwen3vl.QWEN3VL_VISION["qwen3vl_4b"] = EYES

        read = comfy.sd.CLIP.__init__

        def small(self, *args, model_options=None, **kwargs):
            options = dict(model_options or {})
            for name, sizes in TEXT_ENCODERS.items():
                config = f"{name}_model_config"  # the host's own way to give an encoder other sizes
                options[config] = sizes | options.get(config, {})
            read(self, *args, model_options=options, **kwargs)

        comfy.sd.CLIP.__init__ = small

    async def get_node_list(self) -> list:
        return []


async def comfy_entrypoint() -> SmallSizes:
    return SmallSizes()
