"""Attention Capture: which maps to read from a model; and a picture of what they see."""

from dataclasses import dataclass

import comfy.utils
from comfy_api.latest import io

from ..steering.maps import MapLayout, MapSettings, ModelLayers, shapes
from ..steering.pictures import as_images, as_pictures, overlay, relative
from ..steering.words import Words
from .host.capture import model_layers
from .host.finished import look
from .relation_parse import WordsType


@dataclass(frozen=True)
class Capture:
    """The words whose maps are wanted, what the model has to read, and what the user wants of it."""

    words: Words
    layers: ModelLayers
    settings: MapSettings

    def layout(self, wanted: MapLayout | None = None) -> MapLayout:
        """As MapSettings.layout."""
        return self.settings.layout(self.layers, wanted)


CaptureType = io.Custom("L2S_CAPTURE")


class AttentionCapture(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_AttentionCapture",
            display_name="Attention Capture",
            category="learn-to-steer",
            description="Chooses which attention is read: where the model looks for each word. Leave the settings on "
            "auto: then they are as the loss wants them.",
            search_aliases=["cross attention", "attention maps", "daam", "learn to steer"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be steered. It is not changed."),
                WordsType.Input("relations", tooltip="From Relation Parse."),
                io.String.Input(
                    "layers",
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip='Attention layers to read: "auto" as the loss wants, "all", or a range like "2-5". A pass '
                    "ends with the last of them, so fewer are faster.",
                ),
                io.Combo.Input(
                    "heads",
                    options=["auto", "averaged", "kept"],
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="auto: as the loss wants. averaged: one map a layer. kept: one for every attention head.",
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=64,
                    step=4,
                    optional=True,
                    advanced=True,
                    tooltip="Cells along each side of a map, whatever the picture's size. 0: as the loss wants.",
                ),
                io.Combo.Input(
                    "softmax",
                    options=["auto", "text", "whole"],
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="auto: as the loss wants. text: shared out among the words only. whole: among words and "
                    "picture; differs only in models such as Flux and SD3.",
                ),
            ],
            outputs=[
                CaptureType.Output(
                    display_name="capture",
                    tooltip="Goes to L2S Classifier Loss and to Preview Attention Maps.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        relations: Words,
        layers: str = "auto",
        heads: str = "auto",
        resolution: int = 0,
        softmax: str = "auto",
    ) -> io.NodeOutput:
        capture = Capture(relations, model_layers(model), MapSettings(layers, heads, resolution, softmax))
        capture.layout()  # a range that the model does not have is said here
        return io.NodeOutput(capture)


class PreviewAttentionMaps(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_PreviewAttentionMaps",
            display_name="Preview Attention Maps",
            category="learn-to-steer",
            description="Shows, for each word of the relations, where in a finished picture the model attends to it.",
            search_aliases=["heat map", "daam", "attention overlay", "learn to steer"],
            inputs=[
                io.Model.Input("model", tooltip="The model that drew the picture."),
                io.Conditioning.Input("positive", tooltip="The prompt that it was drawn from."),
                CaptureType.Input("capture", tooltip="From Attention Capture."),
                io.Latent.Input("samples", tooltip="The finished latent, from any sampler."),
                io.Image.Input("images", tooltip="The same latent, decoded by VAE Decode."),
                io.Float.Input(
                    "noise",
                    default=0.5,
                    min=0.05,
                    max=0.95,
                    step=0.05,
                    optional=True,
                    tooltip="How noisy the picture is made for the look: 0 clean, 1 pure noise.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlays",
                    tooltip="One picture per word, coloured where the model looks, "
                    "with the word at the brightest place.",
                ),
                io.Mask.Output(
                    display_name="maps",
                    tooltip="The same as masks in 0..1 for other nodes, each stretched to its own brightest place.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model, positive, capture: Capture, samples, images, noise: float = 0.5) -> io.NodeOutput:
        if not capture.words.rows:
            raise ValueError(
                'There is no relation in the prompt, so there is no word to show. Write one, for example "a '
                'dog left of a cat".'
            )
        latent = samples["samples"]
        if len(latent) != len(images):
            raise ValueError(
                f"There are {len(latent)} latent(s) in samples and {len(images)} picture(s) in images. Each picture is "
                "shown with the maps of its own latent: connect the pictures that VAE Decode makes of these samples, "
                "or take the same ones out of both (Get Latent From Batch, Get Image From Batch)."
            )
        maps = look(model, positive, latent, capture.words, capture.layout(), noise)
        maps = shapes(maps.float()).mean(2).cpu()  # (B, words, R, R): the mean of all layers
        overlays = [
            overlay(picture, of_picture[word : word + 1], [name], word)
            for picture, of_picture in zip(as_pictures(images), maps, strict=True)
            for word, name in enumerate(capture.words.names)
        ]
        masks = comfy.utils.common_upscale(
            relative(maps.flatten(0, 1))[:, None],
            images.shape[2],
            images.shape[1],
            "bicubic",
            "disabled",
        )[:, 0]  # (B * words, H, W)
        return io.NodeOutput(as_images(overlays), masks.clamp(0, 1))
