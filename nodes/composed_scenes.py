"""Composed Scenes: pictures whose things are known, put together from cut-outs, to train a classifier on."""

from pathlib import Path
from typing import TYPE_CHECKING

import folder_paths
from comfy_api.latest import io, ui

from ..steering.pictures import as_images, boxed
from .host.screen import SHOWN_AGAIN, show

if TYPE_CHECKING:
    from ..steering.compose import Cutout
    from ..steering.dataset import Scenes

ScenesType = io.Custom("L2S_SCENES")
# As in steering/compose.py, which is read when it is wanted: loading the pack takes next to no time.
LOOKS, MOST, SIZES = ("drawn", "rendered", "clipart", "photographed"), 4, (0.14, 0.6)
ALL = "all"
BUT = "all but "
SHOWN, SIDE = 6, 768  # scenes in the preview, and their longest side, px


class ComposedScenes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_ComposedScenes",
            display_name="Composed Scenes",
            category="learn-to-steer",
            description="Makes pictures whose things are known, to train a classifier on: cut-outs of many kinds and "
            "looks on backgrounds, and your own transparent pictures among them. Needs no download and no detector.",
            search_aliases=[
                "learn to steer",
                "training",
                "dataset",
                "synthetic",
                "cut-outs",
                "cutouts",
                "emoji",
                "boxes",
            ],
            inputs=[
                io.Int.Input("count", default=2000, min=1, max=100_000, tooltip="How many scenes."),
                io.Int.Input(
                    "width", default=512, min=64, max=4096, step=8, tooltip="Best what the model was made for, px."
                ),
                io.Int.Input(
                    "height", default=512, min=64, max=4096, step=8, tooltip="Best what the model was made for, px."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    control_after_generate=False,  # the editor would draw another after each run, as for samplers
                    tooltip="Other scenes for another seed; the same ones for the same.",
                ),
                io.Int.Input("most", default=MOST, min=2, max=MOST, tooltip="Most things in a scene; least is 2."),
                io.Boolean.Input("bundled", default=True, tooltip="Use the cut-outs that come with this pack."),
                io.Combo.Input(
                    "looks",
                    [ALL, *LOOKS, *(BUT + look for look in LOOKS)],
                    default=ALL,
                    tooltip="Which of the bundled looks to use: drawn is emoji, rendered is emoji in 3D, clipart is "
                    "drawings, photographed is photos.",
                ),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="A folder of your own PNGs or WebPs with transparent backgrounds, named by what they show, "
                    'as "red car.png", "red car 2.png", or in subfolders so named. A path, or a name in the input '
                    "folder. Empty: none.",
                ),
                io.String.Input(
                    "kinds",
                    multiline=True,
                    default="",
                    tooltip='Only these kinds, a line or comma each; empty: all. "cat: rendered clipart" takes a kind '
                    "in these looks only.",
                ),
                io.Float.Input(
                    "smallest",
                    default=SIZES[0],
                    min=SIZES[0],
                    max=SIZES[1],
                    step=0.02,
                    advanced=True,
                    tooltip="Longer side of the smallest things, in the picture's shorter side. Up: the model draws "
                    "none so small.",
                ),
                io.Float.Input(
                    "clutter",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.1,
                    advanced=True,
                    tooltip="How busy backgrounds are. Down: the model draws bare ones; 0 is bare.",
                ),
            ],
            outputs=of_scenes(
                "A few scenes with the boxes of their things.",
                "What the scenes are of, and what was left out, as text.",
            ),
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
            **SHOWN_AGAIN,
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str = "", **given) -> str:
        """Run again when the user's pictures are others."""
        from ..steering import compose

        place = place_of(folder)
        return compose.marks(place) if place and place.is_dir() else ""

    @classmethod
    def execute(
        cls,
        count: int,
        width: int,
        height: int,
        seed: int,
        most: int,
        bundled: bool,
        looks: str,
        folder: str,
        kinds: str,
        smallest: float = SIZES[0],
        clutter: float = 1.0,
    ) -> io.NodeOutput:
        from ..steering import compose

        try:
            cutouts, left_out = _cutouts(bundled, looks, folder, (width, height))
            chosen, size = compose.chosen(cutouts, kinds), (width, height)
            scenes = compose.scenes(chosen, count, size, seed, most, smallest, clutter, left_out)
        except ValueError as error:
            show(cls, str(error))
            raise
        return given(cls, scenes)


def of_scenes(preview: str, notes: str) -> list:
    """Outputs of a node that makes scenes, with their tooltips; `given` fills them."""
    return [
        ScenesType.Output(display_name="scenes", tooltip="Goes to Record Maps."),
        io.Image.Output(display_name="preview", tooltip=preview),
        io.String.Output(display_name="notes", tooltip=notes),
    ]


def given(node, scenes: "Scenes") -> io.NodeOutput:
    """What a node that makes scenes gives and shows: scenes, the first few with their boxes, and notes."""
    few = [scenes.at(number) for number in range(min(SHOWN, scenes.count))]
    pictures = [boxed(scene.picture, scene.found) for scene in few if scene.picture.size == few[0].picture.size]
    for picture in pictures:
        picture.thumbnail((SIDE, SIDE))
    preview = as_images(pictures)
    notes = "\n".join(filter(None, [scenes.made, scenes.notes]))
    shown = {**ui.PreviewImage(preview, cls=node).as_dict(), **ui.PreviewText(notes).as_dict()}
    return io.NodeOutput(scenes, preview, notes, ui=shown)


def _cutouts(bundled: bool, looks: str, folder: str, size: tuple[int, int]) -> tuple[tuple["Cutout", ...], str]:
    """All cut-outs that the inputs ask for, and a sentence on the user's that were left out."""
    from ..steering import compose

    place = place_of(folder)
    if not bundled and not place:
        raise ValueError("There is nothing to compose: switch bundled on, or name a folder of your own pictures.")
    taken = [look for look in LOOKS if looks in (ALL, look) or (looks.startswith(BUT) and looks != BUT + look)]
    ours = tuple(cutout for cutout in compose.bundled() if cutout.look in taken) if bundled else ()
    theirs, left_out = compose.own(place, compose.largest(size)) if place else ((), "")
    return ours + theirs, left_out


def place_of(folder: str) -> Path | None:
    """The folder that the user means; what is no path is a name in the input folder."""
    name = folder.strip().strip('"')
    return Path(folder_paths.get_input_directory()) / Path(name).expanduser() if name else None
