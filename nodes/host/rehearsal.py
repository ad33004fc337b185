"""A sampler's function run once without the model, to learn which of its questions begin a sampling step.

For samplers of other packs: restarts ask at a noise level again, second stages ask about latents that are thrown away.
"""

import comfy.model_management
import torch
from torch import Tensor

from .samplers import same_sigma, step_at


class _Stage:
    """Stands in for the model: answers with the latent times `answer`, and notes what it is asked."""

    def __init__(self, model, answer: float, schedule: list[float], model_options: dict):
        self.model, self.answer, self.schedule = model, answer, schedule
        self.functions = len(model_options.get("sampler_post_cfg_function", ()))  # of nodes; the sampler adds its own
        self.plan: list[tuple[float, int | None]] = []
        self.open: list[Tensor] = []  # latents asked about since the sampler last called back
        self.lost = False

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x: Tensor, sigma: Tensor, **kwargs) -> Tensor:
        self.plan.append((float(sigma.flatten()[0]), None))
        self.open.append(x)
        denoised, options = x * self.answer, kwargs.get("model_options", {})
        for function in options.get("sampler_post_cfg_function", ())[self.functions :]:
            told = dict.fromkeys(("denoised", "cond_denoised", "uncond_denoised"), denoised)
            nothing = dict.fromkeys(("cond", "uncond", "model", "cond_scale"))
            denoised = function({**told, **nothing, "sigma": sigma, "model_options": options, "input": x})
        return denoised

    def callback(self, state: dict) -> None:
        """A step is told of: the question about the very latent that the sampler holds began it."""
        asked = [number for number, x in enumerate(self.open) if x is state["x"]]
        self.lost = self.lost or not asked
        if asked:
            call = len(self.plan) - len(self.open) + asked[-1]
            sigma = self.plan[call][0]
            self.plan[call] = sigma, step_at(float(state.get("sigma", sigma)), self.schedule)
        self.open = []


def rehearse(function, model, x: Tensor, sigmas: Tensor, options: dict) -> list[tuple[float, int | None]]:
    """Each question that the sampler will ask: its sigma, and the step that it begins, or None.

    function, model, x, sigmas, options: a k-diffusion function and what it is called with. The generators of random
    numbers are left as they were. Raises ValueError when the questions cannot be told, or hang on the answers.
    """
    name = getattr(function, "__name__", type(function).__name__)
    plans = []
    for answer in (0.0, 0.5):
        stage = _Stage(model, answer, sigmas.tolist(), (options.get("extra_args") or {}).get("model_options", {}))
        devices = [] if x.device.type == "cpu" else [x.device]
        with torch.random.fork_rng(devices, device_type=x.device.type if devices else "cuda"):
            try:
                function(stage, x.clone(), sigmas.clone(), **{**options, "callback": stage.callback, "disable": True})
            except comfy.model_management.InterruptProcessingException:
                raise
            except Exception as error:
                raise ValueError(_sentence(name, f"a trial run without the model ended in: {error}")) from error
        if stage.lost or all(step is None for _, step in stage.plan):
            raise ValueError(_sentence(name, "it does not show which of its questions to the model begin a step"))
        plans.append(stage.plan)
    first, second = plans
    steps_agree = [step for _, step in first] == [step for _, step in second]
    if not steps_agree or not all(same_sigma(a, b) for (a, _), (b, _) in zip(first, second, strict=True)):
        raise ValueError(_sentence(name, "it chooses its own steps"))
    return first


def _sentence(name: str, why: str) -> str:
    name = name.removeprefix("sample_")
    return f'The sampler "{name}" cannot be steered: {why}. Choose another, for example euler or dpmpp_2m.'
