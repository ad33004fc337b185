"""HunyuanDiT."""

import torch
from encoders import BERT, T5, t5, te

from . import Tiny, random

HYDIT = {
    "image_model": "hydit", "depth": 4, "hidden_size": 64, "num_heads": 2, "text_states_dim": 32,
    "text_states_dim_t5": 64, "qk_norm": True,
}  # fmt: skip

MODELS = {
    "HunyuanDiT": Tiny(
        "HunyuanDiT", HYDIT, (1, 4, 12, 10), (77, 32),
        lambda: {"attention_mask": torch.ones(1, 77), "conditioning_mt5xl": random(1, 256, 64),
                 "attention_mask_mt5xl": torch.ones(1, 256)},
        columns=77 + 256,
    ),
}  # fmt: skip

ENCODERS = {
    "HunyuanDiT": lambda: (
        te.hydit.HyditTokenizer, te.hydit.HyditModel, {"hydit_clip": BERT, "mt5xl": T5}, {"mt5xl.spiece_model": t5()}
    ),
}  # fmt: skip
