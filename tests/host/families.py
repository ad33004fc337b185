"""Tiny models with random weights of every UNet family, made by the host's own classes under inference mode."""

import comfy.model_patcher
import comfy.supported_models
import torch

CPU = torch.device("cpu")
UNET = {
    "use_checkpoint": False, "image_size": 32, "use_spatial_transformer": True, "legacy": False,
    "in_channels": 4, "out_channels": 4, "use_temporal_resblock": False, "use_temporal_attention": False,
    "num_res_blocks": [1, 1], "channel_mult": [1, 2], "context_dim": 24,
}  # fmt: skip
PLAIN = {
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
}
DEEP = {
    "transformer_depth": [0, 2],
    "transformer_depth_output": [0, 0, 2, 2],
    "transformer_depth_middle": 2,
}
FAMILIES = {
    "SD15": {"adm_in_channels": None, "model_channels": 32, "use_linear_in_transformer": False, **PLAIN},
    "SD20": {"adm_in_channels": None, "model_channels": 64, "use_linear_in_transformer": True, **PLAIN},
    "SDXL": {
        "num_classes": "sequential", "adm_in_channels": 2816, "model_channels": 64,
        "use_linear_in_transformer": True, **DEEP,
    },
}  # fmt: skip


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiny(family: str) -> comfy.model_patcher.ModelPatcher:
    config = getattr(comfy.supported_models, family)(UNET | FAMILIES[family])
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=CPU)
    generator = torch.Generator().manual_seed(0)
    for name, p in model.diffusion_model.named_parameters():
        if p.ndim >= 2:
            p.copy_(torch.randn(p.shape, generator=generator) * p[0].numel() ** -0.5)
        else:
            p.copy_(torch.full(p.shape, float(name.endswith("weight"))))
    model.diffusion_model.train(False)
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


def positive(family: str, columns: int = 77):
    """A conditioning of random text rows."""
    return [
        [random(1, columns, 24), {"pooled_output": random(1, 1280)} if family == "SDXL" else {}]
    ]
