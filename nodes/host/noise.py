"""How noisy a latent is: sigmas of the host's models, and the level that means the same for all of them."""

import math

import comfy.model_sampling


def signal_and_noise(model, sigma: float) -> tuple[float, float]:
    """Standard deviations of the picture's and the noise's part of the latent that a sampler holds at this sigma."""
    if isinstance(model.model_sampling, comfy.model_sampling.CONST):
        return 1.0 - sigma, sigma
    return getattr(model.model_sampling, "sigma_data", 1.0), sigma


def sigma_at(model, level: float) -> float:
    """The sigma at which this model's latents are as noisy as `level` (0..1) says; at most its largest."""
    sampling = model.get_model_object("model_sampling")
    angle = min(level, 0.999) * math.pi / 2
    if isinstance(sampling, comfy.model_sampling.CONST):
        return math.sin(angle) / (math.sin(angle) + math.cos(angle))
    return min(math.tan(angle) * getattr(sampling, "sigma_data", 1.0), float(sampling.sigma_max))
