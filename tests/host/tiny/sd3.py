"""Stable Diffusion 3 and 3.5."""

import torch
from encoders import CLIP, T5, te

from . import SMALL, Tiny, pooled

SD3 = {
    "in_channels": 16, "patch_size": 2, "out_channels": 16, "depth": 2, "input_size": None, "adm_in_channels": 2048,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 32, "out_features": 128}},
    "num_patches": 64, "pos_embed_max_size": 8, "qk_norm": "rms", "pos_embed_scaling_factor": None,
    "x_block_self_attn_layers": [],
}  # fmt: skip

MODELS = {
    "SD3": Tiny("SD3", SD3, SMALL, values=pooled(2048)),
    "SD3.5 medium": Tiny("SD3", SD3 | {"x_block_self_attn_layers": [0]}, SMALL, values=pooled(2048)),
}


def _sd3(**present):
    class Wide(te.sd3_clip.sd3_clip(**present)):
        """T5's rows have 4096 channels, as the host expects of them."""

        def __init__(self, **options):
            super().__init__(**options)
            if self.t5xxl is not None:
                narrow = self.t5xxl.encode
                self.t5xxl.encode = lambda ids: (
                    torch.nn.functional.pad(narrow(ids)[0], (0, 4096 - 32)),
                    None,
                )

    return te.sd3_clip.SD3Tokenizer, Wide, {"clip_l": CLIP, "clip_g": CLIP, "t5xxl": T5}


ENCODERS = {
    "SD3": _sd3,
    "SD3 without T5": lambda: _sd3(t5=False),
    "SD3 T5 only": lambda: _sd3(clip_l=False, clip_g=False),
    "SD3 without CLIP-L": lambda: _sd3(clip_l=False),
}
