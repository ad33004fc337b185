"""Judge: which pictures are as the prompt says, and the best; Put Back: those that were wrong and are done again."""

from collections.abc import Sequence

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..steering import judge
from ..steering.judge import Found, Verdict
from ..steering.losses import Aim, Moment, not_served
from ..steering.maps import shapes
from ..steering.pictures import as_images, as_pictures, judged, overlay
from ..steering.relations import RELATIONS
from ..steering.words import Words
from .classifier_loss import LossType
from .host import boxes
from .host.check import check_fits
from .host.finished import look
from .host.screen import SHOWN_AGAIN, show
from .relation_parse import WordsType

JudgedType = io.Custom("L2S_JUDGED")
BoxesType = io.Custom("BOUNDING_BOX")
LINKED = {"forceInput": True}  # else the editor makes a widget of boxes
Said = list[list[Verdict]]  # of each picture, of each wish
TARGET, NOISE = 0.5, 0.5  # of a look
ALIASES = ["learn to steer", "verify", "score", "rank", "detect", "bounding box", "bbox", "geneval"]


class Judge(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_Judge",
            display_name="Judge",
            category="learn-to-steer",
            description="Says of each picture whether things are where the prompt says: by a detector's boxes, or by "
            "a second look of the model itself. Gives the best one, and what is to be done again.",
            search_aliases=["best of batch", "pick", *ALIASES],
            inputs=[
                io.Image.Input("images", tooltip="The pictures to judge."),
                WordsType.Input("relations", tooltip="From Relation Parse: what should be where."),
                BoxesType.Input(
                    "bboxes",
                    optional=True,
                    extra_dict=LINKED,
                    tooltip="What a detector found in these pictures: from RTDETR_detect, or, with Name Boxes in "
                    "between, SAM3_Detect or Create Bounding Boxes. Leave open to let the model itself look.",
                ),
                io.Latent.Input(
                    "samples",
                    optional=True,
                    tooltip="The finished latent of the pictures. Needed for best_samples, and for the model's look.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Without boxes: the model that drew the pictures, as it was before Steer Model.",
                ),
                io.Conditioning.Input(
                    "positive", optional=True, tooltip="Without boxes: the prompt that they were drawn from."
                ),
                LossType.Input("loss", optional=True, tooltip="Without boxes: from L2S Classifier Loss."),
                io.Latent.Input(
                    "latent_image",
                    optional=True,
                    tooltip="The latent that the sampler began with. Needed for failures.",
                ),
                io.Float.Input(
                    "target",
                    default=TARGET,
                    min=0.05,
                    max=0.9999,
                    step=0.01,
                    round=False,
                    optional=True,
                    advanced=True,
                    tooltip="Without boxes: a relation that is read with this probability is right.",
                ),
                io.Float.Input(
                    "noise",
                    default=NOISE,
                    min=0.05,
                    max=0.95,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Without boxes: how noisy the picture is made for the look: 0 clean, 1 pure noise.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="best",
                    tooltip="The picture with most relations right; of several, the one that is surest.",
                ),
                io.Latent.Output(display_name="best_samples", tooltip="The same from samples."),
                io.Int.Output(display_name="index", tooltip="Which one it is, counted from 0."),
                io.Latent.Output(
                    display_name="failures",
                    tooltip="latent_image with nothing but the pictures that are wrong, each with its own noise: goes "
                    "to Steered KSampler, with the seed of the first run. Nothing runs after it when none is wrong.",
                ),
                JudgedType.Output(display_name="judged", tooltip="Goes to Put Back."),
                io.Image.Output(
                    display_name="shown",
                    tooltip="The pictures with their boxes, or the model's look, and the verdicts below.",
                ),
                io.String.Output(display_name="verdicts", tooltip="The verdicts and their reasons as text."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
            **SHOWN_AGAIN,
        )

    @classmethod
    def execute(
        cls, images, relations: Words, bboxes=None, samples=None, model=None, positive=None,
        loss: Aim | None = None, latent_image=None, target: float = TARGET, noise: float = NOISE,
    ) -> io.NodeOutput:  # fmt: skip
        try:
            check(relations, images, samples=samples, latent_image=latent_image)
            pictures = as_pictures(images)
            found: list[list[Found]] = [[] for _ in pictures]
            notes: list[str] = []
            if bboxes is not None:
                found, said, notes = by_boxes(bboxes, relations, images)
            else:
                looks_with = {"samples": samples, "model": model, "positive": positive, "loss": loss}
                if missing := [name for name, given in looks_with.items() if given is None]:
                    raise ValueError(
                        "Nothing to judge by: connect bboxes from a detector, or, to let the model itself look, all of "
                        f"{', '.join(looks_with)} ({', '.join(missing)} missing)."
                    )
                assert loss is not None
                said, maps = by_look(samples["samples"], model, positive, loss, relations, target, noise)
                names = list(loss.words.names)
                pictures = [overlay(picture, seen, names) for picture, seen in zip(pictures, maps, strict=True)]
        except ValueError as error:
            show(cls, str(error))
            raise
        text = "\n".join([judge.text(said), *notes])
        sheets = as_images([judged(*of_one) for of_one in zip(pictures, found, said, strict=True)])
        best, again = judge.best(said), judge.failing(said)
        return io.NodeOutput(
            images[best : best + 1],
            _or_wanted("samples", samples, [best]),
            best,
            _or_wanted("latent_image", latent_image, again),
            said,
            sheets,
            text,
            ui={**ui.PreviewImage(sheets, cls=cls).as_dict(), **ui.PreviewText(text).as_dict()},
        )


def check(relations: Words, images, **latents) -> None:
    """Raises ValueError where there is nothing to judge, or a latent is not that of the pictures."""
    if not relations.wishes:
        raise ValueError(
            'There is no relation in the prompt, so there is nothing to judge. Write one, for example "a dog left of '
            'a cat", or give it in corrections of Relation Parse.'
        )
    for name, latent in latents.items():
        if latent is not None and len(latent["samples"]) != len(images):
            raise ValueError(
                f"There are {len(latent['samples'])} latent(s) in {name} and {len(images)} picture(s) in images. "
                "Connect the latent of these pictures."
            )


def by_boxes(bboxes, relations: Words, images) -> tuple[list[list[Found]], Said, list[str]]:
    """What was found in each picture, what is to be said of it, and what is strange about the boxes."""
    if not any(RELATIONS[wish.relation].visible for wish in relations.wishes):
        raise ValueError(
            f'Whether it is "{relations.wishes[0].relation}" cannot be told from boxes, and nothing else is wished '
            "for. Disconnect bboxes and let the model itself look, if its loss knows this relation."
        )
    found = boxes.found(bboxes, len(images), images.shape[2], images.shape[1], "Judge")
    whole = 0, 0, images.shape[2], images.shape[1]
    said = [judge.judge(things, relations.wishes, whole) for things in found]
    names = sorted({thing.name for things in found for thing in things})
    if not names:
        return found, said, ["No box in any picture. Is the detector's threshold too high?"]
    unlike = [f'"{text}"' for text in judge.unknown(found, relations.wishes)]
    notes = [f"No box is called like {' or '.join(unlike)}, only: {', '.join(names)}."] if unlike else []
    return found, said, notes


def by_look(
    latent: Tensor, model, positive, aim: Aim, relations: Words, target: float, noise: float
) -> tuple[Said, Tensor]:
    """What the loss says of finished latents, and the maps that it saw, (B, words, R, R)."""
    if aim.words.prompt != relations.prompt:
        raise ValueError(
            f'The loss is about "{aim.words.prompt}" and relations about "{relations.prompt}". Connect the same '
            "Relation Parse to both."
        )
    if not aim.words.wishes:
        raise ValueError(f"The model itself cannot tell. {not_served(aim.loss, relations.wishes)[0]} Connect bboxes.")
    check_fits(model, aim.layout)
    maps = look(model, positive, latent, aim.words, aim.layout, noise)
    for module in aim.loss.modules:
        module.to(maps.device)
    read = aim.loss.score(maps, aim.words, Moment(noise)).satisfaction.tolist()
    said = []
    for of_picture in read:
        sure = dict(zip(aim.words.wishes, of_picture, strict=True))
        said.append(judge.read(relations.wishes, [sure.get(wish) for wish in relations.wishes], target))
    return said, shapes(maps.float()).mean(2).cpu()


def taken(latent: dict, numbers: Sequence[int]) -> dict:
    """These pictures of a LATENT, each with its own noise (the host's batch_index) and mask."""
    count = len(latent["samples"])
    part = {**latent, "samples": latent["samples"][numbers]}
    part["batch_index"] = [latent.get("batch_index", range(count))[number] for number in numbers]
    if (mask := latent.get("noise_mask")) is not None and len(mask) > 1:
        part["noise_mask"] = mask[[number % len(mask) for number in numbers]]
    return part


def _or_wanted(name: str, latent: dict | None, numbers: list[int]):
    """These pictures of the latent; where there are none, what keeps the nodes that follow from running."""
    if latent is None:
        return ExecutionBlocker(f"Judge cannot give this: connect its {name}.")
    return taken(latent, numbers) if numbers else ExecutionBlocker(None)


class PutBack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_PutBack",
            display_name="Put Back",
            category="learn-to-steer",
            description="Puts what was sampled again in the place of the pictures that Judge found wrong; the others "
            "stay as they were. When none is wrong, nothing is sampled again.",
            search_aliases=["steer only failures", "merge batch", "replace in batch", *ALIASES],
            inputs=[
                io.Latent.Input("samples", tooltip="The finished latent that Judge judged."),
                JudgedType.Input("judged", tooltip="From Judge."),
                io.Latent.Input(
                    "again",
                    lazy=True,
                    tooltip="Judge's failures, sampled again, by Steered KSampler for example. Runs only if needed.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="All pictures, in their old order.")],
        )

    @classmethod
    def check_lazy_status(cls, samples, judged, again=None):
        return ["again"] if again is None and judge.failing(judged) else []

    @classmethod
    def execute(cls, samples, judged: Said, again=None) -> io.NodeOutput:
        wrong, whole = judge.failing(judged), samples["samples"]
        if len(judged) != len(whole):
            raise ValueError(
                f"Judge judged {len(judged)} picture(s) and there are {len(whole)} latent(s) in samples. Connect the "
                "latent that was decoded for Judge."
            )
        if not wrong:
            return io.NodeOutput(samples)
        if again["samples"].shape != (len(wrong), *whole.shape[1:]):
            raise ValueError(
                f"{len(wrong)} picture(s) are wrong and {len(again['samples'])} latent(s) are in again, of "
                f"{tuple(again['samples'].shape[1:])} where samples has {tuple(whole.shape[1:])}. Connect what was "
                "sampled from failures of the same Judge."
            )
        mended = whole.clone()
        mended[wrong] = again["samples"].to(mended)
        return io.NodeOutput({**samples, "samples": mended})


class NameBoxes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="L2S_NameBoxes",
            display_name="Name Boxes",
            category="learn-to-steer",
            description="Says what boxes without a label are boxes of, for Judge: those of SAM3_Detect, which searches "
            "one thing a node, or those drawn in Create Bounding Boxes.",
            search_aliases=["label boxes", "merge boxes", *ALIASES],
            inputs=[
                BoxesType.Input("bboxes", extra_dict=LINKED, tooltip="From a detector, or from Create Bounding Boxes."),
                io.String.Input(
                    "name",
                    multiline=True,
                    tooltip='What they are boxes of, in the words of the prompt: "dog". Or one name a line, in the '
                    "order of a picture's boxes.",
                ),
                BoxesType.Input(
                    "others",
                    optional=True,
                    extra_dict=LINKED,
                    tooltip="Boxes of the same pictures to put these beside.",
                ),
            ],
            outputs=[BoxesType.Output(display_name="bboxes", tooltip="Goes to Judge, or to the next Name Boxes.")],
        )

    @classmethod
    def execute(cls, bboxes, name: str, others=None) -> io.NodeOutput:
        return io.NodeOutput(boxes.named(bboxes, name, others))
