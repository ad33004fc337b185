"""What the model attends to in a finished picture: maps of a latent that is made noisy again for one pass."""

import math
from collections.abc import Callable

import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ...steering.maps import MapLayout, noise_level, pooling
from ...steering.words import Words
from .capture import capture
from .marks import encoded_from
from .noise import sigma_at, signal_and_noise
from .steered_model import active


class NotThen(ValueError):
    """The conditioning acts at other noise levels only; says at which, and what to set."""


def _advice(inner, cond: dict, sigma: float) -> str:
    """Nearest to this sigma, in hundredths: a level at which an entry acts that is limited to others."""
    level, least, most = (
        noise_level(*signal_and_noise(inner, max(min(s, float(inner.model_sampling.sigma_max)), 0.0)))
        for s in (sigma, cond.get("timestep_end", 0.0), cond.get("timestep_start", math.inf))
    )
    less, more = f"{math.floor(most * 100) / 100} or less", f"{math.ceil(least * 100) / 100} or more"
    advice = less if level > most else more
    return f"does not act at noise {level:.2g}, only from {most:.2f} down to {least:.2f}. Set noise to {advice}."


class _Instead(comfy.samplers.Sampler):
    """A sampler that samples nothing: it calls a function with what it was given."""

    def __init__(self, function: Callable):
        self.function = function

    def sample(
        self,
        model_wrap,
        sigmas,
        extra_args,
        callback,
        noise,
        latent_image=None,
        denoise_mask=None,
        disable_pbar=False,
    ):
        entries = model_wrap.conds["positive"]
        return self.function(model_wrap.inner_model, entries, noise, latent_image, sigmas, extra_args["model_options"])


def where_sampled(model, positive, latent: Tensor, noise: Tensor, sigmas: Tensor, function: Callable) -> Tensor:
    """Calls function(the host's BaseModel, conditioning entries, noise, latent, sigmas, model_options) where the host
    would sample: the model is loaded, the entries are processed, and all lies on its device.

    positive: a CONDITIONING; latent, noise: (B, C, h, w). The function's result, a latent, is returned as a sampler's.
    """
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, positive[:1])
    return guider.sample(noise, latent, _Instead(function), sigmas, disable_pbar=True)


def look(model, positive, latent: Tensor, words: Words, layout: MapLayout, level: float) -> Tensor:
    """Maps of the words in finished latents, as finished_maps gives them, made noisy to a level of 0..1 by one noise.

    Raises ValueError when the CONDITIONING is not of the words' prompt, or does not act at this level.
    """
    ours = encoded_from(positive, words.prompt)
    sigmas, noise = torch.full((len(latent),), sigma_at(model, level)), comfy.sample.prepare_noise(latent, 0)
    try:
        return finished_maps(model, ours, latent, noise, sigmas, pooling(words.rows), layout)
    except NotThen as error:
        raise ValueError(f'The prompt "{words.prompt}" {error}') from None


def finished_maps(
    model, positive, latent: Tensor, noise: Tensor, sigmas: Tensor, pool: Tensor, layout: MapLayout
) -> Tensor:
    """Maps of finished latents (B, C, h, w) noised to sigmas (B,): (B, words, channels, R, R), without gradient.

    positive: a CONDITIONING; its first entry that acts at this noise is read. Raises NotThen when none does.
    """
    maps = None

    def read(inner, entries, noise, latent, sigmas, options):
        nonlocal maps
        x = inner.model_sampling.noise_scaling(sigmas, noise, latent)
        cond = active(entries, float(sigmas[0]))
        if cond is None:
            raise NotThen(_advice(inner, entries[0], float(sigmas[0])))
        maps = capture(inner, cond, x, sigmas, options, pool, layout)
        return latent

    where_sampled(model, positive, latent, noise, sigmas, read)
    assert maps is not None  # the guider samples once
    return maps
