"""Steering inside the host's samplers. Patches live on clones of the MODEL."""

import copy
import functools
import inspect
import math

from comfy.patcher_extension import WrappersMP

from ...steering.guidance import Steering
from ...steering.losses import Aim
from ...steering.report import Report
from ...steering.words import Words
from .check import check_fits
from .families import family_of
from .marks import encoded_from, gone
from .rehearsal import rehearse
from .running import origin
from .samplers import SA_SOLVER, UNI_PC, Corrector, check_sampler, is_known, part_of
from .screen import NOBODY, Live
from .steered_model import SteeredModel
from .trial import check_patched, is_cache, name_of

KEY = "learn_to_steer"


def check_model(model) -> None:
    """Raises ValueError for a MODEL that has no gradient, naming what to bypass."""
    family_of(model.get_model_object("diffusion_model"))
    wrapper = model.model_options.get("model_function_wrapper")
    if is_cache(wrapper):
        raise ValueError(
            f"A step cache ({name_of(wrapper)}) answers in the model's place, so there is no gradient. Bypass its "
            "node; the host's EasyCache and LazyCache may stay."
        )


def check_guider(guider, prompt: str) -> None:
    """Raises ValueError for a guider of the host whose positive conditioning was not encoded from the prompt."""
    if "positive" not in guider.conds:
        raise ValueError(f"The guider {type(guider).__name__} has no positive conditioning to steer by.")
    try:
        encoded_from(guider.conds["positive"], prompt)
    except ValueError as error:
        if "middle" not in guider.conds:
            raise
        raise ValueError(
            f'The conditioning at cond1 of the {type(guider).__name__} was not encoded from "{prompt}", whose '
            "relations are meant, and steering reads cond1 alone. Connect that Relation Parse's positive to cond1."
        ) from error


def function_name(sampler) -> str:
    """The name of a SAMPLER's k-diffusion function. Raises ValueError for one that is not made of any."""
    name = getattr(getattr(sampler, "sampler_function", None), "__name__", None)
    if name is None:
        raise ValueError(
            f"The sampler {type(sampler).__name__} is not made of a k-diffusion function, so it cannot be "
            f"steered. Choose a sampler of KSampler's list."
        )
    return name


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
    steered = model.clone()
    if not steering.active or not aim.words.wishes:
        report.notes.append("Not steered: " + _why_not(steering))
        return steered
    check_model(model)

    def outer_sample(executor, noise, latent_image, sampler, sigmas, denoise_mask=None, callback=None, *args, **kwargs):
        guider, name = executor.class_obj, function_name(sampler)
        check_sampler(name)
        check_model(guider.model_patcher)  # nodes after this one may have changed it
        check_fits(guider.model_patcher, aim.layout)
        check_guider(guider, aim.words.prompt)
        first, steps = part_of(sigmas, continues=not noise.any())
        run = range(first, first + len(sigmas) - 1)
        report.begin(aim.words, steering, run, steps, origin())
        for note in doubts(encoded_from(guider.conds["positive"], aim.words.prompt), aim.words):
            report.notes.append(note)
            report.failed = report.failed or note.startswith("Not steered")

        def stand_in(model, x, sigma, model_options):
            if not report.failed and set(run).intersection(report.steered):
                check_patched(model.inner_model, x, sigma, model_options, aim)
            return SteeredModel(model, name, aim, steering, report, live)

        moving = _asking(sampler, stand_in)
        watched = live.watching(report, callback, guider.model_patcher)
        samples = executor(noise, latent_image, moving, sigmas, denoise_mask, watched, *args, **kwargs)
        report.end()
        return samples

    def prepare_sampling(executor, model, noise_shape, *args, **kwargs):
        # The host makes room for what it reckons a plain step needs, which grows with the batch: tell of a larger one.
        batch = math.ceil(noise_shape[0] * room(aim.layout.last, steering.save_memory))
        return executor(model, [batch, *noise_shape[1:]], *args, **kwargs)

    steered.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample)
    steered.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, prepare_sampling)
    return steered


def _why_not(steering: Steering) -> str:
    if steering.active:
        return "no relation was found in the prompt that the loss knows."
    if steering.strength == 0:
        return "strength is 0."
    return "refinements is 0." if steering.refinements == 0 else "start and end leave no step."


def doubts(entries: list[dict], words: Words) -> list[str]:
    """What a report should say about the conditioning's entries of the prompt, as samplers hold them."""
    if not any(entry["cross_attn"].any() for entry in entries if "cross_attn" in entry):
        return ["Not steered: the positive conditioning is zeroed out, so that the prompt's words are not in it."]
    if all(missing := [gone(entry, words) for entry in entries]):
        return [
            f'Not steered: in the positive conditioning, the rows of "{missing[0]}" are mostly another text\'s. Give '
            "this prompt more weight where the two are mixed (Conditioning Average)."
        ]
    if len({(entry.get("start_percent", 0.0), entry.get("end_percent", 1.0)) for entry in entries}) < len(entries):
        return [
            f"The prompt stands {len(entries)} times in the positive conditioning, as for several areas: only the "
            "first of those that act at a step is steered."
        ]
    return []


def room(last: int, save_memory: bool) -> float:
    """Memory for a guided pass up to layer `last`, in units of what the host reckons for a plain step.

    `make bench-cost`: a layer keeps about a quarter of what the host reckons for a step of two pictures, its own and
    the negative prompt's, on top of a pass's own half.
    """
    return 1.5 if save_memory else max(1.0, 0.5 + last / 4)


def _asking(sampler, stand_in):
    """The SAMPLER, whose function asks a SteeredModel in the model's place.

    stand_in: makes it of the model, the latent, its sigma, and the model's options.
    """
    function = sampler.sampler_function

    @functools.wraps(function)
    def sample(model, x, sigmas, extra_args=None, callback=None, **options):
        options["extra_args"] = extra_args
        model = stand_in(model, x, sigmas[0], extra_args["model_options"])
        if not is_known(function):
            model.plan = rehearse(function, model.model, x, sigmas, options)
        elif model.sampler in SA_SOLVER:
            order = inspect.signature(function).parameters["corrector_order"].default
            options["corrector_order"] = model.corrector = Corrector(options.get("corrector_order", order))
        elif model.sampler in UNI_PC:
            callback = functools.partial(model.callback, callback)
        return function(model, x, sigmas, callback=callback, **options)

    asking = copy.copy(sampler)  # the host keeps sampler objects between runs
    asking.sampler_function = sample
    return asking
