"""What stands between a sampler and the model: it moves the latent before the model is asked about it."""

import logging
import math

import comfy.model_management
import torch
from torch import Tensor

from ...steering.guidance import NOISE, PUBLISHED, Steering, refine
from ...steering.losses import Aim, Moment, Score
from ...steering.maps import noise_level, pooling, shapes
from ...steering.report import Report, SteeredStep
from .capture import capture
from .gradient import WrittenOver, differentiable, generators_kept
from .marks import encoded_from
from .noise import raw_scale, signal_and_noise
from .region import cropped, maps_within, region_of, within
from .samplers import SA_SOLVER, UNI_PC, Corrector, same_sigma, step_at, step_of
from .screen import Live

log = logging.getLogger(__name__)


def out_of_memory(error: Exception) -> bool:
    """Is it any of the forms in which memory runs out: torch's own, an accelerator's that the host knows, or MPS's?"""
    known = getattr(comfy.model_management, "is_oom", None)  # of newer hosts; it clears the card's error too
    if known and known(error):
        return True
    code = getattr(error, "error_code", None)  # of an accelerator's error; 2 is cudaErrorMemoryAllocation
    said = isinstance(error, RuntimeError) and (code == 2 or "out of memory" in str(error).lower())
    return isinstance(error, torch.OutOfMemoryError) or said


def active(conds: list[dict], sigma: float) -> dict | None:
    """The first of the conditioning entries that acts at this noise level."""
    for cond in conds:
        if cond.get("timestep_start", math.inf) >= sigma >= cond.get("timestep_end", -math.inf):
            return cond
    return None


def control_models(cond: dict):
    """The networks of a conditioning entry's ControlNets and T2I adapters, which are chained."""
    control = cond.get("control")
    while control is not None:
        for name in ("control_model", "t2i_model"):
            if getattr(control, name, None) is not None:
                yield getattr(control, name)
        control = control.previous_controlnet


def unlike(maps: Tensor, latent: Tensor) -> str:
    """Why maps (B, ...) cannot be those of this latent, as when another node's patch has begun; "" when they can."""
    if len(maps) != len(latent):
        return f"the model is asked about {len(maps)} pictures at once where the latent has {len(latent)}"
    return "the model is asked without a gradient" if latent.requires_grad and not maps.requires_grad else ""


class SteeredModel:
    """Stands in a sampler for the model. sampler: its function's name; report: is told what happens; live: is shown."""

    plan: list[tuple[float, int | None]] | None = None  # of a sampler that is not the host's: see rehearsal.py

    def __init__(self, model, sampler: str, aim: Aim, steering: Steering, report: Report, live: Live):
        self.model, self.sampler, self.aim, self.steering = model, sampler, aim, steering
        self.report, self.live = report, live
        self.save_memory = steering.save_memory
        self.writing = False  # does the model write over what its gradient needs? Seen at the first look.
        self.calls = 0
        self.step = 0
        # Steps to leave out: twice as many each time all wishes were found granted.
        self.pause = self.skip = 0
        self.spent = 0  # gradient steps so far
        self.corrector = Corrector()  # SA-Solver's, set by who gives it to the sampler
        self.pending: Tensor | None = None  # uni_pc's move, to be made by its callback
        self.push: Tensor | None = None  # what the predicted picture is moved by, where the latent is not

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x: Tensor, sigma: Tensor, **kwargs):
        begins = self._begins(float(sigma[0]))
        self.calls += 1
        if begins and self.report.first + self.step in self.report.steered and not self.report.failed:
            if self.skip:
                self.skip -= 1
            else:
                x = self._move(x, sigma, kwargs)
        picture = self.model(x, sigma, **kwargs)
        if self.push is not None:
            picture, self.push = picture + self.push, None
        return picture

    def _begins(self, sigma: float) -> bool:
        """Whether this call is the first question of a step; the step is noted."""
        if self.plan is not None:
            planned, step = self.plan[self.calls] if self.calls < len(self.plan) else (math.nan, None)
            if not same_sigma(planned, sigma) and not self.report.failed:
                self._give_up("The sampler asks the model otherwise than in its trial run")
            self.step = self.step if step is None else step
            return step is not None
        if self.sampler in SA_SOLVER:  # with use_pece it asks twice, but for a step without its corrector
            before, self.step = self.step, step_at(sigma, self.model.sigmas.tolist())
            self.corrector.off = False
            return self.calls == 0 or self.step != before
        self.step, begins = step_of(self.sampler, self.calls)
        return begins

    def callback(self, callback, state: dict) -> None:
        if self.pending is not None:
            state["x"].add_(self.pending)
            self.pending = None
        if callback is not None:
            callback(state)

    def _move(self, x: Tensor, sigma: Tensor, kwargs: dict) -> Tensor:
        """The latent for the sampler to go on from."""
        conds = encoded_from(self.model.inner_model.conds["positive"], self.aim.words.prompt)
        cond = active(conds, float(sigma[0]))
        if cond is None:
            return x  # limited to other noise levels
        again = None
        try:
            moved, seen = self._refined(x, sigma, cond, kwargs)
        except FloatingPointError as error:
            self._give_up(str(error))
            return x
        except Exception as error:
            if isinstance(error, WrittenOver):
                again = self._watching
            elif out_of_memory(error):
                again = self._with_less_memory
            else:
                raise
        if again:  # what the failed pass held is freed by now
            return again(x, sigma, kwargs)
        self.report.seen.append(seen)
        self.live.tell(self.report)
        if not seen.spent.any():
            if self.steering.manner not in (PUBLISHED, NOISE):  # these look in every step
                self.skip = self.pause = 2 * self.pause + 1
            return x
        self.pause = 0
        self.spent += int(seen.spent.max())
        if self.steering.manner == NOISE:
            self.push = moved - x
            return x
        return self._take(x, moved, sigma)

    def _refined(self, x: Tensor, sigma: Tensor, cond: dict, kwargs: dict) -> tuple[Tensor, SteeredStep]:
        """Gradient steps on a copy of the latent: where they led, and what the report is told."""
        inner, aim = self.model.inner_model.inner_model, self.aim
        latest = torch.empty(0)  # the maps that were read last
        signal, noise = signal_and_noise(inner, float(sigma[0]))
        scale = raw_scale(inner, float(sigma[0]), self.steering.manner == NOISE)
        step = self.report.first + self.step
        moment = Moment(noise_level(signal, noise), step, self.report.steps)
        for module in aim.loss.modules:
            module.to(x.device)
        parts = inner.diffusion_model, *aim.loss.modules, *control_models(cond)
        with generators_kept(x.device), differentiable(*parts, writing=self.writing):
            shown, ordinary_sigma, start = self._masked(x, sigma, kwargs), sigma.clone(), x.clone()
            pool, region = pooling(aim.words.rows).to(x.device), region_of(cond)

            def score(latent: Tensor) -> Score:
                nonlocal latest
                comfy.model_management.throw_exception_if_processing_interrupted()
                options = kwargs["model_options"]
                seen = shown(within(latent, start, region))
                maps = capture(inner, cond, seen, ordinary_sigma, options, pool, aim.layout, self.save_memory)
                if why := unlike(maps, latent):
                    raise ValueError(f"What another node does from this step on stands in the way of steering: {why}.")
                maps = maps_within(maps, region)
                latest = maps.detach()
                return aim.loss.score(cropped(maps, region), aim.words, moment)

            judged = step == self.report.steered[-1]  # what the others make is looked at in the next step
            refined = refine(start, score, math.hypot(signal, noise), self.steering, self.spent, scale, judged)
            maps = shapes(latest.float()).mean(2).cpu()
        best, before, after, spent = refined
        return best, SteeredStep(step, moment.level, before, after, spent, maps)

    def _take(self, x: Tensor, moved: Tensor, sigma: Tensor) -> Tensor:
        """Give the moved latent to the sampler: in the place of the one that it holds."""
        if self.sampler in UNI_PC:
            # uni_pc hands out a rescaled copy of its state: the model sees the moved copy, the state follows later.
            self.pending = (moved - x) / math.hypot(1.0, float(sigma[0]))
            return moved
        self.corrector.off = True  # it would go back to the latent before the move
        return x.copy_(moved)

    def _watching(self, x: Tensor, sigma: Tensor, kwargs: dict) -> Tensor:
        self.writing = True
        return self._move(x, sigma, kwargs)

    def _with_less_memory(self, x: Tensor, sigma: Tensor, kwargs: dict) -> Tensor:
        comfy.model_management.soft_empty_cache()
        if self.save_memory:
            self._give_up("There is not enough memory. Make a smaller picture, or fewer at once")
            return x
        log.warning("Learn-to-Steer: memory ran out; going on with save_memory.")
        self.save_memory = True
        return self._move(x, sigma, kwargs)

    def _give_up(self, why: str) -> None:
        self.report.failed = True
        note = (
            f"Steering stopped at step {self.report.first + self.step + 1}: {why}. The picture was finished without it."
        )
        self.report.notes.append(note)
        log.warning("Learn-to-Steer: %s", note)

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
            x=x, sigma=sigma, noise=self.model.noise, latent_image=self.model.latent_image, denoise_mask=mask
        )  # newer hosts tell of the mask; all take what they do not know
        around, mask = (around * (1.0 - mask)).clone(), mask.clone()
        return lambda latent: latent * mask + around
