"""Steered KSampler, and Steer Model for every other sampler."""

import json

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy_api.latest import io, ui

from ..steering.guidance import MANNERS, SHARING, Steering
from ..steering.pictures import as_images, as_pictures, chart, overlay
from ..steering.report import Report
from .classifier_loss import LossType
from .host.running import leading_to
from .host.samplers import REFUSED, check_sampler
from .host.sampling import steer
from .host.screen import SHOWN_AGAIN, Live

LossMap = io.Custom("LOSS_MAP")
RunType = io.Custom("L2S_RUN")
USUAL = Steering()
ALIASES = ["learn to steer", "spatial guidance", "layout", "composition", "position", "regional"]
# What an empty latent of a newer host says about itself.
DOWNSCALING = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def steering_inputs() -> list:
    """What both nodes ask for."""
    return [
        io.Float.Input(
            "strength",
            default=USUAL.strength,
            optional=True,
            min=0.0,
            max=5.0,
            step=0.05,
            display_mode=io.NumberDisplay.slider,
            tooltip="How far one gradient step moves the latent: 1 is a tenth of its standard deviation. 0 turns "
            "steering off; too much loses things.",
        ),
        io.Float.Input(
            "start",
            default=USUAL.start,
            optional=True,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Where steering begins, as a share of all steps. Keep 0: the first steps decide the layout.",
        ),
        io.Float.Input(
            "end",
            default=USUAL.end,
            optional=True,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Where steering ends, as a share of all steps; 0.6 of 25 steps is steps 1 to 15.",
        ),
        io.Int.Input(
            "refinements",
            default=USUAL.refinements,
            optional=True,
            min=0,
            max=50,
            tooltip="Most gradient steps in one sampling step. More pull harder, cost time, and lose things when too "
            "many. 0 turns steering off.",
        ),
        io.Float.Input(
            "target",
            default=USUAL.target,
            optional=True,
            min=0.05,
            max=0.9999,
            step=0.01,
            round=False,
            tooltip="A relation that is read with this probability is satisfied; when all are, the picture is left "
            'alone. Raise it when "satisfied" pictures are wrong.',
        ),
        io.Combo.Input(
            "sharing",
            options=list(SHARING),
            default=USUAL.sharing,
            optional=True,
            tooltip="Which unsatisfied relations a gradient step serves: all of them together, the worst first, or one "
            "after the other (round-robin).",
        ),
        io.Boolean.Input(
            "save_memory",
            default=USUAL.save_memory,
            optional=True,
            advanced=True,
            tooltip="Compute the model's blocks a second time instead of remembering them: slower, far less memory. "
            "Turns itself on when memory runs out.",
        ),
        io.Combo.Input(
            "manner",
            options=list(MANNERS),
            default=USUAL.manner,
            optional=True,
            advanced=True,
            tooltip="What a gradient does. unit steps: steps of one length. raw gradient: 5 "
            "times the gradient, as in the Learn-to-Steer paper; as published: with the faults of its code too. noise "
            "prediction: as InfSplign, 1000 times the gradient goes into the predicted noise, once a step. In these, "
            "strength 1 is what was published.",
        ),
    ]


def problem_of_range(start: float | None, end: float | None) -> bool | str:
    """True when steering can go from start to end; None stands for a linked input."""
    try:
        Steering(start=0.0 if start is None else start, end=1.0 if end is None else end)
    except ValueError as error:
        return str(error)
    return True


class SteeredKSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_SteeredKSampler",
            display_name="Steered KSampler",
            category="learn-to-steer",
            description="KSampler that puts things where the prompt says. With strength 0 it is KSampler, bit for bit.",
            search_aliases=["ksampler", *ALIASES],
            inputs=[
                io.Model.Input("model", tooltip="The model used for denoising."),
                LossType.Input("loss", tooltip="From L2S Classifier Loss."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The random seed of the noise.",
                ),
                io.Int.Input("steps", default=25, min=1, max=10000, tooltip="Sampling steps."),
                io.Float.Input(
                    "cfg",
                    default=5.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Classifier-free guidance: how closely the picture follows the prompt.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=[name for name in comfy.samplers.KSampler.SAMPLERS if name not in REFUSED],
                    default="euler",
                    tooltip="The sampling algorithm. dpm_fast and dpm_adaptive choose their own steps, which cannot "
                    "be steered, so they are not here.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.KSampler.SCHEDULERS,
                    default="normal",
                    tooltip="How the noise is taken away.",
                ),
                io.Conditioning.Input("positive", tooltip="From Relation Parse; other nodes may come in between."),
                io.Conditioning.Input("negative", tooltip="What the picture should not show."),
                io.Latent.Input("latent_image", tooltip="The latent to denoise."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much is drawn anew; less than 1 keeps some of the latent's picture.",
                ),
                *steering_inputs(),
            ],
            outputs=[
                io.Latent.Output(tooltip="The denoised latent."),
                io.String.Output(
                    display_name="report",
                    tooltip="Per step: each relation's probability, and the gradient steps spent.",
                ),
                LossMap.Output(display_name="loss_map", tooltip="The loss over the run, for Plot Loss Graph."),
                RunType.Output(display_name="run", tooltip="What happened: goes to Steering Report."),
            ],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,  # it shows its run on itself, so another node's is not its own
            **SHOWN_AGAIN,
        )

    @classmethod
    def validate_inputs(cls, start=0.0, end=1.0):
        return problem_of_range(start, end)

    @classmethod
    def execute(
        cls, model, loss, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise,
        strength=USUAL.strength, start=USUAL.start, end=USUAL.end,
        refinements=USUAL.refinements, target=USUAL.target, sharing=USUAL.sharing, save_memory=USUAL.save_memory,
        manner=USUAL.manner,
    ) -> io.NodeOutput:  # fmt: skip
        steering = Steering(strength, start, end, refinements, target, sharing, save_memory, manner)
        report, live = Report(), Live(cls.hidden and cls.hidden.unique_id)
        if steering.active and loss.words.wishes:
            check_sampler(sampler_name)
        model = steer(model, loss, steering, report, live)
        latent = latent_image.copy()
        sizes = {key: latent.pop(key) for key in DOWNSCALING if key in latent}
        samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **sizes)
        noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
        latent["samples"] = comfy.sample.sample(
            model, noise, steps, cfg, sampler_name, scheduler, positive, negative, samples,
            denoise=denoise, noise_mask=latent.get("noise_mask"), seed=seed,
            callback=latent_preview.prepare_callback(model, steps), disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        )  # fmt: skip
        text = report.text() or "Not steered."
        seen = {"l2s_steering": (json.dumps(live.state(report)),)}  # a dict would count as a file
        return io.NodeOutput(latent, text, report.loss_map(), report, ui=seen)


class SteerModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_SteerModel",
            display_name="Steer Model",
            category="learn-to-steer",
            description="The same steering as a patched MODEL, for KSampler, SamplerCustomAdvanced and other "
            "packs' samplers. Steering Report shows what it did.",
            search_aliases=["patch model", *ALIASES],
            inputs=[
                io.Model.Input("model", tooltip="The model to steer; it is cloned, not changed."),
                LossType.Input("loss", tooltip="From L2S Classifier Loss."),
                *steering_inputs(),
            ],
            outputs=[
                io.Model.Output(tooltip="The steered model: goes to any sampler, with the positive of Relation Parse."),
                RunType.Output(
                    display_name="run",
                    tooltip="What happened in the latest run: goes to Steering Report.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            not_idempotent=True,  # it shows its runs on itself
        )

    @classmethod
    def validate_inputs(cls, start=0.0, end=1.0):
        return problem_of_range(start, end)

    @classmethod
    def execute(
        cls, model, loss, strength=USUAL.strength, start=USUAL.start, end=USUAL.end,
        refinements=USUAL.refinements, target=USUAL.target, sharing=USUAL.sharing, save_memory=USUAL.save_memory,
        manner=USUAL.manner,
    ) -> io.NodeOutput:  # fmt: skip
        steering = Steering(strength, start, end, refinements, target, sharing, save_memory, manner)
        report, live = Report(runs={}), Live(cls.hidden and cls.hidden.unique_id)
        return io.NodeOutput(steer(model, loss, steering, report, live), report)


class SteeringReport(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_SteeringReport",
            display_name="Steering Report",
            category="learn-to-steer",
            description="What steering did, as pictures and text that can be saved: where the model looked for each "
            "word, and how sure the loss was of each relation, step by step.",
            search_aliases=[
                "learn to steer",
                "attention overlay",
                "heat map",
                "daam",
                "chart",
                "plot",
                "loss",
            ],
            inputs=[
                RunType.Input("run", tooltip="From Steered KSampler or Steer Model."),
                io.Image.Input("images", tooltip="The pictures of that run, decoded."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlays",
                    tooltip="Each picture, with every word's attention in a colour of its own, as the last steered "
                    "step saw it.",
                ),
                io.Image.Output(
                    display_name="chart",
                    tooltip="Each relation's probability over the steps, one chart a picture.",
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="Per step: each relation's probability, and the gradient steps spent.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, run: Report, images) -> io.NodeOutput:
        pictures = as_pictures(images)
        if cls.hidden and cls.hidden.dynprompt:  # scripts have no graph
            run = run.behind(leading_to(cls.hidden.unique_id, cls.hidden.dynprompt, "images"))
        if run.seen and len(run.seen[-1].maps) != len(pictures):
            raise ValueError(
                f"The run made {len(run.seen[-1].maps)} pictures and {len(pictures)} are given here. Connect the "
                "decoded pictures of the same run."
            )
        overlays, charts = pictures, [chart(run)]
        if run.seen:
            last = run.seen[-1].maps
            overlays = [overlay(p, maps, run.names) for p, maps in zip(pictures, last, strict=True)]
            charts = [chart(run, number) for number in range(len(pictures))]
        sheets = as_images(overlays), as_images(charts)
        shown = [ui.PreviewImage(sheet, cls=cls).as_dict()["images"] for sheet in sheets]
        text = run.text() or "Not steered."
        return io.NodeOutput(*sheets, text, ui={"images": [*shown[0], *shown[1]]})
