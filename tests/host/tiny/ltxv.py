"""LTX-Video and LTX-2."""

import torch
from encoders import T5, gemma, llm, te

from . import Tiny, masked

LTXV = {
    "image_model": "ltxv", "num_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2,
    "cross_attention_dim": 64, "caption_channels": 32, "in_channels": 128,
}  # fmt: skip
LTX2 = LTXV | {
    "image_model": "ltxav", "audio_attention_head_dim": 16, "audio_num_attention_heads": 2,
    "audio_cross_attention_dim": 32, "connector_attention_head_dim": 16, "connector_num_attention_heads": 2,
}  # fmt: skip

MODELS = {
    "LTX-Video": Tiny("LTXV", LTXV, (1, 128, 1, 6, 5), values=masked(torch.long)),
    "LTX-2": Tiny("LTXAV", LTX2, (1, 128, 1, 6, 5), columns=1024),  # a picture without sound
}

ENCODERS = {
    "LTXV": lambda: (te.lt.LTXVT5Tokenizer, te.lt.ltxv_te(), {"t5xxl": T5}),
    "LTX-2": lambda: (  # without its last layer, of 720 million weights
        te.lt.LTXAVGemmaTokenizer, te.lt.ltxav_te(text_projection_type=None), {"": llm()}, {"spiece_model": gemma()}
    ),
}  # fmt: skip
