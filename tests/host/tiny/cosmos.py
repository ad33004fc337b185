"""Cosmos 1, Cosmos-Predict2, Anima."""

import torch
from encoders import T5, llm, te

from . import Tiny, another_id

COSMOS = {
    "image_model": "cosmos_predict2", "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16,
    "out_channels": 16, "pos_emb_cls": "rope3d", "pos_emb_learnable": True, "pos_emb_interpolation": "crop",
    "min_fps": 1, "max_fps": 30, "use_adaln_lora": True, "adaln_lora_dim": 32, "concat_padding_mask": True,
    "crossattn_emb_channels": 1024, "model_channels": 128, "num_blocks": 2, "num_heads": 2, "patch_spatial": 2,
    "patch_temporal": 1, "mlp_ratio": 2.0, "rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0,
    "rope_t_extrapolation_ratio": 1.0, "extra_per_block_abs_pos_emb": False, "rope_enable_fps_modulation": False,
}  # fmt: skip
COSMOS1 = {
    "image_model": "cosmos", "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16,
    "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1, "model_channels": 64, "block_config": "FA-CA-MLP",
    "concat_padding_mask": True, "pos_emb_cls": "rope3d", "pos_emb_learnable": False,
    "pos_emb_interpolation": "crop", "block_x_format": "THWBD", "affline_emb_norm": True, "use_adaln_lora": True,
    "adaln_lora_dim": 32, "num_blocks": 2, "num_heads": 2, "crossattn_emb_channels": 32,
    "extra_per_block_abs_pos_emb": True, "rope_h_extrapolation_ratio": 1.0, "rope_w_extrapolation_ratio": 1.0,
    "rope_t_extrapolation_ratio": 2.0, "extra_per_block_abs_pos_emb_type": "learnable",
}  # fmt: skip

MODELS = {
    "Cosmos 1": Tiny("CosmosT2V", COSMOS1, (1, 16, 1, 12, 10)),
    "Cosmos-Predict2": Tiny("CosmosT2IPredict2", COSMOS, (1, 16, 1, 12, 10), (20, 1024)),
    "Anima": Tiny(
        "Anima", COSMOS | {"image_model": "anima"}, (1, 16, 1, 12, 10), (20, 1024),
        lambda: {"t5xxl_ids": torch.arange(20), "t5xxl_weights": torch.ones(20)}, 512,
        change=another_id("t5xxl_ids"),
    ),
}  # fmt: skip

ENCODERS = {
    "Cosmos": lambda: (te.cosmos.CosmosT5Tokenizer, te.cosmos.te(), {"t5xxl": T5}),
    "Anima": lambda: (te.anima.AnimaTokenizer, te.anima.te(), {"qwen3_06b": llm()}),
}
