"""Wan."""

from encoders import T5, t5, te

from . import Tiny

WAN = {
    "image_model": "wan2.1", "model_type": "t2v", "patch_size": (1, 2, 2), "dim": 64, "ffn_dim": 64, "freq_dim": 32,
    "text_dim": 32, "in_dim": 16, "out_dim": 16, "num_heads": 2, "num_layers": 2,
}  # fmt: skip

MODELS = {
    "Wan": Tiny("WAN21_T2V", WAN, (1, 16, 1, 12, 10)),
}

ENCODERS = {
    "Wan": lambda: (te.wan.WanT5Tokenizer, te.wan.te(), {"umt5xxl": T5}, {"spiece_model": t5()}),
}
