"""Tiny models with random weights of every family in the table, made by the host's own classes under inference mode."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_patcher
import comfy.supported_models
import comfyui_version
import pytest
import torch

CPU = torch.device("cpu")


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Tiny:
    """config: class of the host's supported_models; unet: its configuration; latent: shape; text: rows and channels of
    the conditioning; values: of the conditioning besides its tensor. columns: of the text in the attention, and column:
    where the conditioning's row 3 stands among them. change: how row 3 is changed where it is no row of the tensor.
    version: of the host from which on the family can be built so.
    """

    config: str
    unet: dict
    latent: tuple[int, ...]
    text: tuple[int, int] = (20, 32)
    values: Callable[[], dict] = dict
    columns: int = 20
    column: int = 3
    change: Callable | None = None
    version: str = "0.16.3"


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
SD3 = {
    "in_channels": 16, "patch_size": 2, "out_channels": 16, "depth": 2, "input_size": None, "adm_in_channels": 2048,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 32, "out_features": 128}},
    "num_patches": 64, "pos_embed_max_size": 8, "qk_norm": "rms", "pos_embed_scaling_factor": None,
    "x_block_self_attn_layers": [],
}  # fmt: skip
PIXART = {
    "image_model": "pixart_sigma", "micro_condition": False, "hidden_size": 72, "depth": 2, "num_heads": 2,
    "caption_channels": 32, "model_max_length": 20, "pe_interpolation": 1.0, "pe_precision": 2, "input_size": 16,
}  # fmt: skip
HYDIT = {
    "image_model": "hydit", "depth": 4, "hidden_size": 64, "num_heads": 2, "text_states_dim": 32,
    "text_states_dim_t5": 64, "qk_norm": True,
}  # fmt: skip
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 32,
    "hidden_size": 64, "mlp_ratio": 4.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 2,
    "axes_dim": [8, 12, 12], "theta": 10000, "patch_size": 2, "qkv_bias": True, "txt_ids_dims": [],
    "guidance_embed": True,
}  # fmt: skip
FLUX2 = FLUX | {
    "image_model": "flux2", "vec_in_dim": None, "in_channels": 128, "out_channels": 128, "axes_dim": [8, 8, 8, 8],
    "theta": 2000, "mlp_ratio": 3.0, "patch_size": 1, "qkv_bias": False, "txt_ids_dims": [3], "ops_bias": False,
    "global_modulation": True, "mlp_silu_act": True, "default_ref_method": "index", "ref_index_scale": 10.0,
}  # fmt: skip
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
LUMINA = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 64, "n_layers": 2, "n_refiner_layers": 1,
    "n_heads": 4, "n_kv_heads": 2, "cap_feat_dim": 32, "axes_dims": [4, 6, 6], "axes_lens": [300, 512, 512],
    "qk_norm": True, "multiple_of": 16, "ffn_dim_multiplier": 2.0, "rope_theta": 10000.0,
}  # fmt: skip
ZIMAGE = LUMINA | {
    "dim": 256, "n_heads": 8, "n_kv_heads": 8, "axes_dims": [8, 12, 12], "rope_theta": 256.0,
    "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32,
}  # fmt: skip
ZPIXEL = ZIMAGE | {
    "image_model": "zimage_pixel", "patch_size": 16, "in_channels": 3, "decoder_hidden_size": 32,
    "decoder_num_res_blocks": 1, "decoder_max_freqs": 4, "decoder_in_channels": 768,
}  # fmt: skip
HIDREAM = {
    "image_model": "hidream", "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 2,
    "num_single_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2, "caption_channels": [32, 40],
    "text_emb_dim": 2048, "num_routed_experts": 2, "num_activated_experts": 1, "axes_dims_rope": [16, 8, 8],
    "max_resolution": [128, 128], "llama_layers": [0, 1, 2, 3],
}  # fmt: skip
HIDREAM_O1 = {
    "image_model": "hidream_o1",
    "text_config_overrides": {
        "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "rope_dims": [6, 5, 5],
    },
    "vision_config_overrides": {
        "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "depth": 1, "num_position_embeddings": 16,
    },
}  # fmt: skip
QWEN = {
    "image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 2,
    "attention_head_dim": 32, "num_attention_heads": 2, "joint_attention_dim": 32, "axes_dims_rope": [8, 12, 12],
}  # fmt: skip
OMNIGEN = {
    "image_model": "omnigen2", "in_channels": 16, "hidden_size": 96, "num_layers": 2, "num_refiner_layers": 1,
    "num_attention_heads": 4, "num_kv_heads": 2, "multiple_of": 16, "axes_dim_rope": [8, 8, 8], "text_feat_dim": 32,
}  # fmt: skip
BOOGU = OMNIGEN | {
    "image_model": "boogu", "num_double_stream_layers": 1, "instruction_feat_dim": 32,
}  # fmt: skip
del BOOGU["text_feat_dim"]
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
WAN = {
    "image_model": "wan2.1", "model_type": "t2v", "patch_size": (1, 2, 2), "dim": 64, "ffn_dim": 64, "freq_dim": 32,
    "text_dim": 32, "in_dim": 16, "out_dim": 16, "num_heads": 2, "num_layers": 2,
}  # fmt: skip
LTXV = {
    "image_model": "ltxv", "num_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2,
    "cross_attention_dim": 64, "caption_channels": 32, "in_channels": 128,
}  # fmt: skip
MOCHI = {
    "image_model": "mochi_preview", "depth": 3, "patch_size": 2, "num_heads": 2, "hidden_size_x": 48,
    "hidden_size_y": 32, "mlp_ratio_x": 256.0, "mlp_ratio_y": 4.0, "learn_sigma": False, "in_channels": 12,
    "qk_norm": True, "qkv_bias": False, "out_bias": True, "attn_drop": 0.0, "patch_embed_bias": True,
    "posenc_preserve_area": True, "timestep_mlp_bias": True, "attend_to_padding": False, "timestep_scale": 1000.0,
    "use_t5": True, "t5_feat_dim": 32, "t5_token_length": 20, "rope_theta": 10000.0,
}  # fmt: skip
COGVIDEO = {
    "image_model": "cogvideox", "num_attention_heads": 2, "attention_head_dim": 32, "in_channels": 16,
    "out_channels": 16, "time_embed_dim": 32, "text_embed_dim": 32, "num_layers": 2, "max_text_seq_length": 20,
    "use_rotary_positional_embeddings": True,
}  # fmt: skip
HUNYUAN = {
    "image_model": "hunyuan_video", "in_channels": 64, "patch_size": [1, 1], "out_channels": 64, "vec_in_dim": None,
    "axes_dim": [16, 16], "meanflow": False, "context_in_dim": 32, "hidden_size": 64, "mlp_ratio": 4.0,
    "num_heads": 2, "depth": 2, "depth_single_blocks": 2, "theta": 256, "qkv_bias": True, "byt5": True,
    "guidance_embed": False, "use_cond_type_embedding": False, "vision_in_dim": None, "meanflow_sum": False,
}  # fmt: skip
KANDINSKY = {
    "image_model": "kandinsky5", "model_dim": 64, "in_visual_dim": 16, "out_visual_dim": 16,
    "visual_embed_dim": 64, "in_text_dim": 32, "in_text_dim2": 24, "time_dim": 32, "ff_dim": 64,
    "num_text_blocks": 1, "num_visual_blocks": 2, "axes_dims": (8, 12, 12),
}  # fmt: skip
ERNIE = {
    "image_model": "ernie", "hidden_size": 96, "num_attention_heads": 2, "num_layers": 2, "ffn_hidden_size": 64,
    "in_channels": 128, "out_channels": 128, "patch_size": 1, "text_in_dim": 32, "rope_axes_dim": (16, 16, 16),
}  # fmt: skip
KREA2 = {
    "image_model": "krea2", "features": 64, "tdim": 32, "txtdim": 32, "heads": 2, "kvheads": 1, "multiplier": 2,
    "layers": 2, "patch": 2, "channels": 16, "theta": 1e3, "txtlayers": 3, "txtheads": 2, "txtkvheads": 2,
}  # fmt: skip
IDEOGRAM = {
    "image_model": "ideogram4", "in_channels": 128, "num_layers": 2, "num_attention_heads": 2,
    "attention_head_dim": 32, "intermediate_size": 64, "adaln_dim": 16, "llm_features_dim": 32,
    "rope_theta": 10000, "mrope_section": (6, 5, 5),
}  # fmt: skip
LENS = {
    "image_model": "lens", "in_channels": 128, "out_channels": 128, "num_layers": 2, "attention_head_dim": 32,
    "num_attention_heads": 2, "enc_hidden_dim": 32, "axes_dims_rope": [8, 12, 12], "patch_size": 1,
}  # fmt: skip
MAGEFLOW = {
    "image_model": "mage_flow", "in_channels": 128, "out_channels": 128, "num_layers": 2, "attention_head_dim": 32,
    "num_attention_heads": 2, "joint_attention_dim": 32, "axes_dims_rope": [8, 12, 12],
}  # fmt: skip
JOYIMAGE = {
    "image_model": "joyimage", "patch_size": (1, 2, 2), "in_channels": 16, "out_channels": 16, "hidden_size": 64,
    "num_attention_heads": 2, "text_dim": 32, "num_layers": 2, "rope_dim_list": [8, 12, 12],
}  # fmt: skip
PIXELDIT = {
    "image_model": "pixeldit_t2i", "num_groups": 2, "hidden_size": 64, "pixel_hidden_size": 8,
    "pixel_attn_hidden_size": 64, "pixel_num_groups": 2, "patch_depth": 2, "pixel_depth": 1, "patch_size": 16,
    "txt_embed_dim": 32, "txt_max_length": 20,
}  # fmt: skip


def pooled(width: int):
    return lambda: {"pooled_output": random(1, width)}


def masked(dtype=torch.float32):
    return lambda: {"attention_mask": torch.ones(1, 20, dtype=dtype)}


def another_id(key: str):
    """A change of row 3 where token ids make the rows."""

    def change(conditioning):
        tensor, values = conditioning[0]
        ids = values[key].clone()
        ids[..., 3] += 1
        return [[tensor, {**values, key: ids}]]

    return change


SMALL, TALL, SQUARE = (1, 16, 12, 10), (1, 128, 6, 5), (1, 4, 16, 16)
FAMILIES = {
    "SD15": Tiny(
        "SD15", PLAIN | {"model_channels": 32, "use_linear_in_transformer": False}, SQUARE, (77, 24), columns=77,
    ),
    "SD20": Tiny(
        "SD20", PLAIN | {"model_channels": 64, "use_linear_in_transformer": True}, SQUARE, (77, 24), columns=77,
    ),
    "SDXL": Tiny("SDXL", DEEP | {"adm_in_channels": 2816}, SQUARE, (77, 24), pooled(1280), 77),
    "SDXLRefiner": Tiny("SDXLRefiner", DEEP | {"adm_in_channels": 2560}, SQUARE, (77, 24), pooled(1280), 77),
    "Stable Cascade": Tiny(
        "Stable_Cascade_C",
        {"stable_cascade_stage": "c", "c_cond": 64, "c_hidden": [64, 64], "nhead": [2, 2], "blocks": [[1, 2], [2, 1]]},
        (1, 16, 8, 8), (77, 1280), pooled(1280), 77,
    ),
    "SD3": Tiny("SD3", SD3, SMALL, values=pooled(2048)),
    "SD3.5 medium": Tiny("SD3", SD3 | {"x_block_self_attn_layers": [0]}, SMALL, values=pooled(2048)),
    "AuraFlow": Tiny(
        "AuraFlow",
        {"max_seq": 64, "cond_seq_dim": 32, "n_double_layers": 2, "n_layers": 4, "dim": 64, "n_heads": 2,
         "global_conddim": 64},
        (1, 4, 12, 10),
    ),
    "PixArt alpha": Tiny(
        "PixArtAlpha", PIXART | {"image_model": "pixart_alpha", "micro_condition": True}, (1, 4, 64, 48),
    ),
    "PixArt sigma": Tiny("PixArtSigma", PIXART, (1, 4, 64, 48)),
    "HunyuanDiT": Tiny(
        "HunyuanDiT", HYDIT, (1, 4, 12, 10), (77, 32),
        lambda: {"attention_mask": torch.ones(1, 77), "conditioning_mt5xl": random(1, 256, 64),
                 "attention_mask_mt5xl": torch.ones(1, 256)},
        columns=77 + 256,
    ),
    "Flux": Tiny("Flux", FLUX, SMALL, values=pooled(24)),
    "Flux Kontext": Tiny(
        "Flux", FLUX, SMALL,
        values=lambda: {"pooled_output": random(1, 24), "reference_latents": [random(1, 16, 8, 8)]},
    ),
    "Flux.2": Tiny("Flux2", FLUX2, TALL, values=pooled(24), columns=512, column=512 - 20 + 3),
    "LongCat-Image": Tiny(
        "LongCatImage", FLUX | {"guidance_embed": False, "vec_in_dim": None, "txt_ids_dims": [1, 2]}, SMALL,
    ),
    "Chroma": Tiny("Chroma", CHROMA, SMALL, values=pooled(24)),
    "Chroma Radiance": Tiny("ChromaRadiance", RADIANCE, (1, 3, 64, 48), values=pooled(24), version="0.24.0"),
    "Lumina 2": Tiny("Lumina2", LUMINA, SMALL, values=masked()),
    "Z-Image": Tiny("ZImage", ZIMAGE, SMALL),
    "Z-Image pixel": Tiny("ZImagePixelSpace", ZPIXEL, (1, 3, 96, 80)),
    "HiDream": Tiny(
        "HiDream", HIDREAM, SMALL,
        values=lambda: {"pooled_output": random(1, 2048), "conditioning_llama3": random(1, 4, 18, 40)},
        columns=20 + 18 + 18,
    ),
    "HiDream-O1": Tiny(
        "HiDreamO1", HIDREAM_O1, (1, 3, 192, 160), (1, 64),
        lambda: {"text_input_ids": torch.tensor([[*range(100, 119), 151673]])},
        change=another_id("text_input_ids"), version="0.24.0",
    ),
    "Qwen-Image": Tiny("QwenImage", QWEN, (1, 16, 1, 12, 10)),
    "OmniGen2": Tiny("Omnigen2", OMNIGEN, SMALL, values=masked(torch.long)),
    "Boogu": Tiny("Boogu", BOOGU, SMALL, values=masked(torch.long), version="0.27.0"),
    "Cosmos 1": Tiny("CosmosT2V", COSMOS1, (1, 16, 1, 12, 10)),
    "Cosmos-Predict2": Tiny("CosmosT2IPredict2", COSMOS, (1, 16, 1, 12, 10), (20, 1024)),
    "Anima": Tiny(
        "Anima", COSMOS | {"image_model": "anima"}, (1, 16, 1, 12, 10), (20, 1024),
        lambda: {"t5xxl_ids": torch.arange(20), "t5xxl_weights": torch.ones(20)}, 512,
        change=another_id("t5xxl_ids"),
    ),
    "Wan": Tiny("WAN21_T2V", WAN, (1, 16, 1, 12, 10)),
    "LTX-Video": Tiny("LTXV", LTXV, (1, 128, 1, 6, 5), values=masked(torch.long)),
    "Mochi": Tiny(
        "GenmoMochi", MOCHI, (1, 12, 1, 12, 10),
        values=lambda: {"attention_mask": (torch.arange(20) < 14).long()[None]}, columns=14,
    ),
    "CogVideoX": Tiny("CogVideoX_T2V", COGVIDEO, (1, 16, 1, 12, 10), version="0.24.0"),
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
    "Kandinsky 5": Tiny("Kandinsky5Image", KANDINSKY, SMALL, values=pooled(24)),
    "ERNIE-Image": Tiny("ErnieImage", ERNIE, TALL, version="0.20.1"),
    "Krea 2": Tiny("Krea2", KREA2, SMALL, (20, 96), version="0.27.0"),
    "Ideogram 4": Tiny("Ideogram4", IDEOGRAM, TALL, version="0.24.0"),
    "Lens": Tiny("Lens", LENS, TALL, (20, 128), version="0.24.0"),
    "MageFlow": Tiny("MageFlow", MAGEFLOW, TALL, version="0.30.0"),
    "JoyImage": Tiny("JoyImage", JOYIMAGE, (1, 16, 1, 12, 10), version="0.30.0"),
    "PixelDiT": Tiny("PixelDiTT2I", PIXELDIT, (1, 3, 64, 48), version="0.24.0"),
}  # fmt: skip


def skip_where_absent(family: str) -> None:
    needed, here = FAMILIES[family].version, comfyui_version.__version__
    if tuple(map(int, needed.split("."))) > tuple(map(int, here.split("."))):
        pytest.skip(f"ComfyUI {here} has no {family} like this one (since {needed})")


@functools.lru_cache(2)
def tiny(family: str, dtype=torch.float32, cast=None) -> comfy.model_patcher.ModelPatcher:
    """dtype: of the weights; cast: what they are computed in, when that is another."""
    skip_where_absent(family)
    case = FAMILIES[family]
    cls = getattr(comfy.supported_models, case.config)
    # What a checkpoint of full size is told by its class gives way to the tiny configuration.
    extra = {k: v for k, v in cls.unet_extra_config.items() if k not in case.unet}
    cls = type(cls.__name__, (cls,), {"unet_extra_config": extra})
    config = cls(dict(case.unet))
    config.set_inference_dtype(dtype, cast)
    model = config.get_model({}, "", device=CPU)
    generator = torch.Generator().manual_seed(0)
    computed = ("freqs", "inv_freq", "pos_embedder.seq")  # constants, which no checkpoint changes
    tensors = [*model.diffusion_model.named_parameters(), *model.diffusion_model.named_buffers()]
    for name, p in tensors:
        if not p.is_floating_point() or name.endswith(computed):
            continue
        if p.ndim >= 2:
            value = torch.randn(p.shape, generator=generator) * p[0].numel() ** -0.5
        elif "weight" in name or "norm" in name or "scale" in name:
            value = 1 + 0.05 * torch.randn(p.shape, generator=generator)
        else:
            value = 0.02 * torch.randn(p.shape, generator=generator)
        p.copy_(value.to(p.dtype))
    model.diffusion_model.train(False)
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


def positive(family: str):
    """A conditioning of random text rows."""
    case = FAMILIES[family]
    return [[random(1, *case.text), case.values()]]


def changed(family: str):
    """The same with its row 3 moved."""
    case, conditioning = FAMILIES[family], positive(family)
    if case.change:
        return case.change(conditioning)
    conditioning[0][0][:, 3] += 1.0
    return conditioning


def latent(family: str, seed: int = 5) -> torch.Tensor:
    return random(*FAMILIES[family].latent, seed=seed)
