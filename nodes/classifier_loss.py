"""L2S Classifier Loss: maps -> how wrong each relation is, by a trained classifier."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..steering.losses import Aim, not_served
from ..steering.losses.classifier import ClassifierLoss, load
from .attention_capture import Capture, CaptureType
from .host.screen import SHOWN_AGAIN, show

FOLDER = "l2s_classifiers"
BUNDLED = Path(__file__).resolve().parent.parent / "classifier_weights"
LossType = io.Custom("L2S_LOSS")


def register_folders() -> None:
    """The bundled classifiers, and the user's own in models/l2s_classifiers (which updates leave alone)."""
    for path in (BUNDLED, Path(folder_paths.models_dir) / FOLDER):
        folder_paths.add_model_folder_path(FOLDER, str(path))
    folder_paths.folder_names_and_paths[FOLDER] = (
        folder_paths.folder_names_and_paths[FOLDER][0],
        {".safetensors"},
    )


class L2SClassifierLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_ClassifierLoss",
            display_name="L2S Classifier Loss",
            category="learn-to-steer",
            description="A small trained classifier that reads from the attention maps whether things are "
            "where the prompt says. Steering follows its opinion.",
            search_aliases=["learn to steer", "relation classifier", "spatial loss", "guidance"],
            inputs=[
                CaptureType.Input("capture", tooltip="From Attention Capture."),
                io.Combo.Input(
                    "classifier",
                    options=folder_paths.get_filename_list(FOLDER),
                    tooltip="Must be trained for this model. Your own go to models/l2s_classifiers.",
                ),
            ],
            outputs=[
                LossType.Output(display_name="loss", tooltip="Goes to Steered KSampler or Steer Model."),
                io.String.Output(display_name="notes", tooltip="Relations that this classifier cannot steer."),
            ],
            hidden=[io.Hidden.unique_id],
            **SHOWN_AGAIN,
        )

    @classmethod
    def validate_inputs(cls, classifier=None):
        names = folder_paths.get_filename_list(FOLDER)
        if classifier is None or classifier in names:  # None: linked
            return True
        missing = f'There is no classifier "{classifier}"' if classifier else "No classifier is chosen"
        return (
            f"{missing}. Choose one of {', '.join(names)}, or put a classifier that was trained for your model into "
            f"models/{FOLDER} and refresh (key R)."
        )

    @classmethod
    def execute(cls, capture: Capture, classifier: str) -> io.NodeOutput:
        loss = ClassifierLoss(load(Path(folder_paths.get_full_path_or_raise(FOLDER, classifier))))
        try:
            layout = capture.layout(loss.layout)
        except ValueError as error:
            raise ValueError(f'The classifier "{classifier}" does not fit: {error}') from None
        notes = "\n".join(not_served(loss, capture.words.wishes))
        show(cls, notes)
        words = capture.words.only(lambda wish: wish.relation in loss.relations)
        return io.NodeOutput(Aim(loss, words, layout), notes, ui=ui.PreviewText(notes))
