"""Regions from Relations: places for all things, planned from the relations, and a MODEL that draws each in its own."""

import torch
from comfy_api.latest import io, ui

from ..steering.pictures import as_images, planned
from ..steering.plan import cells, plan
from ..steering.words import Words
from .host.binding import bind
from .host.screen import SHOWN_AGAIN, show
from .relation_parse import WordsType

END = 0.25  # of 0.2 to 0.7, on the demo model's tuning pairs: later ends lose more things of two relations
SIDE = 512  # px, of the plan and of the masks, which the host's nodes stretch


class RegionsFromRelations(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_RegionsFromRelations",
            display_name="Regions from Relations",
            category="learn-to-steer",
            description="Plans where each thing of the prompt goes, so that all relations hold, and lets the model see "
            "each word only there in the first steps. Fast, for any model, alone or together with steering.",
            search_aliases=[
                "learn to steer",
                "regional prompting",
                "region binding",
                "attention couple",
                "attention mask",
                "layout",
                "boxes",
                "stitch",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model to bind; it is cloned, not changed."),
                WordsType.Input("relations", tooltip="From Relation Parse."),
                io.Float.Input(
                    "end",
                    default=END,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Until when words are bound, as a share of the schedule; 0.25 of 20 steps is steps 1 to 5. "
                    "Longer holds things in place, shorter lets them blend in. 0: never.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="How much of a word's attention outside its region is taken away, and of the other words' "
                    "inside: 1 all, 0 none.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The bound model: goes to any sampler, with the positive of Relation Parse, or to Steer "
                    "Model.",
                ),
                io.Mask.Output(
                    display_name="regions",
                    tooltip="Each word's region as a mask, in the prompt's order, for other nodes.",
                ),
                io.Image.Output(display_name="plan", tooltip="The regions as a picture, with their words."),
                io.String.Output(display_name="text", tooltip="The regions as text, one a line."),
            ],
            hidden=[io.Hidden.unique_id],
            **SHOWN_AGAIN,
        )

    @classmethod
    def execute(cls, model, relations: Words, end: float = END, strength: float = 1.0) -> io.NodeOutput:
        try:
            places = plan(relations)
            bound = bind(model, relations, places, end, strength)
        except ValueError as error:
            show(cls, str(error))
            raise
        lines = [
            f"{name}: {left:.0%} to {right:.0%} across, {top:.0%} to {bottom:.0%} down"
            for name, (left, top, right, bottom) in zip(relations.names, places, strict=True)
        ] or ["No place or relation found: there are no regions."]
        masks = [cells(place, SIDE, SIDE).float() for place in places] or [torch.zeros(SIDE, SIDE)]
        picture = planned(places, list(relations.names), (SIDE, SIDE))
        text = "\n".join(lines)
        return io.NodeOutput(bound, torch.stack(masks), as_images([picture]), text, ui=ui.PreviewText(text))
