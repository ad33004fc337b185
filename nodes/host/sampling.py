"""Steering inside the host's samplers. Patches live on clones of the MODEL."""

import copy
import functools
import math

from comfy.patcher_extension import WrappersMP

from ...steering.guidance import Steering
from ...steering.losses import Aim
from ...steering.report import Report
from .families import family_of
from .marks import encoded_from
from .samplers import SA_SOLVER, UNI_PC, check_sampler
from .screen import NOBODY, Live
from .steered_model import SteeredModel

KEY = "learn_to_steer"


def check_model(model) -> None:
    """Raises ValueError for a MODEL that has no gradient, naming what to bypass."""
    family_of(model.get_model_object("diffusion_model"))
    wrapper = model.model_options.get("model_function_wrapper")
    name = f"{getattr(wrapper, '__module__', '')}.{getattr(wrapper, '__qualname__', type(wrapper).__name__)}"
    if "cache" in name.lower():
        raise ValueError(
            f"A step cache ({name}) answers in the model's place, so there is no gradient. Bypass its node; the host's "
            "EasyCache and LazyCache may stay."
        )


def steer(
    model,
    aim: Aim,
    steering: Steering,
    report: Report | None = None,
    live: Live = NOBODY,
):
    """A clone of the MODEL whose samplers are steered.

    With nothing to do (strength 0, an empty range, no wish) it is a plain clone.

    report: filled during every run, with the latest one; live: who watches it.
    """
    report = Report() if report is None else report
    steered_model = model.clone()
    if not steering.active or not aim.words.wishes:
        return steered_model
    check_model(model)

    def outer_sample(
        executor, noise, latent_image, sampler, sigmas, denoise_mask=None, callback=None, *args, **kwargs
    ):  # fmt: skip
        name = getattr(getattr(sampler, "sampler_function", None), "__name__", None)
        if name is None:
            raise ValueError(
                f"The sampler {type(sampler).__name__} is not made of a k-diffusion function, so it cannot be "
                f"steered. Choose a sampler of KSampler's list."
            )
        check_sampler(name)
        check_model(executor.class_obj.model_patcher)  # nodes after this one may have changed it
        if "positive" not in executor.class_obj.conds:
            raise ValueError(
                f"The guider {type(executor.class_obj).__name__} has no positive conditioning to steer by."
            )
        encoded_from(executor.class_obj.conds["positive"], aim.words.prompt)
        report.begin(aim.words, steering, len(sigmas) - 1)
        steered = copy.copy(sampler)  # the host keeps sampler objects between runs
        steered.sampler_function = functools.wraps(sampler.sampler_function)(
            lambda wrapped, x, sigmas, *a, callback=None, **options: _sample(
                sampler.sampler_function,
                SteeredModel(wrapped, name, aim, steering, report, live),
                x,
                sigmas,
                *a,
                callback=callback,
                **options,
            )
        )
        watched = live.watching(report, callback, executor.class_obj.model_patcher)
        return executor(noise, latent_image, steered, sigmas, denoise_mask, watched, *args, **kwargs)

    def prepare_sampling(executor, model, noise_shape, *args, **kwargs):
        # The host makes room for what it reckons a plain step needs, which grows with the batch: tell of a larger one.
        batch = math.ceil(noise_shape[0] * room(aim.layout.last, steering.save_memory))
        return executor(model, [batch, *noise_shape[1:]], *args, **kwargs)

    steered_model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample)
    steered_model.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, prepare_sampling)
    return steered_model


def room(last: int, save_memory: bool) -> float:
    """Memory for a guided pass up to layer `last`, in units of what the host reckons for a plain step.

    `make bench-cost`: a layer keeps about a quarter of what the host reckons for a step of two pictures, its own and
    the negative prompt's, on top of a pass's own half.
    """
    return 1.5 if save_memory else max(1.0, 0.5 + last / 4)


def _sample(function, model: SteeredModel, x, sigmas, *args, callback=None, **options):
    if model.sampler in SA_SOLVER:
        options["corrector_order"] = 0  # its corrector goes back to the latent before the move
    if model.sampler in UNI_PC:
        callback = functools.partial(model.callback, callback)
    return function(model, x, sigmas, *args, callback=callback, **options)
