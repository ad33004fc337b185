"""What the model attends to in a finished picture: maps of a latent that is made noisy again for one pass."""

import comfy.samplers
from torch import Tensor

from ...steering.maps import MapLayout
from .capture import capture


class _OnePass(comfy.samplers.Sampler):
    """A sampler that samples nothing: it reads the maps of the noised latent once and returns the latent as it was."""

    def __init__(self, pool: Tensor, layout: MapLayout):
        self.pool, self.layout = pool, layout
        self.maps: Tensor | None = None

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
        inner = model_wrap.inner_model
        x = inner.model_sampling.noise_scaling(sigmas, noise, latent_image)
        self.maps = capture(
            inner,
            model_wrap.conds["positive"][0],
            x,
            sigmas,
            extra_args["model_options"],
            self.pool,
            self.layout,
        )
        return latent_image


def finished_maps(
    model, positive, latent: Tensor, noise: Tensor, sigmas: Tensor, pool: Tensor, layout: MapLayout
) -> Tensor:
    """Maps of finished latents (B, C, h, w) noised to sigmas (B,): (B, words, channels, R, R), without gradient."""
    guider, one_pass = comfy.samplers.CFGGuider(model), _OnePass(pool, layout)
    guider.set_conds(positive, positive)
    guider.sample(noise, latent, one_pass, sigmas, disable_pbar=True)
    assert one_pass.maps is not None  # the guider samples once
    return one_pass.maps
