"""Mochi."""

import torch
from encoders import T5, te

from . import Tiny

MOCHI = {
    "image_model": "mochi_preview", "depth": 3, "patch_size": 2, "num_heads": 2, "hidden_size_x": 48,
    "hidden_size_y": 32, "mlp_ratio_x": 256.0, "mlp_ratio_y": 4.0, "learn_sigma": False, "in_channels": 12,
    "qk_norm": True, "qkv_bias": False, "out_bias": True, "attn_drop": 0.0, "patch_embed_bias": True,
    "posenc_preserve_area": True, "timestep_mlp_bias": True, "attend_to_padding": False, "timestep_scale": 1000.0,
    "use_t5": True, "t5_feat_dim": 32, "t5_token_length": 20, "rope_theta": 10000.0,
}  # fmt: skip

MODELS = {
    "Mochi": Tiny(
        "GenmoMochi", MOCHI, (1, 12, 1, 12, 10),
        values=lambda: {"attention_mask": (torch.arange(20) < 14).long()[None]}, columns=14,
    ),
}  # fmt: skip

ENCODERS = {
    "Mochi": lambda: (te.genmo.MochiT5Tokenizer, te.genmo.mochi_te(), {"t5xxl": T5}),
}
