"""HiDream-O1."""

import torch
from encoders import te

from . import Tiny, another_id

HIDREAM_O1 = {
    "image_model": "hidream_o1",
    "text_config_overrides": {
        "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "rope_dims": [6, 5, 5],
    },
    "vision_config_overrides": {
        "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "depth": 1, "num_position_embeddings": 16,
    },
}  # fmt: skip

MODELS = {
    "HiDream-O1": Tiny(
        "HiDreamO1", HIDREAM_O1, (1, 3, 192, 160), (1, 64),
        lambda: {"text_input_ids": torch.tensor([[*range(100, 119), 151673]])},
        change=another_id("text_input_ids"), version="0.24.0",
    ),
}  # fmt: skip

ENCODERS = {
    "HiDream O1": lambda: (te.hidream_o1.HiDreamO1Tokenizer, te.hidream_o1.HiDreamO1TE, {}),
}
