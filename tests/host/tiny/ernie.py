"""ERNIE-Image."""

from encoders import llm, te

from . import TALL, Tiny

ERNIE = {
    "image_model": "ernie", "hidden_size": 96, "num_attention_heads": 2, "num_layers": 2, "ffn_hidden_size": 64,
    "in_channels": 128, "out_channels": 128, "patch_size": 1, "text_in_dim": 32, "rope_axes_dim": (16, 16, 16),
}  # fmt: skip

MODELS = {
    "ERNIE-Image": Tiny("ErnieImage", ERNIE, TALL, version="0.20.1"),
}

ENCODERS = {
    "ERNIE": lambda: (te.ernie.ErnieTokenizer, te.ernie.te(), {"ministral3_3b": llm()}),
}
