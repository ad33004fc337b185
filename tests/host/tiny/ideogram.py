"""Ideogram 4."""

from encoders import llm, te

from . import TALL, Tiny

IDEOGRAM = {
    "image_model": "ideogram4", "in_channels": 128, "num_layers": 2, "num_attention_heads": 2,
    "attention_head_dim": 32, "intermediate_size": 64, "adaln_dim": 16, "llm_features_dim": 32,
    "rope_theta": 10000, "mrope_section": (6, 5, 5),
}  # fmt: skip

MODELS = {
    "Ideogram 4": Tiny("Ideogram4", IDEOGRAM, TALL, version="0.24.0"),
}

ENCODERS = {
    "Ideogram4": lambda: (te.ideogram4.Ideogram4Tokenizer, te.ideogram4.te(), {"qwen3vl_8b": llm(36)}),
    "Ideogram4 with vision": lambda: (
        te.ideogram4.Ideogram4Qwen3VLTokenizer, te.ideogram4.te_qwen3vl(), {"qwen3vl_8b": llm(36)}
    ),
}  # fmt: skip
