"""Krea 2."""

from encoders import llm, te

from . import Tiny

KREA2 = {
    "image_model": "krea2", "features": 64, "tdim": 32, "txtdim": 32, "heads": 2, "kvheads": 1, "multiplier": 2,
    "layers": 2, "patch": 2, "channels": 16, "theta": 1e3, "txtlayers": 3, "txtheads": 2, "txtkvheads": 2,
}  # fmt: skip

MODELS = {
    "Krea 2": Tiny("Krea2", KREA2, (1, 16, 1, 12, 10), (20, 96), version="0.27.0"),
}

ENCODERS = {
    "Krea2": lambda: (te.krea2.Krea2Tokenizer, te.krea2.te(), {"qwen3vl_4b": llm(36)}),
}
