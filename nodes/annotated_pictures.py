"""Annotated Pictures: pictures whose things people have marked, to train a classifier on."""

from pathlib import Path

import comfy.model_management
from comfy_api.latest import io

from .composed_scenes import given, of_scenes, place_of
from .host.screen import SHOWN_AGAIN, show

# As in steering/annotated.py, which is read when it is wanted: loading the pack takes next to no time.
SALIENCE, DISTANCE, OVERLAP, SIZES = 0.2, 2.0, 0.3, 0.5


class AnnotatedPictures(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_AnnotatedPictures",
            display_name="Annotated Pictures",
            category="learn-to-steer",
            description="Takes pictures whose things and places are written in a JSON file, to train a classifier on: "
            "COCO, GQA, Visual Genome, or a plain list of your own.",
            search_aliases=[
                "learn to steer",
                "training",
                "dataset",
                "coco",
                "gqa",
                "visual genome",
                "scene graph",
                "compass",
                "boxes",
                "json",
            ],
            inputs=[
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="The folder of the pictures; they may lie in folders in it. A path, or a name in the input "
                    "folder.",
                ),
                io.String.Input(
                    "annotations",
                    default="annotations.json",
                    tooltip="The JSON file that says what is where: COCO's instances, GQA's scene graphs, Visual "
                    "Genome's objects, or your own list. A path, or a name in that folder.",
                ),
                io.Int.Input(
                    "count",
                    default=2000,
                    min=1,
                    max=100_000,
                    tooltip="Most pictures; the first that can be used are taken.",
                ),
                io.Int.Input(
                    "width", default=512, min=64, max=4096, step=8, tooltip="Best what the model was made for, px."
                ),
                io.Int.Input(
                    "height", default=512, min=64, max=4096, step=8, tooltip="Best what the model was made for, px."
                ),
                io.Float.Input(
                    "salience",
                    default=SALIENCE,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Least share of the picture that two things cover together. 0: any.",
                ),
                io.Float.Input(
                    "distance",
                    default=DISTANCE,
                    min=0.1,
                    max=100.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Most between the middles of two things, in diagonals of the smaller one's box. 100: any.",
                ),
                io.Float.Input(
                    "overlap",
                    default=OVERLAP,
                    min=0.01,
                    max=1.01,
                    step=0.05,
                    advanced=True,
                    tooltip="Less than this share of the smaller box may lie in the other one. 1.01: any.",
                ),
                io.Float.Input(
                    "sizes",
                    default=SIZES,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Least area of the smaller box, in parts of the larger one's. 0: any.",
                ),
            ],
            outputs=of_scenes(
                "A few of the pictures with the boxes of their things.",
                "How many pictures are used, and what was left out and why, as text.",
            ),
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
            **SHOWN_AGAIN,
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, annotations: str | None = None, **others) -> str | float:
        """Run again when the pictures or what is said of them are others, and where links tell what these are."""
        from ..steering import annotated

        if folder is None or annotations is None:
            return float("nan")
        place = place_of(folder)
        return annotated.marks(_file(place, annotations), place) if place else ""

    @classmethod
    def execute(
        cls,
        folder: str,
        annotations: str = "annotations.json",
        count: int = 2000,
        width: int = 512,
        height: int = 512,
        salience: float = SALIENCE,
        distance: float = DISTANCE,
        overlap: float = OVERLAP,
        sizes: float = SIZES,
    ) -> io.NodeOutput:
        from ..steering import annotated

        try:
            place = place_of(folder)
            if place is None or not annotations.strip():
                raise ValueError(
                    f"{'annotations' if place else 'folder'} is empty. Name the folder of your pictures in folder, and "
                    "the JSON file that says what is in them in annotations."
                )
            scenes = annotated.scenes(
                _file(place, annotations),
                place,
                (width, height),
                count,
                annotated.Filters(salience, distance, overlap, sizes),
                comfy.model_management.throw_exception_if_processing_interrupted,
            )
            return given(cls, scenes)
        except ValueError as error:
            show(cls, str(error))
            raise


def _file(folder: Path, annotations: str) -> Path:
    """The file that the user means; what is no path is a name in the folder."""
    return folder / Path(annotations.strip().strip('"')).expanduser()
