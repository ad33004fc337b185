"""Record Maps: what a model attends to in pictures whose things are known, kept on disk to learn from."""

from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_api.latest import io, ui

from ..steering.maps import MapSettings
from .composed_scenes import ScenesType
from .host.capture import model_layers
from .host.inversion import NOISING, PLAIN
from .host.screen import SHOWN_AGAIN

if TYPE_CHECKING:
    from ..steering.dataset import Scenes
    from ..steering.recordings import Recordings

RecordingsType = io.Custom("L2S_RECORDINGS")
ALIASES = ["learn to steer", "training", "dataset"]


class RecordMaps(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_RecordMaps",
            display_name="Record Maps",
            category="learn-to-steer",
            description="Shows a model pictures whose things are known, under right and under wrong prompts, and keeps "
            "on disk what it attends to. A stopped run goes on where it was.",
            search_aliases=["attention maps", *ALIASES],
            inputs=[
                io.Model.Input("model", tooltip="The model that a classifier is to be trained for."),
                io.Clip.Input("clip", tooltip="Its text encoder."),
                io.Vae.Input("vae", tooltip="Its VAE, which makes latents of the pictures."),
                ScenesType.Input("scenes", tooltip="From Composed Scenes, Annotated Pictures or Own Generations."),
                io.String.Input(
                    "folder",
                    default="my_model",
                    tooltip="Where the recordings go, inside learn-to-steer in the output folder. One for each model.",
                ),
                io.Int.Input(
                    "looks", default=3, min=1, max=64, tooltip="Looks at each picture, under other prompts and noises."
                ),
                io.Float.Input(
                    "wrong",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the looks whose prompt has a wrong relation. What is learnt without them is the "
                    "word, not the picture.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    control_after_generate=False,
                    tooltip="Draws prompts and noises.",
                ),
                io.Int.Input(
                    "batch", default=16, min=1, max=256, advanced=True, tooltip="Looks in one pass of the model."
                ),
                io.String.Input("layers", default="auto", advanced=True, tooltip="As in Attention Capture."),
                io.Combo.Input(
                    "heads",
                    options=["averaged", "kept"],
                    default="averaged",
                    advanced=True,
                    tooltip="averaged: one map a layer. kept: one for every attention head, as the published network "
                    "reads them.",
                ),
                io.Float.Input(
                    "least_noise", default=0.05, min=0.0, max=1.0, step=0.05, advanced=True, tooltip="0 is clean."
                ),
                io.Float.Input(
                    "most_noise", default=0.95, min=0.0, max=1.0, step=0.05, advanced=True, tooltip="1 is pure noise."
                ),
                io.Float.Input(
                    "most_gb",
                    default=8.0,
                    min=0.1,
                    max=1000.0,
                    step=0.1,
                    advanced=True,
                    tooltip="No more is recorded when so many GB are on disk.",
                ),
                io.Combo.Input(
                    "noising",
                    options=list(NOISING),
                    default=PLAIN,
                    advanced=True,
                    tooltip="plain: noise is added to the picture, one pass a look. The others are the paper's: the "
                    "picture is turned into noise and read at several steps on the way back, and what does not come "
                    "back is left out. DDIM inversion, for models that predict noise or v, takes 6 passes a step; RF "
                    "inversion, for flow models, one for each step that is read.",
                ),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=2,
                    max=500,
                    advanced=True,
                    tooltip="Of an inversion. As in the paper: 50, and 4 for FLUX.1 schnell.",
                ),
            ],
            outputs=[
                RecordingsType.Output(display_name="recordings", tooltip="Goes to Train L2S Classifier."),
                io.String.Output(display_name="notes", tooltip="What was recorded and what was left out."),
            ],
            is_output_node=True,
            **SHOWN_AGAIN,
        )

    @classmethod
    def validate_inputs(cls, folder=None, least_noise=None, most_noise=None):
        if folder is not None and (problem := problem_of_name("folder", folder)):
            return problem
        if least_noise is not None and most_noise is not None and least_noise >= most_noise:
            return f"least_noise is {least_noise:g} and most_noise {most_noise:g}; the first must be lower."
        return True

    @classmethod
    def execute(
        cls,
        model,
        clip,
        vae,
        scenes: "Scenes",
        folder: str,
        looks: int = 3,
        wrong: float = 0.5,
        seed: int = 0,
        batch: int = 16,
        layers: str = "auto",
        heads: str = "averaged",
        least_noise: float = 0.05,
        most_noise: float = 0.95,
        most_gb: float = 8.0,
        noising: str = PLAIN,
        steps: int = 50,
    ) -> io.NodeOutput:
        from .host.recorder import Wanted, record_into  # read when it is wanted: loading the pack takes next to no time

        if problem := problem_of_name("folder", folder):  # a linked one comes only now
            raise ValueError(problem)
        into = Path(folder_paths.get_output_directory()) / "learn-to-steer" / folder.strip()
        layout = MapSettings(layers, heads).layout(model_layers(model))
        progress = comfy.utils.ProgressBar(scenes.count)

        def tell(done: float) -> None:
            progress.update_absolute(int(done), scenes.count)
            comfy.model_management.throw_exception_if_processing_interrupted()

        wanted = Wanted(looks, wrong, (least_noise, most_noise), seed, batch, noising, steps)
        recordings = record_into(into, model, clip, vae, scenes, layout, wanted, most_gb * 1e9, tell)
        notes = told(recordings)
        return io.NodeOutput(recordings, notes, ui=ui.PreviewText(notes))


def problem_of_name(what: str, name: str) -> str | None:
    """Why this input cannot name a file or folder of ours, as a sentence; None when it can."""
    plain = name.strip()
    if plain in ("", "..") or Path(plain).name != plain:
        return f'{what} is "{name}"; write a plain name, without slashes.'
    return None


def told(recordings: "Recordings") -> str:
    """What is in a folder of recordings, for people."""
    counts = recordings.counts
    lines = [
        f"{counts['looks']} looks, {counts['true']} under true prompts, with {counts['words']} words' maps of "
        f"{recordings.layout}, in {recordings.folder}."
    ]
    lines += [f"Left out: {number} {why}." for why, number in recordings.left_out.items()]
    return "\n".join([*lines, *recordings.made])
