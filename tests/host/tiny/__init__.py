"""Tiny models and text encoders of every family, made by the host's own classes with random weights: one file a family.

A file's MODELS are rows of FAMILIES.md by name; its ENCODERS give (tokenizer, encoder, configs, vocabularies, options)
as encoders.build takes them. Both may be empty.
"""

import functools
import importlib
import pkgutil
import types
from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfyui_version
import pytest
import torch
from encoders import build, te
from inside import CARD

CPU = torch.device("cpu")
SMALL, TALL, SQUARE = (1, 16, 12, 10), (1, 128, 6, 5), (1, 4, 16, 16)  # shapes of latents

# --- What a family's file is made of ----------------------------------------------------------------------------------


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


# --- All families -----------------------------------------------------------------------------------------------------

FAMILIES: dict[str, Tiny] = {}
ENCODERS: dict[str, Callable[[], tuple]] = {}
for _file in pkgutil.iter_modules(__path__):
    _family = importlib.import_module(f"{__name__}.{_file.name}")
    FAMILIES |= getattr(_family, "MODELS", {})
    ENCODERS |= getattr(_family, "ENCODERS", {})


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
    return comfy.model_patcher.ModelPatcher(model, load_device=CARD, offload_device=CPU)


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


@functools.cache
def encoder(name: str, folder: str | None = None) -> comfy.sd.CLIP:
    """folder: of textual-inversion files."""
    try:
        parts = ENCODERS[name]()
    except AttributeError as error:
        if te.older and isinstance(error.obj, types.ModuleType):
            pytest.skip(f"ComfyUI {te.version}: {error}")
        raise
    return build(*parts, folder=folder)
