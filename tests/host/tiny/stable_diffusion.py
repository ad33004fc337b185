"""Stable Diffusion 1, 2, XL and its refiner."""

import comfy.sd1_clip
import comfy.sdxl_clip
from encoders import CLIP, te

from . import SQUARE, Tiny, pooled

UNET = {
    "use_checkpoint": False, "image_size": 32, "use_spatial_transformer": True, "legacy": False,
    "in_channels": 4, "out_channels": 4, "use_temporal_resblock": False, "use_temporal_attention": False,
    "num_res_blocks": [1, 1], "channel_mult": [1, 2], "context_dim": 24,
}  # fmt: skip
PLAIN = UNET | {
    "adm_in_channels": None, "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
}  # fmt: skip
DEEP = UNET | {
    "num_classes": "sequential", "model_channels": 64, "use_linear_in_transformer": True,
    "transformer_depth": [0, 2], "transformer_depth_output": [0, 0, 2, 2], "transformer_depth_middle": 2,
}  # fmt: skip

MODELS = {
    "SD15": Tiny(
        "SD15", PLAIN | {"model_channels": 32, "use_linear_in_transformer": False}, SQUARE, (77, 24), columns=77,
    ),
    "SD20": Tiny(
        "SD20", PLAIN | {"model_channels": 64, "use_linear_in_transformer": True}, SQUARE, (77, 24), columns=77,
    ),
    "SDXL": Tiny("SDXL", DEEP | {"adm_in_channels": 2816}, SQUARE, (77, 24), pooled(1280), 77),
    "SDXLRefiner": Tiny("SDXLRefiner", DEEP | {"adm_in_channels": 2560}, SQUARE, (77, 24), pooled(1280), 77),
}  # fmt: skip

ENCODERS = {
    "SD1": lambda: (comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel, {"clip_l": CLIP}),
    "SD2": lambda: (te.sd2_clip.SD2Tokenizer, te.sd2_clip.SD2ClipModel, {"clip_h": CLIP}),
    "SDXL": lambda: (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel, {"clip_l": CLIP, "clip_g": CLIP}),
    "SDXL refiner": lambda: (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLRefinerClipModel, {"clip_g": CLIP}),
}
