"""OmniGen2 and Boogu."""

import torch
from encoders import llm, te

from . import SMALL, Tiny, masked

OMNIGEN = {
    "image_model": "omnigen2", "in_channels": 16, "hidden_size": 96, "num_layers": 2, "num_refiner_layers": 1,
    "num_attention_heads": 4, "num_kv_heads": 2, "multiple_of": 16, "axes_dim_rope": [8, 8, 8], "text_feat_dim": 32,
}  # fmt: skip
BOOGU = OMNIGEN | {
    "image_model": "boogu", "num_double_stream_layers": 1, "instruction_feat_dim": 32,
}  # fmt: skip
del BOOGU["text_feat_dim"]

MODELS = {
    "OmniGen2": Tiny("Omnigen2", OMNIGEN, SMALL, values=masked(torch.long)),
    "Boogu": Tiny("Boogu", BOOGU, SMALL, values=masked(torch.long), version="0.27.0"),
}

ENCODERS = {
    "OmniGen2": lambda: (te.omnigen2.Omnigen2Tokenizer, te.omnigen2.te(), {"qwen25_3b": llm()}),
    "Boogu": lambda: (te.boogu.BooguTokenizer, te.boogu.te(), {"qwen3vl_8b": llm()}),
}
