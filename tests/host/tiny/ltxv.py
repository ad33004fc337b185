"""LTX-Video and LTX-2."""

import torch
from encoders import T5, gemma, llm, te

from . import Tiny, masked

LTXV = {
    "image_model": "ltxv", "num_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2,
    "cross_attention_dim": 64, "caption_channels": 32, "in_channels": 128,
}  # fmt: skip

MODELS = {
    "LTX-Video": Tiny("LTXV", LTXV, (1, 128, 1, 6, 5), values=masked(torch.long)),
}

ENCODERS = {
    "LTXV": lambda: (te.lt.LTXVT5Tokenizer, te.lt.ltxv_te(), {"t5xxl": T5}),
    "LTX-2": lambda: (  # without its last layer, of 720 million weights
        te.lt.LTXAVGemmaTokenizer, te.lt.ltxav_te(text_projection_type=None), {"": llm()}, {"spiece_model": gemma()}
    ),
}  # fmt: skip
