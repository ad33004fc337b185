"""Write Prompts and Own Generations: a checkpoint's own pictures, labelled by a detector, to train a classifier on."""

from comfy_api.latest import io

from ..steering.judge import Found
from ..steering.pictures import as_pictures
from .composed_scenes import given, of_scenes
from .host import boxes
from .host.screen import SHOWN_AGAIN, show
from .judge import LINKED, BoxesType

# Of COCO's names, which RT-DETR knows.
NAMES = (
    "dog", "cat", "horse", "cow", "sheep", "elephant", "bear", "zebra", "giraffe", "bird", "car", "bus", "truck",
    "bicycle", "motorcycle", "boat", "bench", "chair", "couch", "potted plant", "bottle", "cup", "bowl", "banana",
    "apple", "pizza", "cake", "laptop", "clock", "vase", "teddy bear", "umbrella", "suitcase", "backpack",
)  # fmt: skip
ALIASES = ["learn to steer", "training", "dataset", "self-training", "synthetic"]


class WritePrompts(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_WritePrompts",
            display_name="Write Prompts",
            category="learn-to-steer",
            description="Writes prompts about two things, one left of, right of, above or below the other. Of their "
            "pictures Own Generations makes scenes to train on. What follows runs once for each.",
            search_aliases=["prompt list", "random prompts", *ALIASES],
            inputs=[
                io.String.Input(
                    "names",
                    multiline=True,
                    default="\n".join(NAMES),
                    tooltip="What the prompts are about, one a line, in words that the detector knows.",
                ),
                io.Int.Input("count", default=100, min=1, max=10_000, tooltip="How many prompts."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    control_after_generate=False,
                    tooltip="Other prompts for another seed. The pictures' seeds count on from it.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="prompts",
                    is_output_list=True,
                    tooltip="Go to CLIP Text Encode and to Own Generations.",
                ),
                io.String.Output(
                    display_name="subjects",
                    is_output_list=True,
                    tooltip="The first thing of each prompt, for a detector that is told what to search, and for Name "
                    "Boxes.",
                ),
                io.String.Output(
                    display_name="objects", is_output_list=True, tooltip="The second thing of each prompt, likewise."
                ),
                io.Int.Output(
                    display_name="seeds", is_output_list=True, tooltip="Another for each prompt, for the KSampler."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, names: str, count: int, seed: int) -> io.NodeOutput:
        from ..steering.generated import written

        try:
            made = written(names.splitlines(), count, seed)
        except ValueError as error:
            show(cls, str(error))
            raise
        prompts, subjects, objects = (list(column) for column in zip(*made, strict=True))
        return io.NodeOutput(prompts, subjects, objects, [seed + number for number in range(count)])


class OwnGenerations(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_OwnGenerations",
            display_name="Own Generations",
            category="learn-to-steer",
            description="Makes scenes to train on of a model's own pictures and of what a detector found in them. "
            "Pictures without both things of their prompt are left out.",
            search_aliases=["detect", "bounding box", "bbox", "label", *ALIASES],
            inputs=[
                io.Image.Input("images", tooltip="The pictures, of the prompts in their order."),
                BoxesType.Input(
                    "bboxes",
                    extra_dict=LINKED,
                    tooltip="What a detector found in these pictures: from RTDETR_detect, or, with Name Boxes in "
                    "between, SAM3_Detect.",
                ),
                io.String.Input("prompts", force_input=True, tooltip="From Write Prompts: what the pictures are of."),
            ],
            outputs=of_scenes(
                "A few of the pictures with the boxes of their things.",
                "How many pictures are used, and what was left out and why, as text.",
            ),
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
            is_output_node=True,
            **SHOWN_AGAIN,
        )

    @classmethod
    def execute(cls, images: list, bboxes: list, prompts: list[str]) -> io.NodeOutput:
        from ..steering.generated import scenes

        try:
            pictures = [picture for batch in images for picture in as_pictures(batch)]
            return given(cls, scenes(pictures, _found(images, bboxes), _of_each(images, prompts)))
        except ValueError as error:
            show(cls, str(error))
            raise


def _found(images: list, bboxes: list) -> list[list[Found]]:
    """What was found in each picture of all batches."""
    if len(bboxes) != len(images):
        raise ValueError(
            f"There are {len(images)} batch(es) of images and boxes of {len(bboxes)}. Connect the same pictures to the "
            "detector and to Own Generations."
        )
    return [
        things
        for batch, of_batch in zip(images, bboxes, strict=True)
        for things in boxes.found(of_batch, len(batch), batch.shape[2], batch.shape[1], "Own Generations")
    ]


def _of_each(images: list, prompts: list[str]) -> list[str]:
    """The prompt of each picture: one for each, or one for each batch."""
    pictures = sum(map(len, images))
    if len(prompts) == pictures:
        return prompts
    if len(prompts) != len(images):
        raise ValueError(
            f"There are {len(prompts)} prompt(s) for {pictures} picture(s) in {len(images)} batch(es). Connect prompts "
            "of the Write Prompts that the pictures were made of."
        )
    return [prompt for batch, prompt in zip(images, prompts, strict=True) for _ in range(len(batch))]
