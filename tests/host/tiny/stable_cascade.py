"""Stable Cascade, the stage that reads the prompt."""

import comfy.sdxl_clip
from encoders import CLIP

from . import Tiny, pooled

MODELS = {
    "Stable Cascade": Tiny(
        "Stable_Cascade_C",
        {"stable_cascade_stage": "c", "c_cond": 64, "c_hidden": [64, 64], "nhead": [2, 2], "blocks": [[1, 2], [2, 1]]},
        (1, 16, 8, 8), (77, 1280), pooled(1280), 77,
    ),
}  # fmt: skip

ENCODERS = {
    "Stable Cascade": lambda: (
        comfy.sdxl_clip.StableCascadeTokenizer, comfy.sdxl_clip.StableCascadeClipModel, {"clip_g": CLIP}
    ),
}  # fmt: skip
