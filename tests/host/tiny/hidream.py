"""HiDream."""

from encoders import CLIP, T5, llm, te

from . import SMALL, Tiny, random

HIDREAM = {
    "image_model": "hidream", "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 2,
    "num_single_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2, "caption_channels": [32, 40],
    "text_emb_dim": 2048, "num_routed_experts": 2, "num_activated_experts": 1, "axes_dims_rope": [16, 8, 8],
    "max_resolution": [128, 128], "llama_layers": [0, 1, 2, 3],
}  # fmt: skip

MODELS = {
    "HiDream": Tiny(
        "HiDream", HIDREAM, SMALL,
        values=lambda: {"pooled_output": random(1, 2048), "conditioning_llama3": random(1, 4, 18, 40)},
        columns=20 + 18 + 18,
    ),
}  # fmt: skip


def _hidream(**present):
    configs = {"clip_l": CLIP, "clip_g": CLIP, "t5xxl": T5, "llama": llm()}
    return te.hidream.HiDreamTokenizer, te.hidream.hidream_clip(**present), configs


ENCODERS = {
    "HiDream": _hidream,
    "HiDream Llama only": lambda: _hidream(clip_l=False, clip_g=False, t5=False),
}
