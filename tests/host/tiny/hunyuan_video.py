"""Hunyuan Image 2.1 and Hunyuan Video."""

from encoders import CLIP, llm, te

from . import Tiny, pooled, random

HUNYUAN = {
    "image_model": "hunyuan_video", "in_channels": 64, "patch_size": [1, 1], "out_channels": 64, "vec_in_dim": None,
    "axes_dim": [16, 16], "meanflow": False, "context_in_dim": 32, "hidden_size": 64, "mlp_ratio": 4.0,
    "num_heads": 2, "depth": 2, "depth_single_blocks": 2, "theta": 256, "qkv_bias": True, "byt5": True,
    "guidance_embed": False, "use_cond_type_embedding": False, "vision_in_dim": None, "meanflow_sum": False,
}  # fmt: skip

MODELS = {
    "Hunyuan Image 2.1": Tiny(
        "HunyuanImage21", HUNYUAN, (1, 64, 6, 5), columns=20 + 7,
        values=lambda: {"conditioning_byt5small": random(1, 7, 1472)},
    ),
    "HunyuanVideo": Tiny(
        "HunyuanVideo",
        HUNYUAN | {"in_channels": 16, "patch_size": [1, 2, 2], "out_channels": 16, "vec_in_dim": 768,
                   "axes_dim": [8, 12, 12], "byt5": False, "guidance_embed": True},
        (1, 16, 1, 12, 10), values=pooled(768),
    ),
    "HunyuanVideo 1.5": Tiny(
        "HunyuanVideo15",
        HUNYUAN | {"in_channels": 65, "patch_size": [1, 1, 1], "out_channels": 32, "axes_dim": [8, 12, 12],
                   "use_cond_type_embedding": True, "vision_in_dim": 1152, "meanflow_sum": True},
        (1, 32, 1, 6, 5), columns=20 + 7, column=7 + 3,
        values=lambda: {"pooled_output": random(1, 768), "conditioning_byt5small": random(1, 7, 1472)},
    ),
}  # fmt: skip

ENCODERS = {
    "Hunyuan Image": lambda: (te.hunyuan_image.HunyuanImageTokenizer, te.hunyuan_image.te(), {"qwen25_7b": llm()}),
    "HunyuanVideo 1.5": lambda: (
        te.hunyuan_video.HunyuanVideo15Tokenizer, te.hunyuan_image.te(), {"qwen25_7b": llm()}
    ),
    "HunyuanVideo": lambda: (
        te.hunyuan_video.HunyuanVideoTokenizer, te.hunyuan_video.hunyuan_video_clip(), {"clip_l": CLIP, "llama": llm()}
    ),
}  # fmt: skip
