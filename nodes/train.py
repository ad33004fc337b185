"""Train L2S Classifier: recordings -> a classifier for the model that they are of, and how good it is."""

from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_api.latest import io, ui

from ..steering.losses.files import NETWORKS
from ..steering.pictures import as_images, learning
from .classifier_loss import FOLDER
from .host.screen import SHOWN_AGAIN
from .record_maps import ALIASES, RecordingsType, problem_of_name, told

if TYPE_CHECKING:
    from ..steering.recordings import Recordings
    from ..steering.train import Curve


class TrainClassifier(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_TrainClassifier",
            display_name="Train L2S Classifier",
            category="learn-to-steer",
            description="Learns from recordings where a model's words are in a picture, measures on pairs of things "
            "never seen together how often that is right, and writes the file that L2S Classifier Loss takes.",
            search_aliases=["fit", "learn", *ALIASES],
            inputs=[
                RecordingsType.Input("recordings", tooltip="From Record Maps."),
                io.String.Input(
                    "name", default="my_model", tooltip=f"Of the file, which goes to models/{FOLDER}. One is replaced."
                ),
                io.Combo.Input(
                    "network",
                    options=list(NETWORKS),
                    default=NETWORKS[0],
                    tooltip="reader of places: finds each word's thing, for every relation that can be seen. relation "
                    "classifier: reads left, right, above and below from two words. relation classifier, as published: "
                    "the paper's network, which needs recordings with heads kept.",
                ),
                io.Int.Input("steps", default=1500, min=1, max=100000, tooltip="Stops earlier when it gets no better."),
                io.Int.Input("batch", default=128, min=1, max=4096, advanced=True, tooltip="Examples in a step."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    control_after_generate=False,
                    tooltip="Draws first weights and batches.",
                ),
            ],
            outputs=[
                io.Combo.Output(
                    display_name="classifier", tooltip="The file's name: goes to classifier of L2S Classifier Loss."
                ),
                io.String.Output(display_name="card", tooltip="How good it is and how it was made; also in the file."),
                io.Image.Output(display_name="chart", tooltip="The loss, and the shares read rightly, over the steps."),
                io.Custom("LOSS_MAP").Output(display_name="loss_map", tooltip="The loss, for Plot Loss Graph."),
            ],
            is_output_node=True,
            **SHOWN_AGAIN,
        )

    @classmethod
    def validate_inputs(cls, name=None):
        return True if name is None else problem_of_name("name", name) or True

    @classmethod
    def execute(
        cls, recordings: "Recordings", name: str, network: str, steps: int = 1500, batch: int = 128, seed: int = 0
    ) -> io.NodeOutput:
        from ..steering.train import Training, card, leak, save, train  # read when it is wanted, as in Record Maps

        if problem := problem_of_name("name", name):  # a linked one comes only now
            raise ValueError(problem)
        progress = comfy.utils.ProgressBar(steps)

        def tell(step: int, curve: "Curve") -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            shown = ("JPEG", learning(curve, steps), 512) if curve.steps and curve.steps[-1] == step else None
            progress.update_absolute(step, steps, shown)

        device = comfy.model_management.get_torch_device()
        trained = train(network, recordings.load(), Training(steps, batch, seed=seed), device, tell)
        notes = {
            "network": network,
            "model": recordings.layout.family,
            "accuracy": trained.table,
            "leak": leak(trained.table),
            "made": [
                f"{trained.step} of {steps} steps of {batch}, seed {seed}.",
                *told(recordings).splitlines(),
                *(f"{setting}: {value}" for setting, value in recordings.settings.items()),
            ],
        }
        path = Path(folder_paths.models_dir) / FOLDER / f"{name.strip()}.safetensors"
        save(trained, notes, path)
        folder_paths.filename_list_cache.pop(FOLDER, None)  # its time may tell no second change in a second
        text, chart = card(notes), as_images([learning(trained.curve, steps)])
        shown = {**ui.PreviewImage(chart, cls=cls).as_dict(), **ui.PreviewText(text).as_dict()}
        return io.NodeOutput(path.name, text, chart, {"loss": trained.curve.learnt}, ui=shown)
