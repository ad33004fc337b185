"""JoyImage."""

from encoders import llm, te

from . import Tiny

JOYIMAGE = {
    "image_model": "joyimage", "patch_size": (1, 2, 2), "in_channels": 16, "out_channels": 16, "hidden_size": 64,
    "num_attention_heads": 2, "text_dim": 32, "num_layers": 2, "rope_dim_list": [8, 12, 12],
}  # fmt: skip

MODELS = {
    "JoyImage": Tiny("JoyImage", JOYIMAGE, (1, 16, 1, 12, 10), version="0.30.0"),
}

ENCODERS = {
    "JoyImage": lambda: (te.joyimage.JoyImageTokenizer, te.joyimage.te(), {"qwen3vl_8b": llm()}),
}
