"""L2S Classifier Loss: maps -> how wrong each relation is, by a reader, a classifier or geometry alone."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..steering.losses import Aim, Loss, not_served
from ..steering.losses.geometry import GeometryLoss
from ..steering.losses.infsplign import InfSplignLoss
from ..steering.losses.published import PublishedLoss, read
from ..steering.losses.trained import load
from .attention_capture import Capture, CaptureType
from .host.files import contents
from .host.screen import SHOWN_AGAIN

FOLDER = "l2s_classifiers"
AUTHORS = ".pth"  # what files of Learn-to-Steer's authors end in
BUNDLED = Path(__file__).resolve().parent.parent / "classifier_weights"
UNIVERSAL = "universal.safetensors"
UNTRAINED = "none: geometry alone, for any model"
INFSPLIGN = "none: InfSplign"
INFSPLIGN_PUBLISHED = "none: InfSplign, as published"
ANY_MODEL = "Steered by a reader for any model. It learned from the maps of this pack's two small models."
NO_CLASSIFIER = "No classifier: steered by where the words' maps are bright."
BY_AUTHORS = "By Learn-to-Steer's authors, trained for {}. Their licence allows no commercial use."
LossType = io.Custom("L2S_LOSS")


def register_folders() -> None:
    """The bundled classifiers, and the user's own in models/l2s_classifiers (which updates leave alone)."""
    for path in (BUNDLED, Path(folder_paths.models_dir) / FOLDER):
        folder_paths.add_model_folder_path(FOLDER, str(path))
    folder_paths.folder_names_and_paths[FOLDER] = (
        folder_paths.folder_names_and_paths[FOLDER][0],
        {".safetensors", AUTHORS},
    )


def loss_of(classifier: str, capture: Capture) -> tuple[Loss, str]:
    """The loss of one of the choices, and what people should know of it."""
    if classifier == UNTRAINED:
        return GeometryLoss(), NO_CLASSIFIER
    if classifier in (INFSPLIGN, INFSPLIGN_PUBLISHED):
        return InfSplignLoss(capture.layers, published=classifier == INFSPLIGN_PUBLISHED), NO_CLASSIFIER
    path = Path(folder_paths.get_full_path_or_raise(FOLDER, classifier))
    if path.suffix.lower() != AUTHORS:
        loss = load(path, capture.layers)[0]
        return loss, "" if loss.layout else ANY_MODEL
    published = read(contents(path), path.name)
    return PublishedLoss(published, capture.layers), BY_AUTHORS.format(published.config.model)


def choices() -> list[str]:
    files = sorted(folder_paths.get_filename_list(FOLDER), key=lambda name: name != UNIVERSAL)  # the usual one first
    return [*files, UNTRAINED, INFSPLIGN, INFSPLIGN_PUBLISHED]


class L2SClassifierLoss(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_ClassifierLoss",
            display_name="L2S Classifier Loss",
            category="learn-to-steer",
            description="Reads from the attention maps whether things are where the prompt says; steering follows its "
            "opinion. By a small reader that fits any model, a classifier of this model's own, or geometry alone.",
            search_aliases=["learn to steer", "relation classifier", "spatial loss", "guidance"],
            inputs=[
                CaptureType.Input("capture", tooltip="From Attention Capture."),
                io.Combo.Input(
                    "classifier",
                    options=choices(),
                    default=UNIVERSAL,
                    tooltip="universal reads any model's maps. A classifier must be trained for this model; your own "
                    "go to models/l2s_classifiers. Geometry alone needs no training, fits any model, and is less sure.",
                ),
            ],
            outputs=[
                LossType.Output(display_name="loss", tooltip="Goes to Steered KSampler or Steer Model."),
                io.String.Output(display_name="notes", tooltip="What steers, and relations that cannot be steered so."),
            ],
            **SHOWN_AGAIN,
        )

    @classmethod
    def validate_inputs(cls, classifier=None):
        names = choices()
        if classifier is None or classifier in names:  # None: linked
            return True
        missing = f'There is no classifier "{classifier}"' if classifier else "No classifier is chosen"
        return (
            f"{missing}. Choose one of {', '.join(names)}, or put a classifier that was trained for your model into "
            f"models/{FOLDER} and refresh (key R)."
        )

    @classmethod
    def execute(cls, capture: Capture, classifier: str) -> io.NodeOutput:
        loss, said = loss_of(classifier, capture)
        try:
            layout = capture.layout(loss.layout)
        except ValueError as error:
            raise ValueError(f'The classifier "{classifier}" does not fit: {error}') from None
        notes = "\n".join([*([said] if said else []), *not_served(loss, capture.words.wishes)])
        words = capture.words.only(lambda wish: wish.relation in loss.relations)
        return io.NodeOutput(Aim(loss, words, layout), notes, ui=ui.PreviewText(notes))
