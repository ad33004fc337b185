"""The demo models: two small text-to-image models that draw emoji, made of the host's own classes."""

import json
from pathlib import Path

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import torch
from comfy_api.latest import io
from safetensors import safe_open

WEIGHTS = Path(__file__).resolve().parent.parent / "demo" / "weights"
UNET, FLOW, CLIP, VAE = (WEIGHTS / f"emoji_{part}.safetensors" for part in ("unet", "flow", "clip", "vae"))

# The standard CLIP tokenizer with a text model of 96 channels.
CLIP_CONFIG = {
    "hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 3, "num_hidden_layers": 2, "projection_dim": 96,
}  # fmt: skip
POSITIONS = "text_model.embeddings.position_embedding.weight"
FLOW_TOKENS = 32  # the transformer reads shorter texts than 77 tokens: that many would take a fifth of its time


class EmojiLatents(comfy.latent_formats.LatentFormat):
    """8 channels at an eighth of the picture's size, of unit variance (the autoencoder's own scale and shift)."""

    latent_channels = 8


class EmojiWorld(comfy.supported_models_base.BASE):
    """A UNet of SD1.x's kind, cross-attention at 16x16 and 8x8 for a picture of 128 px, velocity prediction."""

    unet_config = {
        "image_size": 16, "in_channels": 8, "out_channels": 8, "model_channels": 96, "context_dim": 96,
        "channel_mult": [1, 2], "num_res_blocks": [1, 1], "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1,
        "use_spatial_transformer": True, "use_linear_in_transformer": True, "legacy": False, "adm_in_channels": None,
    }  # fmt: skip
    unet_extra_config = {"num_heads": -1, "num_head_channels": 32}
    latent_format = EmojiLatents

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.V_PREDICTION

    def inpaint_model(self):
        return False  # the base class takes more than four channels for an inpainting model


class EmojiFlow(comfy.supported_models_base.BASE):
    """A transformer of Flux's kind: joint attention over the text's tokens and 256 of the picture, flow matching.

    The text reaches the picture through attention alone: there is no pooled vector beside it.
    """

    unet_config = {
        "image_model": "flux", "in_channels": 8, "out_channels": 8, "patch_size": 1, "vec_in_dim": None,
        "context_in_dim": 96, "hidden_size": 224, "mlp_ratio": 4.0, "num_heads": 7, "depth": 2,
        "depth_single_blocks": 6, "axes_dim": [4, 14, 14], "theta": 100, "qkv_bias": False, "guidance_embed": False,
        "txt_ids_dims": [],
    }  # fmt: skip
    unet_extra_config: dict = {}
    sampling_settings = {"shift": 0.7}  # e^0.7 = 2: half of the steps go to noise levels above 2/3
    latent_format = EmojiLatents

    def get_model(self, state_dict, prefix="", device=None):
        return comfy.model_base.Flux(self, device=device)


def unet(device="cpu") -> comfy.model_base.BaseModel:
    """The untrained model in float32, without initial values."""
    config = EmojiWorld(EmojiWorld.unet_config)
    config.set_inference_dtype(torch.float32, None)
    return config.get_model({}, "", device=device)


def flow(device="cpu") -> comfy.model_base.BaseModel:
    """The untrained transformer in float32, without initial values."""
    config = EmojiFlow(EmojiFlow.unet_config)
    config.set_inference_dtype(torch.float32, None)
    return config.get_model({}, "", device=device)


def clip(state: dict | None = None, length: int = 77) -> comfy.sd.CLIP:
    """The text encoder, with weights when they are given. A text is padded to a multiple of length tokens."""
    if state:  # it reads from left to right: a shorter one of the same weights says the same
        state = state | {POSITIONS: state[POSITIONS][:length]}
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
    target.params = {}
    return comfy.sd.CLIP(
        target,
        state_dict=[state] if state else [],
        tokenizer_data={"clip_l_max_length": length},
        model_options={"clip_l_model_config": CLIP_CONFIG | {"max_position_embeddings": length}},
    )


def load(folder: Path | None = None) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """MODEL, CLIP and VAE of the demo world. folder: that holds the weights, when these are not the pack's own.

    Raises ValueError when a weights file is missing or damaged.
    """
    return _load(UNET, unet(), 77, folder)


def load_flow(folder: Path | None = None) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """The same with the transformer in the UNet's place; text encoder and autoencoder are the same."""
    return _load(FLOW, flow(), FLOW_TOKENS, folder)


def _load(weights: Path, model: comfy.model_base.BaseModel, length: int, folder: Path | None):
    states = {}
    model_path, clip_path, vae_path = (folder / path.name if folder else path for path in (weights, CLIP, VAE))
    for path in (model_path, clip_path, vae_path):
        try:
            states[path] = {
                name: t.float() for name, t in comfy.utils.load_torch_file(str(path), safe_load=True).items()
            }
        except Exception as error:
            raise ValueError(
                f"The demo model's file {path} is missing or damaged ({error}). Install the pack again, or "
                f"run `make train`."
            ) from error
    with safe_open(model_path, "pt") as file:
        metadata = file.metadata() or {}

    model.diffusion_model.load_state_dict(states[model_path])
    model.diffusion_model.train(False)
    model.latent_format.latent_rgb_factors = json.loads(metadata.get("latent_rgb_factors", "null"))
    model.latent_format.latent_rgb_factors_bias = json.loads(metadata.get("latent_rgb_bias", "null"))
    patcher = comfy.model_patcher.CoreModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    text = clip(states[clip_path], length)
    # The host only warns when a text encoder's weights are missing, and goes on with whatever lay in memory.
    if text.cond_stage_model.clip_l.transformer.state_dict().keys() != states[clip_path].keys():
        raise ValueError(f"{clip_path} holds another text encoder's weights. Install the pack again.")
    return patcher, text, comfy.sd.VAE(sd=states[vae_path])


UNET_KIND = "UNet"
KINDS = {UNET_KIND: load, "transformer": load_flow}


class LoadDemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_LoadDemoModel",
            display_name="Load Demo Model (emoji)",
            category="learn-to-steer",
            description="The small emoji models that come with this pack: 25 kinds of objects, 128 px. "
            "Nothing to download.",
            search_aliases=["emoji", "demo", "learn to steer", "checkpoint", "loader"],
            inputs=[
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    default=UNET_KIND,
                    optional=True,
                    tooltip="UNet: like Stable Diffusion's; its captions told nothing about places. Transformer: like "
                    "Flux, with joint attention; its captions told the truth about places six times in ten. Use the "
                    "scheduler simple with it.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The diffusion model."),
                io.Clip.Output(tooltip="Its text encoder."),
                io.Vae.Output(tooltip="Its autoencoder: 128 px pictures, 16x16 latents of 8 channels."),
            ],
        )

    @classmethod
    def execute(cls, kind=UNET_KIND) -> io.NodeOutput:
        return io.NodeOutput(*KINDS[kind]())
