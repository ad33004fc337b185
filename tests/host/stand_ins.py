"""Tiny files of random weights under the names of true ones, in the form in which these are published.

What of them ComfyUI would not take for the true family is told it by small_sizes.py.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import comfy.ldm.anima.model as anima
import comfy.ldm.modules.diffusionmodules.model as autoencoder
import comfy.ldm.wan.vae
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import torch
from encoders import build, te
from learn_to_steer.steering.losses import published
from safetensors.torch import save_file
from small_sizes import ADAPTER, CLIP, EYES, LLM, T5, TEXT_ENCODERS, UNETS
from tiny.cosmos import COSMOS
from tiny.flux import FLUX, FLUX2
from tiny.krea2 import KREA2
from tiny.lumina import ZIMAGE
from tiny.qwen_image import QWEN
from tiny.sd3 import SD3
from tiny.stable_diffusion import DEEP, PLAIN
from torch import Tensor, nn

Weights = dict[str, Tensor]
CPU = torch.device("cpu")


def random_weights(module: nn.Module) -> Weights:
    """Under which a signal neither dies nor grows."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, p in module.state_dict().items():
        drawn = torch.randn(p.shape, generator=generator)
        if p.ndim >= 2:
            weights[name] = drawn * p[0].numel() ** -0.5
        else:
            weights[name] = float("weight" in name or "norm" in name) + 0.02 * drawn
    return weights


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


# --- Diffusion models -----------------------------------------------------------------------------------------------

WIDE_FLUX = FLUX | {  # its heads have 128 channels: the host reckons with that
    "hidden_size": 256, "axes_dim": [16, 56, 56], "context_in_dim": T5["d_model"], "vec_in_dim": CLIP["hidden_size"],
}  # fmt: skip
SIZES: dict[str, dict] = {
    "SD15": PLAIN | {"use_linear_in_transformer": False},
    "SD20": PLAIN | {"use_linear_in_transformer": True},
    "SDXL": DEEP,
    "SD3": SD3
    | {
        "adm_in_channels": 2 * CLIP["hidden_size"],
        "num_patches": 256,
        "pos_embed_max_size": 16,
        "context_embedder_config": {
            "target": "torch.nn.Linear",
            "params": {"in_features": T5["d_model"], "out_features": 128},
        },
    },
    "Flux": WIDE_FLUX,
    "FluxSchnell": WIDE_FLUX | {"guidance_embed": False},
    "Flux2": FLUX2
    | {
        "hidden_size": 256,
        "axes_dim": [32, 32, 32, 32],
        "context_in_dim": 3 * LLM["hidden_size"],  # of three layers of Qwen3
        "guidance_embed": False,
    },
    "QwenImage": QWEN,
    "Krea2": KREA2 | {"features": 256, "tdim": 256, "txtdim": LLM["hidden_size"], "multiplier": 4, "txtlayers": 12},
    "Anima": COSMOS | {"image_model": "anima", "adaln_lora_dim": 256, "mlp_ratio": 4.0},
    "ZImage": ZIMAGE
    | {
        "cap_feat_dim": LLM["hidden_size"],
        "n_refiner_layers": 2,
        "multiple_of": 256,
        "ffn_dim_multiplier": 8 / 3,
    },
}


def diffusion_model(family: str) -> comfy.model_patcher.ModelPatcher:
    found, without_looking = UNETS.get(family, ({}, {}))
    config = getattr(comfy.supported_models, family)(SIZES[family] | found | without_looking)
    config.set_inference_dtype(torch.float32, None)
    with mock.patch.object(anima, "LLMAdapter", partial(anima.LLMAdapter, **ADAPTER)):
        model = config.get_model({}, "", device=CPU)
    model.diffusion_model.load_state_dict(random_weights(model.diffusion_model))
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


# --- Text encoders and autoencoders ---------------------------------------------------------------------------------

ENCODERS: dict[str, Callable] = {
    "SD15": lambda: (comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel),
    "SD20": lambda: (te.sd2_clip.SD2Tokenizer, te.sd2_clip.SD2ClipModel),
    "SDXL": lambda: (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel),
    "SD3": lambda: (te.sd3_clip.SD3Tokenizer, te.sd3_clip.sd3_clip()),
    "QwenImage": lambda: (te.qwen_image.QwenImageTokenizer, te.qwen_image.te()),
    "Krea2": lambda: (te.krea2.Krea2Tokenizer, te.krea2.te()),
    "Anima": lambda: (te.anima.AnimaTokenizer, te.anima.te()),
    "ZImage": lambda: (te.z_image.ZImageTokenizer, te.z_image.te()),
}


def text_encoder(family: str) -> comfy.sd.CLIP:
    return build(*ENCODERS[family](), TEXT_ENCODERS)


def encoder_file(family: str, name: str) -> Weights:
    """One of a family's text encoders, as its own file."""
    return getattr(text_encoder(family).cond_stage_model, name).transformer.state_dict()


def seeing_encoder_file() -> Weights:
    """Krea 2's Qwen3-VL, whose eyes no prompt uses."""
    sizes = te.qwen3vl.QWEN3VL_VISION_COMMON | EYES | {"out_hidden_size": LLM["hidden_size"]}
    eyes = te.qwen3vl.Qwen3VLVisionModel(sizes, device=CPU, dtype=torch.float32, ops=comfy.ops.disable_weight_init)
    text = encoder_file("Krea2", "qwen3vl_4b")
    text = {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in text.items()}
    return text | prefixed("model.visual.", random_weights(eyes))


def vae_file(channels: int) -> Weights:
    """Of SD's kind, and of those with 16 channels."""
    sizes = {
        "ch": 32, "out_ch": 3, "ch_mult": (1, 2, 4, 4), "num_res_blocks": 2, "attn_resolutions": [], "in_channels": 3,
        "resolution": 256, "z_channels": channels,
    }  # fmt: skip
    weights = prefixed("decoder.", random_weights(autoencoder.Decoder(**sizes)))
    weights |= prefixed("encoder.", random_weights(autoencoder.Encoder(**sizes, double_z=True)))
    if channels == 4:
        weights |= prefixed("post_quant_conv.", random_weights(nn.Conv2d(4, 4, 1)))
        weights |= prefixed("quant_conv.", random_weights(nn.Conv2d(8, 8, 1)))
    return weights


def flux2_vae_file() -> Weights:
    """Latents of 32 channels in squares of 2 x 2, normalized."""
    weights = vae_file(32) | prefixed("post_quant_conv.", random_weights(nn.Conv2d(32, 32, 1)))
    return weights | {"bn.running_mean": torch.zeros(128), "bn.running_var": torch.ones(128)}


def wan_vae_file() -> Weights:
    return random_weights(comfy.ldm.wan.vae.WanVAE(dim=16, z_dim=16, temperal_downsample=[False, True, True]))


def detector_file() -> Weights:
    """RT-DETR, whose boxes stay where they begin, in the picture. The file tells only its encoder's width."""
    config = comfy.supported_models.RT_DETR_v4({"image_model": "RT_DETR_v4", "enc_h": 32})
    config.set_inference_dtype(torch.float32, None)
    weights = random_weights(config.get_model({}, "", device=CPU).diffusion_model)
    weights |= {name: torch.ones_like(p) for name, p in weights.items() if name.endswith("running_var")}
    weights |= {name: torch.zeros_like(p) for name, p in weights.items() if "bbox_head" in name}
    scales = {"up": 0.5, "reg_scale": 8.0}  # of the offsets
    return weights | {n: torch.full_like(weights[n], scales[e]) for n in weights if (e := n.split(".")[-1]) in scales}


# --- The authors' classifiers ---------------------------------------------------------------------------------------


def classifier(steps: int, trained: list[int], run: str, path: Path) -> None:
    """As the authors' training saves them. run: its name."""
    names = {"above": 0, "below": 1, "is": 2, "left": 3, "right": 4}
    sizes = {"num_layers": 1, "nhead": 2, "dim_feedforward": 32}
    contents = {
        "rel_name_to_idx": names,
        "idx_to_rel_name": {index: name for name, index in names.items()},
        "input_channels": 64,
        "config": {
            "extractor": sizes | {"layer_attn_nheads": 2, "timestep_embedding": {"enable": True, "mode": "mid"}},
            "classifier": sizes | {"mode": "multiclass", "timestep_embedding_dim": 16, "fc_ver": "v1"},
            "map_size": 16, "d_model": 32, "num_timesteps": steps, "architecture": "attention",
        },
        "training_config": {"exp_name": run, "timesteps": trained, "orig_map_size": 16},
    }  # fmt: skip
    with torch.device("meta"):
        network = published.PublishedClassifier(published._config(contents))
    torch.save({"model_state_dict": random_weights(network), **contents}, path)


# --- Files ----------------------------------------------------------------------------------------------------------


def checkpoint(family: str, vae_channels: int, path: Path) -> None:
    """All parts in one file, as the host itself saves them."""
    vae = prefixed("first_stage_model.", vae_file(vae_channels))
    comfy.sd.save_checkpoint(str(path), diffusion_model(family), text_encoder(family), extra_keys=vae)


def part(weights: Callable[..., Weights], *of: str | int) -> Callable[[Path], None]:
    return lambda path: save_file({name: tensor.contiguous() for name, tensor in weights(*of).items()}, path)


def unet_file(family: str) -> Weights:
    return diffusion_model(family).model.diffusion_model.state_dict()


FILES: dict[str, Callable[[Path], None]] = {
    "checkpoints/v1-5-pruned-emaonly-fp16.safetensors": partial(checkpoint, "SD15", 4),
    "checkpoints/v2-1_768-ema-pruned.safetensors": partial(checkpoint, "SD20", 4),
    "checkpoints/v2-1_512-ema-pruned.safetensors": partial(checkpoint, "SD20", 4),
    "checkpoints/sd_xl_base_1.0.safetensors": partial(checkpoint, "SDXL", 4),
    "checkpoints/sd3.5_large_fp8_scaled.safetensors": partial(checkpoint, "SD3", 16),
    "diffusion_models/flux1-dev.safetensors": part(unet_file, "Flux"),
    "diffusion_models/flux1-schnell.safetensors": part(unet_file, "FluxSchnell"),
    "diffusion_models/flux-2-klein-4b.safetensors": part(unet_file, "Flux2"),
    "diffusion_models/qwen_image_fp8_e4m3fn.safetensors": part(unet_file, "QwenImage"),
    "diffusion_models/krea2_turbo_fp8_scaled.safetensors": part(unet_file, "Krea2"),
    "diffusion_models/anima-base-v1.0.safetensors": part(unet_file, "Anima"),
    "diffusion_models/z_image_turbo_bf16.safetensors": part(unet_file, "ZImage"),
    "diffusion_models/rtdetr.safetensors": part(detector_file),
    "text_encoders/clip_l.safetensors": part(encoder_file, "SD3", "clip_l"),
    "text_encoders/t5xxl_fp16.safetensors": part(encoder_file, "SD3", "t5xxl"),
    "text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors": part(encoder_file, "QwenImage", "qwen25_7b"),
    "text_encoders/qwen_3_4b.safetensors": part(encoder_file, "ZImage", "qwen3_4b"),
    "text_encoders/qwen3vl_4b_fp8_scaled.safetensors": part(seeing_encoder_file),
    "text_encoders/qwen_3_06b_base.safetensors": part(encoder_file, "Anima", "qwen3_06b"),
    "vae/ae.safetensors": part(vae_file, 16),
    "vae/flux2-vae.safetensors": part(flux2_vae_file),
    "vae/qwen_image_vae.safetensors": part(wan_vae_file),
    "l2s_classifiers/sd2.pth": partial(classifier, 50, [5, 10, 15, 20, 25, 49], "sd2"),
    "l2s_classifiers/flux_schnell.pth": partial(classifier, 4, [1, 3], "flux_schnell"),
}  # fmt: skip


def write(models: Path) -> None:
    for name, make in FILES.items():
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
