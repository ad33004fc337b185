"""MageFlow."""

from encoders import llm, te

from . import TALL, Tiny

MAGEFLOW = {
    "image_model": "mage_flow", "in_channels": 128, "out_channels": 128, "num_layers": 2, "attention_head_dim": 32,
    "num_attention_heads": 2, "joint_attention_dim": 32, "axes_dims_rope": [8, 12, 12],
}  # fmt: skip

MODELS = {
    "MageFlow": Tiny("MageFlow", MAGEFLOW, TALL, version="0.30.0"),
}

ENCODERS = {
    "MageFlow": lambda: (te.mage_flow.MageFlowTokenizer, te.mage_flow.te(), {"qwen3vl_4b": llm()}),
}
