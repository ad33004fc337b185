"""Pictures turned into noise as published, so that maps can be read on the way back (Learn-to-Steer, section 3.2).

Fixed-point DDIM for models that predict noise or v. Of flow models RF inversion, whose path with the published settings
(gamma 1, eta 1 in all steps) is a straight line to the noise, whatever the model says: it is not asked on the way.
"""

import math
from collections.abc import Callable, Iterator

import comfy.model_sampling
import comfy.samplers
from torch import Tensor

PLAIN, DDIM, RF = "plain", "DDIM inversion", "RF inversion"
NOISING = (PLAIN, DDIM, RF)
LEAST_PSNR = {DDIM: 19.5, RF: 20.0}  # dB, of what comes back to the picture
TRAINED = 1000  # steps that a model's table of noise levels has
ROUNDS = 5  # of the fixed point


def looked_at(steps: int) -> tuple[int, ...]:
    """Steps of the way back at which the published code reads maps: of 50 and of 4; of other numbers their like."""
    if steps == 4:
        return 1, 3
    return tuple(sorted({step * steps // 50 for step in (5, 10, 15, 20, 25, 49)}))


def check_noising(noising: str, model) -> None:
    """Raises ValueError when the MODEL is not of the kind that this inversion is for."""
    sampling = model.get_model_object("model_sampling")
    flow = isinstance(sampling, comfy.model_sampling.CONST)
    table = isinstance(sampling, comfy.model_sampling.ModelSamplingDiscrete) and len(sampling.sigmas) == TRAINED
    if noising == PLAIN or (noising == RF and flow) or (noising == DDIM and table and not flow):
        return
    instead = f'"{RF}" or "{PLAIN}"' if flow else f'"{DDIM}" or "{PLAIN}"' if table else f'"{PLAIN}"'
    kind = "a flow model" if flow else "no flow model" if table else "neither"
    of = "models that predict noise or v, in 1000 steps" if noising == DDIM else "flow models"
    raise ValueError(f'noising is "{noising}", which is for {of}; this is {kind}. Set it to {instead}.')


def psnr(images: Tensor, picture: Tensor) -> float:
    """How like two pictures (H, W, 3) of 0..1 are, in dB. What the VAE cut off a picture's edges is left out."""
    height, width = images.shape[:2]
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    error = (images.float().cpu() - picture[top : top + height, left : left + width]).square().mean().item()
    return -10 * math.log10(max(error, 1e-10))


# --- Fixed-point DDIM -------------------------------------------------------------------------------------------------


def ddim_times(steps: int) -> list[int]:
    """Times of a table of 1000, ascending, as the published scheduler spaces them."""
    return [step * (TRAINED // steps) + 1 for step in range(steps)]


Predict = Callable[[Tensor, float], Tensor]  # latent (B, C, h, w) in the sampler's scale, and sigma -> clean latent


def ddim_there(
    predict: Predict, latent: Tensor, sigmas: Tensor, steps: int, rounds: int = ROUNDS
) -> Iterator[tuple[float, Tensor]]:
    """From a picture's latent to noise: sigma and latent after each step.

    Every step is the one whose way back is exact: the model is asked where the step ends, first on the latent that the
    step begins with, then again and again on what came of that. sigmas: the model's table. Latents are in the sampler's
    scale, picture + sigma * noise; the published code has them at variance 1.
    """
    start = float(sigmas[0])  # as noisy as the table begins
    x = latent * math.hypot(1, start)
    for time in ddim_times(steps):
        sigma = float(sigmas[time])
        guess = x * (math.hypot(1, sigma) / math.hypot(1, start))  # the same latent at variance 1
        for _ in range(rounds):
            guess = x + (sigma - start) * (guess - predict(guess, sigma)) / sigma
        x, start = guess, sigma
        yield sigma, x


def ddim_back(predict: Predict, x: Tensor, sigmas: Tensor, steps: int) -> Iterator[tuple[float, Tensor]]:
    """The way back from noise: sigma and latent before each step, and at last the picture's latent with sigma 0."""
    times = ddim_times(steps)
    for time, end in zip(reversed(times), [*reversed(times[:-1]), 0], strict=True):
        sigma, after = float(sigmas[time]), float(sigmas[end])
        yield sigma, x
        x = x + (after - sigma) * (x - predict(x, sigma)) / sigma
    yield 0.0, x / math.hypot(1, float(sigmas[0]))


# --- RF inversion -----------------------------------------------------------------------------------------------------


def rf_picture_left(sigmas: list[float]) -> float:
    """Share of the picture that is still in what RF inversion ends at. sigmas: descending, the last is 0.

    Its times, i / (steps + 1), do not match the sigmas: 0.11 stays with 4 steps of FLUX.1 schnell, 0.0005 with 50.
    """
    count = len(sigmas)
    return math.prod(
        1 - (before - after) / (1 - i / count)
        for i, (before, after) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True))
    )


def rf_sigmas(sampling, steps: int) -> list[float]:
    return comfy.samplers.calculate_sigmas(sampling, "simple", steps).tolist()


def rf_back(sampling, latent: Tensor, noise: Tensor, steps: int) -> Iterator[tuple[float, Tensor]]:
    """The way back: what the model is told, sigma, and the latent, which is a little less noisy, before each step."""
    sigmas = rf_sigmas(sampling, steps)
    share = 1 - rf_picture_left(sigmas)
    for sigma in sigmas[:-1]:
        yield sigma, sampling.noise_scaling(latent.new_tensor(share * sigma), noise, latent)
