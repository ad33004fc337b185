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


def raw_scale(model, sigma: float, predicted: bool) -> float:
    """What a gradient in the sampler's latent is multiplied by, so that a step is as long as where it was published.

    The published code moves a latent of variance 1, z = x / sqrt(1 + sigma^2), so that dL/dz is sqrt(1 + sigma^2) times
    dL/dx; of flow models, x itself. predicted: the step is one of the predicted noise, and is taken from the predicted
    picture, x - sigma * noise.
    """
    signal, noise = signal_and_noise(model, sigma)
    larger = 1.0 if isinstance(model.model_sampling, comfy.model_sampling.CONST) else math.hypot(signal, noise)
    return sigma * larger if predicted else larger**2
