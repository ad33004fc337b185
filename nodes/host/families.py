"""Where each family of text-to-image models has its text-to-image attention: one table, proven family by family.

Measured on ComfyUI 0.30.0 (tests/host/test_families.py); FAMILIES.md beside this file shows what was verified for each,
ADDING.md how one is added.
"""

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Places:
    """Where text and image lie in one attention call: columns text[0] to text[1], image rows from `image` on."""

    text: tuple[int, int]
    image: int


# Ways to lay them out, by the order of what is in the sequence; references: whatever else stands there. Each is told of
# an attention call: rows of its queries, columns of its keys, rows of the text (the model's context), and image rows
# (padded as the model pads them).


def crossed(rows, columns, text, image):
    return Places((0, columns), 0)


def text_image(rows, columns, text, image):
    return Places((0, columns - image), rows - image)


def text_image_references(rows, columns, text, image):
    return Places((0, text), text)


def text_references_image(rows, columns, text, image):
    return Places((0, text), rows - image)


def image_text(rows, columns, text, image):
    return Places((image, columns), 0)


def image_references_text(rows, columns, text, image):
    return Places((columns - text, columns), 0)


def registers_text_image(rows, columns, text, image):
    return Places((8, columns - image), rows - image)


def image_text_pooled(rows, columns, text, image):
    return Places((image, image + text), 0)


@dataclass(frozen=True)
class Family:
    """blocks: lists of the model's blocks that hold the layers, in the order of the forward pass; none: every block
    that has the attention. attention: the module of a block whose first attention call is the layer; none: the block.
    sequence: where text and picture lie. patch: latent cells along a side of an image token, or where the model says.
    bypasses: a module of the host whose attention asks nobody (its optimized_attention gets no transformer_options).
    refused: arguments of the model that bring reference pictures to where they cannot be told from the picture.
    """

    blocks: tuple[str, ...]
    attention: str = ""
    sequence: Callable[[int, int, int, int], Places] = text_image
    patch: int | str = "patch_size"
    bypasses: str = ""
    refused: tuple[str, ...] = ()

    def has_both(self, rows: int, columns: int, text: int, picture: int) -> bool:
        """Is an attention call, of so many rows and columns, about text and picture? Else it may be about the text
        alone, or about references. text, picture: rows that each has at the least."""
        return rows >= picture and (self.sequence is crossed or columns >= text + picture)

    def refuses(self, given: dict) -> bool:
        """Do these arguments of the model bring reference pictures that cannot be told from the picture?"""
        return any(given.get(name) is not None and len(given[name]) for name in self.refused)


# By the class of the diffusion model; subclasses are of their parent's family.
FAMILIES = {
    # SD1.x, SD2.x, SDXL and its refiner, and all that was distilled from them
    "UNetModel": Family((), "attn2", crossed),
    "StageC": Family((), "attention", image_text_pooled, 1),  # Stable Cascade
    "OpenAISignatureMMDITWrapper": Family(("joint_blocks",)),  # SD3, SD3.5
    "MMDiT": Family(("double_layers", "single_layers"), "", registers_text_image),  # AuraFlow
    "PixArtMS": Family(("blocks",), "cross_attn", crossed, bypasses="comfy.ldm.pixart.blocks"),
    "HunYuanDiT": Family(("blocks",), "attn2", crossed, bypasses="comfy.ldm.hydit.attn_layers"),
    # Flux.1, Flux.2, Kontext, LongCat, Ovis
    "Flux": Family(("double_blocks", "single_blocks"), "", text_image_references),
    "Chroma": Family(("double_blocks", "single_blocks"), "", text_image_references),  # Radiance too
    # Lumina 2, Z-Image, NewBie; Ming-Image too, but for its edits
    "NextDiT": Family(("layers",), "", text_references_image, refused=("ref_frames",)),
    "HiDreamImageTransformer2DModel": Family(("double_stream_blocks", "single_stream_blocks"), "", image_text),
    "QwenImageTransformer2DModel": Family(("transformer_blocks",), "", text_image_references),
    "MageFlowTransformer2DModel": Family(("transformer_blocks",)),
    "OmniGen2Transformer2DModel": Family(("layers",), "", text_references_image),
    "BooguTransformer2DModel": Family(("double_stream_layers", "single_stream_layers"), "", text_references_image),
    "MiniTrainDIT": Family(("blocks",), "cross_attn", crossed, "patch_spatial"),  # Cosmos-Predict2, Anima
    "WanModel": Family(("blocks",), "cross_attn", crossed),
    "LTXVModel": Family(("transformer_blocks",), "attn2", crossed, 1),
    "HunyuanVideo": Family(("double_blocks", "single_blocks")),  # Hunyuan Image 2.1, Hunyuan Video
    "Kandinsky5": Family(("visual_transformer_blocks",), "cross_attention", crossed),
    "ErnieImageModel": Family(("layers",), "", image_text, bypasses="comfy.ldm.ernie.model"),
    "SingleStreamDiT": Family(("blocks",), "", text_image_references, "patch"),  # Krea 2
    "Ideogram4Transformer2DModel": Family(("layers",), patch=1),
    "LensTransformer2DModel": Family(("transformer_blocks",), "", image_text),
    "JoyImageTransformer3DModel": Family(("double_blocks",), "", image_references_text),
    "PixDiT_T2I": Family(("patch_blocks",)),
    "HiDreamO1Transformer": Family(("language_model.layers",), "self_attn", patch=32),
    "AsymmDiTJoint": Family(("blocks",), "attn", image_text),  # Mochi
    "CogVideoXTransformer3DModel": Family(("blocks",)),
    "GeneralDIT": Family(("blocks",), "blocks.1.block.attn", crossed, "patch_spatial"),  # Cosmos 1
    # Of newer hosts, tried on copies of their call order: a call a segment, and the text in passes of its own
    "QwenImage21Transformer2DModel": Family(("transformer_blocks",), "attn", text_image, 1, refused=("ref_latents",)),
    "SenseNovaU15": Family(("language_model.model.layers",), "self_attn.q_proj_mot_gen", text_image, 32),
}  # fmt: skip
# Layers that others chose for a model's maps, by the host's name of it and its number of layers: from code and reports,
# only the last two measured here. A single block that was told stands with its neighbours. Choose Layers measures.
USUAL_LAYERS = {
    ("SDXL", 70): (15, 44),  # code and a report: from the down path's last attention to the first of the up path
    ("SD3", 24): (9, 11),  # a measurement of SD3 Medium: block 9
    ("Flux", 57): (11, 19),  # code: double blocks 10 to 18
    ("FluxSchnell", 57): (11, 19),
    ("Flux2", 25): (11, 13),  # code: single block 6 of Klein 4B
    ("Flux2", 32): (11, 13),  # code: single block 3 of Klein 9B
    ("ZImage", 30): (17, 19),  # code, of Z-Image Turbo
    ("QwenImage", 60): (19, 21),  # code
    ("Krea2", 28): (16, 19),  # a report: 16 and 18
    ("EmojiWorld", 7): (5, 6),  # measurements of the demo models: as right as all layers, and faster
    ("EmojiFlow", 8): (3, 4),
}
HEADS = ("heads", "num_heads", "n_heads", "n_local_heads", "nheads", "num_attention_heads")


@dataclass(frozen=True)
class Layer:
    """A text-to-image attention layer: the block that it belongs to, its module (often the block), and its heads."""

    block: nn.Module
    module: nn.Module
    heads: int


def parts_of(*modules: nn.Module) -> list:
    """The modules and all that is in them, each once, in the order of nn.Module.modules(), which for a deep model takes
    many times as long: it climbs from the top to each of them."""
    found: dict[nn.Module, bool] = {}
    ahead = list(modules[::-1])
    while ahead:
        part = ahead.pop()
        if part not in found:
            found[part] = True
            if part._modules:
                ahead += [inner for inner in reversed(part._modules.values()) if inner is not None]
    return list(found)


def family_of(unet: nn.Module) -> Family:
    """The family of a diffusion model. Raises ValueError for one that is not known or has no gradient."""
    name, parts = type(unet).__name__, parts_of(unet) if isinstance(unet, nn.Module) else ()
    compiled = any(type(part).__name__ == "OptimizedModule" for part in parts)
    for cls in () if compiled else type(unet).__mro__:
        if cls.__name__ in FAMILIES:
            return FAMILIES[cls.__name__]
    if compiled:
        advice = "It is compiled. Bypass the node that compiles it, or compile with the host's TorchCompileModel."
    elif "nunchaku" in type(unet).__module__.lower() or name.startswith("ComfyFlux"):
        advice = "Nunchaku's kernels have no gradient. Load the model with the host's own loader."
    elif "trt" in name.lower() or "tensorrt" in name.lower():
        advice = "A TensorRT engine has no gradient. Bypass TensorRT Loader and load the checkpoint."
    else:
        advice = "It is none of the families that nodes/host/FAMILIES.md lists."
    raise ValueError(f"The attention of {name} cannot be read, so it cannot be steered. {advice}")


def layers_of(unet: nn.Module) -> list[Layer]:
    """The text-to-image attention layers of a diffusion model, in the order of its forward pass."""
    family = family_of(unet)
    if family.blocks:
        blocks = [block for name in family.blocks for block in unet.get_submodule(name).children()]
    else:
        blocks = [part for part in parts_of(unet) if part._modules.get(family.attention) is not None]
    found = []
    for block in blocks:
        module = block.get_submodule(family.attention)
        found.append(Layer(block, module, _heads(module, unet)))
    return found


def _heads(module: nn.Module, unet: nn.Module) -> int:
    for part in itertools.chain(module.modules(), [unet]):
        for name in HEADS:
            if isinstance(heads := getattr(part, name, None), int) and heads > 0:
                return heads
    heads = getattr(sys.modules[type(unet).__module__], "NUM_HEADS", None)  # SenseNova's
    if isinstance(heads, int):
        return heads
    raise ValueError(f"The number of attention heads of {type(unet).__name__} is not known.")


def grid_of(family: Family, unet: nn.Module, latent_shape) -> tuple[int, int]:
    """Image tokens down and across for a latent as the model gets it, (B, C, [frames,] height, width)."""
    patch = family.patch if isinstance(family.patch, int) else getattr(unet, family.patch, 1)
    patch = patch if isinstance(patch, int) else patch[-1]
    return math.ceil(latent_shape[-2] / patch), math.ceil(latent_shape[-1] / patch)


def padded(unet: nn.Module, rows: int) -> int:
    """Image rows as the model pads them (Z-Image: to a multiple of 32)."""
    multiple = getattr(unet, "pad_tokens_multiple", None) or 1
    return math.ceil(rows / multiple) * multiple
