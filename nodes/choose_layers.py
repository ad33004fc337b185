"""Choose Layers: which of a model's attention layers look at the things that the words name, measured on pictures."""

import torch
from comfy_api.latest import io, ui

from ..steering.judge import Found, judge
from ..steering.layers import Measured, measure, on_grid
from ..steering.maps import MapSettings
from ..steering.pictures import as_images, bars
from ..steering.words import Words
from .host import boxes
from .host.capture import model_layers
from .host.finished import look
from .host.screen import SHOWN_AGAIN
from .judge import LINKED, BoxesType
from .relation_parse import WordsType

NOISE = 0.5


class ChooseLayers(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_ChooseLayers",
            display_name="Choose Layers",
            category="learn-to-steer",
            description="Measures on a few plain pictures which of the model's attention layers look at the things "
            "that the prompt's words name. Needed once a model, for losses without training.",
            search_aliases=["learn to steer", "attention layers", "blocks", "probe", "measure"],
            inputs=[
                io.Model.Input("model", tooltip="The model that drew the pictures, as it was before Steer Model."),
                io.Conditioning.Input("positive", tooltip="The prompt that they were drawn from."),
                WordsType.Input("relations", tooltip="From Relation Parse."),
                io.Latent.Input("samples", tooltip="The finished latents of a few pictures that show the things."),
                BoxesType.Input(
                    "bboxes",
                    optional=True,
                    extra_dict=LINKED,
                    tooltip="Where a detector found the things, as for Judge. Left open, layers are chosen that agree "
                    "with all the others, which is less sure.",
                ),
                io.Image.Input("images", optional=True, tooltip="The pictures that the boxes are of."),
                io.Float.Input(
                    "noise",
                    default=NOISE,
                    min=0.05,
                    max=0.95,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="How noisy the picture is made for the look: 0 clean, 1 pure noise.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="layers", tooltip='A range as "11-19": goes to layers of Attention Capture.'
                ),
                io.Image.Output(display_name="chart", tooltip="How much of a word's map lies on its thing, by layer."),
                io.String.Output(display_name="notes", tooltip="What was measured, as text."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
            **SHOWN_AGAIN,
        )

    @classmethod
    def execute(
        cls, model, positive, relations: Words, samples, bboxes=None, images=None, noise: float = NOISE
    ) -> io.NodeOutput:
        if not relations.rows:
            raise ValueError(
                'There is no relation in the prompt, so there is no word to look for. Write one, for example "a dog '
                'left of a cat".'
            )
        latent = samples["samples"]
        layout = MapSettings("all").layout(model_layers(model))
        things = None if bboxes is None else _things(relations, bboxes, images, len(latent), layout.resolution)
        found = measure(look(model, positive, latent, relations, layout, noise).float().cpu(), things)
        notes = _notes(found, things is not None)
        chart = as_images([bars(found.scores.tolist(), range(found.first - 1, found.last))])
        shown = {**ui.PreviewImage(chart, cls=cls).as_dict(), **ui.PreviewText(notes).as_dict()}
        return io.NodeOutput(f"{found.first}-{found.last}", chart, notes, ui=shown)


def _things(words: Words, bboxes, images, pictures: int, cells: int) -> torch.Tensor:
    """Where the words' things are, (pictures, words, cells, cells); a wish's count where all of them were found."""
    if images is None:
        raise ValueError("Boxes need the pictures that they are of: connect images too.")
    height, width = images.shape[1:3]
    things = torch.zeros(pictures, len(words.rows), cells, cells)
    found: list[list[Found]] = boxes.found(bboxes, pictures, width, height, "Choose Layers")
    for picture, of_picture in enumerate(found):
        for verdict, pair in zip(judge(of_picture, words.wishes), words.pairs, strict=True):
            if verdict.there:
                for word, thing in zip(pair, verdict.things, strict=True):
                    things[picture, word] = on_grid(thing.box, width, height, cells)
    return things


def _notes(found: Measured, boxes_given: bool) -> str:
    layer = int(found.scores.argmax()) + 1
    by = "the boxes" if boxes_given else "what all layers agree on (no boxes given)"
    return (
        f"Layers {found.first} to {found.last} of {len(found.scores)}: {found.score:.2f} by {by}, where 1 is wholly on "
        f"the things and 0 anywhere. The best layer alone is {layer} with {found.scores.max():.2f}, the mean of all "
        f"layers alone {found.scores.mean():.2f}."
    )
