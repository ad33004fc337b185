"""Qwen-Image."""

from encoders import llm, te

from . import Tiny

QWEN = {
    "image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 2,
    "attention_head_dim": 32, "num_attention_heads": 2, "joint_attention_dim": 32, "axes_dims_rope": [8, 12, 12],
}  # fmt: skip

MODELS = {
    "Qwen-Image": Tiny("QwenImage", QWEN, (1, 16, 1, 12, 10)),
}

ENCODERS = {
    "Qwen-Image": lambda: (te.qwen_image.QwenImageTokenizer, te.qwen_image.te(), {"qwen25_7b": llm()}),
}
