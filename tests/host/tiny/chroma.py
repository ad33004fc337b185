"""Chroma and Chroma Radiance; the text encoder is PixArt's."""

import torch

from . import SMALL, Tiny, pooled
from .flux import FLUX

CHROMA = FLUX | {
    "image_model": "chroma", "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 64, "hidden_dim": 32,
    "n_layers": 2, "vec_in_dim": None,
}  # fmt: skip
del CHROMA["guidance_embed"]
RADIANCE = CHROMA | {
    "image_model": "chroma_radiance", "in_channels": 3, "out_channels": 3, "patch_size": 16, "nerf_hidden_size": 16,
    "nerf_mlp_ratio": 2, "nerf_depth": 1, "nerf_max_freqs": 4, "nerf_tile_size": 512,
    "nerf_final_head_type": "conv", "nerf_embedder_dtype": torch.float32, "use_x0": False,
    "use_sequential_txt_ids": False,
}  # fmt: skip

MODELS = {
    "Chroma": Tiny("Chroma", CHROMA, SMALL, values=pooled(24)),
    "Chroma Radiance": Tiny("ChromaRadiance", RADIANCE, (1, 3, 64, 48), values=pooled(24), version="0.24.0"),
}
