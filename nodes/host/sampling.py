"""Steering inside the host's samplers, and a look at a finished picture. Patches live on clones or inside one pass."""

import copy
import functools
import logging
import math

import comfy.model_management
import comfy.model_sampling
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...steering.attention import MapLayout, noise_level, pooling
from ...steering.guidance import Look, Report, Steering, refine
from ...steering.loss import ClassifierLoss
from .capture import capture
from .families import family_of
from .gradient import differentiable
from .screen import NOBODY, Live
from .words import encoded_from

log = logging.getLogger(__name__)
KEY = "learn_to_steer"


def signal_and_noise(model, sigma: float) -> tuple[float, float]:
    """Standard deviations of the picture's and the noise's part of the latent that a sampler holds at this sigma."""
    if isinstance(model.model_sampling, comfy.model_sampling.CONST):
        return 1.0 - sigma, sigma
    return getattr(model.model_sampling, "sigma_data", 1.0), sigma


def active(conds: list[dict], sigma: float) -> dict | None:
    """The first of the conditioning entries that acts at this noise level."""
    for cond in conds:
        if cond.get("timestep_start", math.inf) >= sigma >= cond.get("timestep_end", -math.inf):
            return cond
    return None


class _Look(comfy.samplers.Sampler):
    """A sampler that samples nothing: it looks once at the noised latent and returns the latent as it was."""

    def __init__(self, words: Tensor, layout: MapLayout):
        self.words, self.layout, self.maps = words, layout, None

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
            self.words,
            self.layout,
        )
        return latent_image


def look(
    model, positive, latent: Tensor, noise: Tensor, sigmas: Tensor, words: Tensor, layout: MapLayout
) -> Tensor:
    """Maps of finished latents (B, C, h, w) noised to sigmas (B,): (B, words, channels, R, R), without gradient."""
    guider, looking = comfy.samplers.CFGGuider(model), _Look(words, layout)
    guider.set_conds(positive, positive)
    guider.sample(noise, latent, looking, sigmas, disable_pbar=True)
    return looking.maps


def sigma_at(model, level: float) -> float:
    """The sigma at which this model's latents are as noisy as `level` (0..1) says; at most its largest."""
    sampling = model.get_model_object("model_sampling")
    angle = min(level, 0.999) * math.pi / 2
    if isinstance(sampling, comfy.model_sampling.CONST):
        return math.sin(angle) / (math.sin(angle) + math.cos(angle))
    return min(math.tan(angle) * getattr(sampling, "sigma_data", 1.0), float(sampling.sigma_max))


# --- Steering: gradient steps inside the host's samplers -------------------------------------------------------------

# How often a sampler asks the model: (in the first step, in every later one). Only the first question of a step is
# about the latent that the sampler goes on from; moving the others would do harm.
EVALUATIONS = {
    "sample_heun": (2, 2), "sample_heunpp2": (3, 3), "sample_exp_heun_2_x0": (2, 2), "sample_exp_heun_2_x0_sde": (2, 2),
    "sample_dpm_2": (2, 2), "sample_dpm_2_ancestral": (2, 2), "sample_dpmpp_2s_ancestral": (2, 2),
    "sample_dpmpp_2s_ancestral_cfg_pp": (2, 2), "sample_dpmpp_sde": (2, 2), "sample_dpmpp_sde_gpu": (2, 2),
    "sample_seeds_2": (2, 2), "sample_seeds_3": (3, 3), "sample_sa_solver_pece": (1, 2),
}  # fmt: skip
REFUSED = ("dpm_fast", "dpm_adaptive")
UNI_PC = ("sample_unipc", "sample_unipc_bh2")
SA_SOLVER = ("sample_sa_solver", "sample_sa_solver_pece")


def check_sampler(name: str) -> None:
    """Raises ValueError for a sampler that cannot be steered. name: as in KSampler's list, or its function's."""
    name = name.removeprefix("sample_").removesuffix("_function")
    if name in REFUSED:
        raise ValueError(
            f'The sampler "{name}" chooses its own steps, so none of them can be steered. '
            "Choose another, for example euler or dpmpp_2m."
        )


def _control_models(cond: dict):
    """The networks of a conditioning entry's ControlNets and T2I adapters, which are chained."""
    control = cond.get("control")
    while control is not None:
        for name in ("control_model", "t2i_model"):
            if getattr(control, name, None) is not None:
                yield getattr(control, name)
        control = control.previous_controlnet


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


class _SteeredModel:
    """Stands between a sampler and the model: moves the latent before the model is asked about it."""

    def __init__(
        self,
        model,
        name: str,
        sigmas: Tensor,
        loss: ClassifierLoss,
        steering: Steering,
        report: Report,
        live: Live,
    ):
        self.model, self.name, self.sigmas = model, name, sigmas
        self.loss, self.steering, self.report, self.live = loss, steering, report, live
        self.save_memory = steering.save_memory
        self.calls = 0
        self.step = -1
        # Looks to leave out: twice as many each time all relations were found satisfied.
        self.pause = self.skip = 0
        self.turns = 0  # gradient steps taken
        self.pending = None  # uni_pc's move, to be made by its callback

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x: Tensor, sigma: Tensor, **kwargs):
        if self._begins_step() and self.step in self.report.steered and not self.report.failed:
            if self.skip:
                self.skip -= 1
            else:
                x = self._move(x, sigma, kwargs)
        return self.model(x, sigma, **kwargs)

    def callback(self, callback, state: dict) -> None:
        if self.pending is not None:
            state["x"].add_(self.pending)
            self.pending = None
        if callback is not None:
            callback(state)

    def _begins_step(self) -> bool:
        """Is this the step's first question? Counts steps on the way."""
        first, later = EVALUATIONS.get(self.name, (1, 1))
        call, self.calls = self.calls, self.calls + 1
        begins = call == 0 or (call >= first and (call - first) % later == 0)
        self.step += begins
        return begins

    def _move(self, x: Tensor, sigma: Tensor, kwargs: dict) -> Tensor:
        guider, options = self.model.inner_model, kwargs["model_options"]
        inner = guider.inner_model
        conds = encoded_from(guider.conds["positive"], self.loss.prompt)
        cond = active(conds, float(sigma[0]))
        if cond is None:
            return x  # limited to other noise levels
        signal, noise = signal_and_noise(inner, float(sigma[0]))
        level = noise_level(signal, noise)
        self.loss.classifier.to(x.device)
        modules = [inner.diffusion_model, self.loss.classifier, *_control_models(cond)]
        out_of_memory, latest = False, None
        with differentiable(*modules):
            seen, ordinary_sigma = self._masked(x, sigma, kwargs), sigma.clone()
            words = pooling(self.loss.words).to(x.device)

            def losses(latent: Tensor) -> Tensor:
                nonlocal latest
                comfy.model_management.throw_exception_if_processing_interrupted()
                maps = capture(
                    inner,
                    cond,
                    seen(latent),
                    ordinary_sigma,
                    options,
                    words,
                    self.loss.layout,
                    self.save_memory,
                )
                latest = maps.detach()
                return self.loss(maps, level)

            start = x.clone()
            try:
                moved, before, after, spent = refine(
                    start, losses, math.hypot(signal, noise), self.steering, self.turns
                )
            except FloatingPointError as error:
                return self._give_up(x, str(error))
            except torch.OutOfMemoryError:
                out_of_memory = True  # what the failed pass holds is freed after this block
        if out_of_memory:
            comfy.model_management.soft_empty_cache()
            if self.save_memory:
                return self._give_up(
                    x,
                    "There is not enough memory. Choose fewer layers in Attention Capture, or a smaller picture",
                )
            log.warning("Learn-to-Steer: memory ran out; going on with save_memory.")
            self.save_memory = True
            return self._move(x, sigma, kwargs)
        maps = latest.float().mean(2).cpu()
        self.report.looks.append(Look(self.step, level, before, after, spent, maps))
        self.live.looked(self.report)
        if not spent.any():
            self.pause = 2 * self.pause + 1
            self.skip = self.pause
            return x
        self.pause = 0
        self.turns += int(spent.max())
        if self.name in UNI_PC:
            # uni_pc hands out a rescaled copy of its state: the model sees the moved copy, the state follows later.
            self.pending = (moved - start) / math.hypot(1.0, float(sigma[0]))
            return moved
        return x.copy_(moved)

    def _give_up(self, x: Tensor, why: str) -> Tensor:
        self.report.failed = True
        note = (
            f"Steering stopped at step {self.step + 1}: {why}. The picture was finished without it."
        )
        self.report.notes.append(note)
        log.warning("Learn-to-Steer: %s", note)
        return x

    def _masked(self, x: Tensor, sigma: Tensor, kwargs: dict):
        """What the model will see of a latent: with an inpainting mask, the original picture shows outside it."""
        mask, options = kwargs.get("denoise_mask"), kwargs["model_options"]
        if mask is None:
            return lambda latent: latent
        if "denoise_mask_function" in options:
            mask = options["denoise_mask_function"](
                sigma,
                mask,
                extra_options={"model": self.model.inner_model, "sigmas": self.model.sigmas},
            )
        around = self.model.inner_model.inner_model.scale_latent_inpaint(
            x=x, sigma=sigma, noise=self.model.noise, latent_image=self.model.latent_image
        )
        around, mask = (around * (1.0 - mask)).clone(), mask.clone()
        return lambda latent: latent * mask + around


def steer(
    model,
    loss: ClassifierLoss,
    steering: Steering,
    report: Report | None = None,
    live: Live = NOBODY,
):
    """A clone of the MODEL whose samplers are steered.

    With nothing to do (strength 0, an empty range, no relation) it is a plain clone.

    report: filled during every run, with the latest one; live: who watches it.
    """
    report = Report() if report is None else report
    steered_model = model.clone()
    if not steering.active or not loss.relations:
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
        encoded_from(executor.class_obj.conds["positive"], loss.prompt)
        report.begin(loss, steering, len(sigmas) - 1)
        steered = copy.copy(sampler)  # the host keeps sampler objects between runs
        steered.sampler_function = functools.wraps(sampler.sampler_function)(
            lambda wrapped, x, sigmas, *a, callback=None, **options: _sample(
                sampler.sampler_function,
                _SteeredModel(wrapped, name, sigmas, loss, steering, report, live),
                x,
                sigmas,
                *a,
                callback=callback,
                **options,
            )
        )
        watched = live.watching(report, callback, executor.class_obj.model_patcher)
        return executor(
            noise, latent_image, steered, sigmas, denoise_mask, watched, *args, **kwargs
        )

    def prepare_sampling(executor, model, noise_shape, *args, **kwargs):
        # The host makes room for what it reckons a plain step needs, which grows with the batch: tell of a larger one.
        batch = math.ceil(noise_shape[0] * room(loss.layout.last, steering.save_memory))
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


def _sample(function, model: _SteeredModel, x, sigmas, *args, callback=None, **options):
    if model.name in SA_SOLVER:
        options["corrector_order"] = 0  # its corrector goes back to the latent before the move
    if model.name in UNI_PC:
        callback = functools.partial(model.callback, callback)
    return function(model, x, sigmas, *args, callback=callback, **options)
