"""Everything that touches the host's sampling and attention: maps from a real model, and steering inside its samplers.

UNet families (SD1.x, SD2.x, SDXL, the demo model). All patches live on clones or inside one pass.
"""

import contextlib
import copy
import functools
import logging
import math

import comfy.conds
import comfy.ldm.modules.attention
import comfy.ldm.modules.diffusionmodules.openaimodel
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..steering.attention import MapLayout, noise_level, pooling, stack_layers, word_maps
from ..steering.guidance import Look, Report, Steering, refine
from ..steering.loss import ClassifierLoss
from .host_words import encoded_from

log = logging.getLogger(__name__)
KEY = "learn_to_steer"


def show(node, text: str) -> None:
    """Show text on a node that runs in a server; node: its class, whose schema asks for its unique_id."""
    if node.hidden and node.hidden.unique_id:
        from server import PromptServer  # scripts run without one

        PromptServer.instance.send_progress_text(text, node.hidden.unique_id)


# --- Maps: what the model's text-to-image attention looks at ---------------------------------------------------------


def map_layout(
    model, layers: str = "all", heads: str = "averaged", resolution: int = 16
) -> MapLayout:
    """The layout of this model's maps. layers: "all" or a range like "2-5".

    Raises ValueError for a family that is not supported or a range that the model does not have.
    """
    family = type(model.model.model_config).__name__
    unet = model.model.diffusion_model
    if not isinstance(unet, comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel):
        raise ValueError(
            f"Attention Capture reads UNet models so far (SD1.x, SD2.x, SDXL, the demo model); this model is {family}."
        )
    counts = [module.heads for name, module in unet.named_modules() if name.endswith(".attn2")]
    chosen = f"1-{len(counts)}" if layers.strip() == "all" else layers.strip()
    first, _, last = chosen.partition("-")
    try:
        first, last = int(first), int(last or first)
    except ValueError:
        raise ValueError(f'layers is "{layers}"; write "all", or a range like "2-5".') from None
    if not 1 <= first <= last <= len(counts):
        raise ValueError(
            f'layers is "{layers}"; this model has text-to-image attention layers 1 to {len(counts)}.'
        )
    counts = counts[first - 1 : last]
    channels = len(counts) if heads == "averaged" else sum(counts)
    return MapLayout(family, first, last, heads, channels, resolution)


class _Captured(BaseException):
    """Ends a forward pass whose last wanted layer was read. Not an Exception: nobody but us may swallow it."""


def _ordinary(tensor: Tensor) -> Tensor:
    """The same memory as a tensor that autograd can save; the host makes its weights under inference mode."""
    if not tensor.is_inference():
        return tensor
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        return tensor.clone()
    alias = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return alias.set_(
        tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride()
    )


@contextlib.contextmanager
def differentiable(*modules: torch.nn.Module):
    """Autograd inside the host's inference mode, also for weights that were made under it. Restores what it swaps."""
    swapped = []
    with torch.inference_mode(False), torch.enable_grad():
        try:
            for module in (part for root in modules for part in root.modules()):
                for tensors in (module._parameters, module._buffers):
                    for name, tensor in tensors.items():
                        if tensor is not None and tensor.is_inference():
                            swapped.append((tensors, name, tensor))
                            alias = _ordinary(tensor)
                            tensors[name] = (
                                torch.nn.Parameter(alias, requires_grad=False)
                                if tensors is module._parameters
                                else alias
                            )
            yield
        finally:
            for tensors, name, tensor in swapped:
                tensors[name] = tensor


def _ordinary_cond(cond: dict) -> dict:
    """The same conditioning entry with tensors that autograd can save."""
    model_conds = {}
    for name, value in cond["model_conds"].items():
        if isinstance(value, comfy.conds.CONDRegular) and isinstance(value.cond, Tensor):
            value = value._copy_with(value.cond.clone())
        model_conds[name] = value
    return {**cond, "model_conds": model_conds}


def capture(
    model,
    cond: dict,
    x: Tensor,
    sigma: Tensor,
    model_options: dict,
    words: Tensor,
    layout: MapLayout,
) -> Tensor:
    """Run the model on one conditioning and read the maps of `words`: (B, words, channels, R, R), differentiable in x.

    model: the host's BaseModel, loaded; cond: one processed conditioning entry; x: latent (B, C, h, w); sigma: (B,);
    words: `pooling` matrices (1 or B, words, columns).
    The pass ends after the layout's last layer. Call inside `differentiable` for gradients.
    """
    layers, layer, self_attended = [], 0, None

    def read(func, q, k, v, heads, *args, **kwargs):
        nonlocal layer, self_attended
        options = kwargs["transformer_options"]
        height, width = options["activations_shape"][2:]
        # Self-attention has as many columns as rows. Text that happens to be that long comes second in its block.
        block = (options.get("block"), options.get("block_index"))
        crossing = k.shape[1] != q.shape[1] or block == self_attended
        self_attended = block
        if crossing:
            layer += 1
            if layer >= layout.first:
                layers.append((word_maps(q, k, heads, words, kwargs.get("scale")), (height, width)))
            if layer == layout.last:
                raise _Captured
        # Always the host's own SDPA: other backends have no gradient.
        return comfy.ldm.modules.attention.attention_pytorch(q, k, v, heads, *args, **kwargs)

    options = comfy.model_patcher.create_model_options_clone(model_options)
    for name in ("multigpu_clones", "wrappers", "context_handler"):
        options.pop(name, None)
    transformer_options = options.setdefault("transformer_options", {})
    transformer_options.pop("wrappers", None)  # step caches and the like would skip the pass
    transformer_options["optimized_attention_override"] = read
    with contextlib.suppress(_Captured):
        comfy.samplers.calc_cond_batch(model, [[_ordinary_cond(cond)]], x, sigma, options)
    if len(layers) != layout.last - layout.first + 1:
        raise ValueError(
            f"The model ran {len(layers)} of the text-to-image attention layers {layout.first} to {layout.last}. "
            "Another node probably replaces its attention (attn2 patches); bypass it for steering."
        )
    return stack_layers(layers, layout.heads, layout.resolution)


def text_columns(cond: dict) -> int:
    """Rows of a processed conditioning entry: columns of every text-to-image attention."""
    return cond["model_conds"]["c_crossattn"].cond.shape[1]


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
    ):
        self.model, self.name, self.sigmas = model, name, sigmas
        self.loss, self.steering, self.report = loss, steering, report
        self.steered_steps = steering.steps(len(sigmas) - 1)
        self.calls = 0
        self.step = -1
        # Looks to leave out: twice as many each time all relations were found satisfied.
        self.pause = self.skip = 0
        self.pending = None  # uni_pc's move, to be made by its callback

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, x: Tensor, sigma: Tensor, **kwargs):
        if self._begins_step() and self.step in self.steered_steps and not self.report.failed:
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
        controls = comfy.sampler_helpers.get_models_from_cond([cond], "control")
        modules = [
            inner.diffusion_model,
            self.loss.classifier,
            *(c.control_model for c in controls if hasattr(c, "control_model")),
        ]
        # ControlNet's residuals are added in place, over what the backward pass needs.
        in_place = (
            torch.autograd.graph.allow_mutation_on_saved_tensors()
            if controls
            else contextlib.nullcontext()
        )
        with differentiable(*modules), in_place:
            seen, ordinary_sigma = self._masked(x, sigma, kwargs), sigma.clone()
            words = pooling(self.loss.words, text_columns(cond)).to(x.device)

            def losses(latent: Tensor) -> Tensor:
                comfy.model_management.throw_exception_if_processing_interrupted()
                maps = capture(
                    inner, cond, seen(latent), ordinary_sigma, options, words, self.loss.layout
                )
                return self.loss(maps, level)

            start = x.clone()
            try:
                moved, before, after, spent = refine(
                    start, losses, math.hypot(signal, noise), self.steering
                )
            except FloatingPointError as error:
                self.report.failed = True
                self.report.notes.append(
                    f"Steering stopped at step {self.step + 1}: {error}. The picture was finished without it."
                )
                return x
        self.report.looks.append(Look(self.step, level, before, after, spent))
        if not spent.any():
            self.pause = 2 * self.pause + 1
            self.skip = self.pause
            return x
        self.pause = 0
        if self.name in UNI_PC:
            # uni_pc hands out a rescaled copy of its state: the model sees the moved copy, the state follows later.
            self.pending = (moved - start) / math.hypot(1.0, float(sigma[0]))
            return moved
        return x.copy_(moved)

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


def steer(model, loss: ClassifierLoss, steering: Steering, report: Report | None = None):
    """A clone of the MODEL whose samplers are steered.

    With nothing to do (strength 0, an empty range, no relation) it is a plain clone.

    report: filled during the run; without one, every run logs its own.
    """
    steered_model = model.clone()
    if not steering.active or not loss.relations:
        return steered_model

    def outer_sample(executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
        name = getattr(getattr(sampler, "sampler_function", None), "__name__", None)
        if name is None:
            raise ValueError(
                f"The sampler {type(sampler).__name__} is not made of a k-diffusion function, so it cannot be "
                f"steered. Choose a sampler of KSampler's list."
            )
        check_sampler(name)
        if "positive" not in executor.class_obj.conds:
            raise ValueError(
                f"The guider {type(executor.class_obj).__name__} has no positive conditioning to steer by."
            )
        for entry in encoded_from(executor.class_obj.conds["positive"], loss.prompt):
            # Positions given by hand can be too high: say so before the first step.
            pooling(loss.words, entry["cross_attn"].shape[1])
        run = report if report is not None else Report()
        run.relations = [str(relation) for relation in loss.relations]
        steered = copy.copy(sampler)  # the host keeps sampler objects between runs
        steered.sampler_function = functools.wraps(sampler.sampler_function)(
            lambda wrapped, x, sigmas, *a, callback=None, **options: _sample(
                sampler.sampler_function,
                _SteeredModel(wrapped, name, sigmas, loss, steering, run),
                x,
                sigmas,
                *a,
                callback=callback,
                **options,
            )
        )
        samples = executor(noise, latent_image, steered, sigmas, *args, **kwargs)
        if report is None:
            log.info("Learn-to-Steer:\n%s", run.text())
        return samples

    steered_model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample)
    return steered_model


def _sample(function, model: _SteeredModel, x, sigmas, *args, callback=None, **options):
    if model.name in SA_SOLVER:
        options["corrector_order"] = 0  # its corrector goes back to the latent before the move
    if model.name in UNI_PC:
        callback = functools.partial(model.callback, callback)
    return function(model, x, sigmas, *args, callback=callback, **options)
