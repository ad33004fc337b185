"""One look before sampling where other nodes have patched the MODEL: can the latent be moved by what is read there?

Asked by behaviour, whoever they are. Attention Couple and its kind repeat the picture for each region, so that its maps
are other pictures'; tiling answers without a gradient, or shows the model a tile in the picture's place.
"""

import functools
import re
import sys

import comfy.model_management
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...steering.losses import Aim
from ...steering.maps import pooling
from .capture import capture, reading
from .gradient import differentiable, generators_kept
from .marks import encoded_from
from .steered_model import active, control_models, out_of_memory, unlike


def check_patched(guider, x: Tensor, sigma: Tensor, model_options: dict, aim: Aim) -> None:
    """Raises ValueError, with the names of what stands in the way, when steering cannot see through others' patches.

    guider: of the host, inside its run; x: (B, C, ...) as the sampler starts from it; sigma: its noise level. Without
    patches the model is not asked; random generators are left as they were.
    """
    entries = encoded_from(guider.conds["positive"], aim.words.prompt)
    entry = active(entries, float(sigma)) or entries[0]
    anytime = {k: v for k, v in entry.items() if k not in ("timestep_start", "timestep_end")}
    asked = guider.inner_model, anytime, x, sigma * x.new_ones(len(x)), model_options, aim
    found = patches(guider.model_patcher, entry, model_options)
    why = _obstacle(*asked) if found else ""
    if not why and (around := wrappers(model_options)):
        found = [wrapper for keys in around.values() for called in keys.values() for wrapper in called]
        why = _crowd(*asked, around)
    if why:
        names = " or ".join(dict.fromkeys(map(name_of, found)))
        raise ValueError(f"{names} stands in the way of steering: {why}. Bypass its node, or do not steer this run.")


def patches(patcher, cond: dict, model_options: dict) -> list:
    """What other packs have put between a sampler and the model's attention.

    The host's own are known to be right (tests/host/test_chaining.py); LoRAs change weights alone.
    """
    hooks = getattr(cond.get("hooks"), "hooks", ())
    found = [piece for name, piece in patcher.object_patches.items() if name.startswith("diffusion_model")]
    for options in (
        model_options["transformer_options"],
        *(getattr(h, "transformers_dict", None) or {} for h in hooks),
    ):
        found += [piece for pieces in options.get("patches", {}).values() for piece in pieces]
        found += [piece for places in options.get("patches_replace", {}).values() for piece in places.values()]
    others = [piece for piece in found if callable(piece) and not _known(piece)]
    wrapper = model_options.get("model_function_wrapper")  # the host's call the one that was there before
    return others if wrapper is None else [wrapper, *others]


def wrappers(model_options: dict) -> dict[str, dict[str, list]]:
    """Wrappers of other packs around the model, as the host keeps them. Not those of step caches, which count."""
    given = model_options["transformer_options"].get("wrappers", {})
    found: dict[str, dict[str, list]] = {}
    for kind in (WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL):
        for key, called in given.get(kind, {}).items():
            others = [wrapper for wrapper in called if not _known(wrapper) and not is_cache(wrapper)]
            if others:
                found.setdefault(kind, {})[key] = others
    return found


def _definition(piece):
    """The function or class that a patch was made by."""
    while isinstance(piece, functools.partial):
        piece = piece.func
    return piece if hasattr(piece, "__qualname__") else type(piece)


def _known(piece) -> bool:
    """Whether a patch is the host's or this pack's."""
    module = str(_definition(piece).__module__)  # a node's file is loaded under its path
    return module.startswith(("comfy.", f"{__package__}.")) or (
        "comfy_extras" in module and "custom_nodes" not in module
    )


def is_cache(piece) -> bool:
    """Whether a patch is a step cache, by its name: one look does not show it, for the first step is never cached."""
    definition = _definition(piece)
    return "cache" in f"{definition.__module__}.{definition.__qualname__}".lower()


def name_of(piece) -> str:
    """A patch as the user may know it: by its node's title or what made it, and by its pack's folder."""
    definition = _definition(piece)
    name, host = definition.__qualname__.partition(".")[0], sys.modules.get("nodes")  # scripts have none
    titles = getattr(host, "NODE_DISPLAY_NAME_MAPPINGS", {})
    for key, node in getattr(host, "NODE_CLASS_MAPPINGS", {}).items():
        if (node.__module__, node.__qualname__) == (definition.__module__, name):
            name = titles.get(key, key)
            break
    pack = re.search(r"custom_nodes[/\\]([^/\\.]+)", str(definition.__module__))
    return f'"{name}" of {pack[1] if pack else definition.__module__}'


def _obstacle(inner, cond: dict, x: Tensor, sigmas: Tensor, model_options: dict, aim: Aim) -> str:
    """What is wrong with the maps that are read; "" when they are right, or memory does not reach for asking."""
    pool = pooling(aim.words.rows).to(x.device)
    with generators_kept(x.device), differentiable(inner.diffusion_model, *control_models(cond)):
        latent = x.clone().requires_grad_()
        try:
            maps = capture(inner, cond, latent, sigmas.clone(), model_options, pool, aim.layout, save_memory=True)
            if why := unlike(maps, latent):
                return why
            shares = maps / maps.detach().mean((-1, -2), keepdim=True).clamp_min(1e-12)
            gradients = [torch.autograd.grad(corner.sum(), latent, retain_graph=True)[0] for corner in corners(shares)]
        except comfy.model_management.InterruptProcessingException:
            raise
        except Exception as error:
            return "" if out_of_memory(error) else f"a trial look ended in: {error}"
    hanging = [gradient for gradient in gradients if gradient.any()]
    if len(hanging) < 2:  # the words act in a part of the picture alone, as under a mask
        return ""
    first, last = (corners(_within_area(gradient.abs(), cond.get("area"))) for gradient in hanging)
    if first[0].mean() * last[1].mean() <= first[1].mean() * last[0].mean():
        return "what is read at a corner of the picture does not hang on that corner of the latent"
    return ""


def _crowd(inner, cond: dict, x: Tensor, sigmas: Tensor, model_options: dict, aim: Aim, around: dict) -> str:
    """What is wrong with the maps of a pass inside these wrappers, which steering leaves out; "" for nothing."""
    with generators_kept(x.device):
        try:
            pool = pooling(aim.words.rows).to(x.device)
            with reading(inner.diffusion_model, pool, aim.layout, model_options) as read:
                read.options["transformer_options"]["wrappers"] = around
                comfy.samplers.calc_cond_batch(inner, [[cond]], x, sigmas, read.options)
        except comfy.model_management.InterruptProcessingException:
            raise
        except Exception:  # as out of memory: steering itself does without them
            return ""
    return unlike(read.maps[0][0], x)


def _within_area(latent: Tensor, area) -> Tensor:
    """The part (B, C, ..., h, w) that the model sees. area: of a conditioning entry, its sizes and then its places."""
    if area:
        sizes, places = area[: len(area) // 2][-2:], area[len(area) // 2 :][-2:]
        for axis, place, size in zip((-2, -1), places, sizes, strict=True):
            latent = latent.narrow(axis, place, min(size, latent.shape[axis] - place))
    return latent


def corners(picture: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last corner of (..., h, w), a quarter of each side."""
    height, width = (max(1, side // 4) for side in picture.shape[-2:])
    return picture[..., :height, :width], picture[..., -height:, -width:]
