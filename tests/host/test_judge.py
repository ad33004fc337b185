"""Judge, Put Back and Name Boxes: verdicts against true scenes, what is done again, and mistakes in a sentence."""

import comfy.sample
import numpy as np
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from detector import find
from learn_to_steer.nodes import judge as node
from learn_to_steer.nodes.attention_capture import AttentionCapture
from learn_to_steer.nodes.classifier_loss import BUNDLED
from learn_to_steer.nodes.judge import Judge, NameBoxes, PutBack
from learn_to_steer.nodes.relation_parse import RelationParse
from learn_to_steer.steering.losses import Aim
from learn_to_steer.steering.losses.classifier import ClassifierLoss, load
from learn_to_steer.steering.maps import MapLayout
from learn_to_steer.steering.relations import holds
from learn_to_steer.steering.words import Words
from scenes import RELATIONS, Thing, any_kinds, compose, phrase, render

import nodes as host_nodes

PROMPT = "a dog left of a cat"
DOG_LEFT = [Thing("dog", 34, 64, 50), Thing("cat", 94, 64, 50)]
CAT_LEFT = [Thing("dog", 94, 64, 50), Thing("cat", 34, 64, 50)]
CAT_ALONE = [Thing("cat", 34, 64, 50)]
BEST, SAMPLES, INDEX, FAILURES, JUDGED, SHOWN, TEXT = range(7)


def box(thing: Thing, **values) -> dict:
    half = thing.size / 2
    place = {"x": thing.x - half, "y": thing.y - half, "width": thing.size, "height": thing.size}
    return {**place, "label": thing.kind, "score": 0.9} | values


def drawn(*scenes: list[Thing]) -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(np.stack([render(rng, scene) for scene in scenes])).float() / 255


def words_of(text: str) -> Words:
    from learn_to_steer.steering.prompts import parse

    return Words(text, parse(text).wishes, (), (), ())


IMAGES = drawn(DOG_LEFT, CAT_LEFT, CAT_ALONE)
BOXES = [[box(thing) for thing in scene] for scene in (DOG_LEFT, CAT_LEFT, CAT_ALONE)]
LATENT = {"samples": torch.arange(3.0).view(3, 1, 1, 1).expand(3, 8, 16, 16)}


def test_a_batch_is_judged_by_boxes():
    out = Judge.execute(IMAGES, words_of(PROMPT), BOXES, samples=LATENT, latent_image=LATENT).result
    assert torch.equal(out[BEST], IMAGES[:1]) and out[INDEX] == 0
    assert torch.equal(out[SAMPLES]["samples"], LATENT["samples"][:1])
    assert out[FAILURES]["batch_index"] == [1, 2]
    assert out[TEXT].splitlines() == [
        "1 of 3 right; best: picture 1; wrong: 2, 3.",
        "picture 1: right: dog left of cat",
        "picture 2: wrong: dog right of cat",
        "picture 3: wrong: no dog",
    ]
    assert len(out[SHOWN]) == 3 and out[SHOWN].shape[2] == 512


def test_verdicts_by_the_detector_s_boxes_are_those_of_the_true_scenes():
    """0.98 and more, on scenes of two to four things that the detector never saw."""
    rng, right, told = np.random.default_rng(2026), 0, 0
    scenes = [compose(rng, any_kinds(rng, (0.0, 0.4, 0.3, 0.3))) for _ in range(60)]
    pictures = torch.from_numpy(np.stack([render(rng, scene) for scene in scenes])).float() / 255
    for picture, scene, things in zip(pictures, scenes, find(pictures), strict=True):
        subject, other = scene[:2]
        boxes = [[box(thing) for thing in things.values()]]
        for relation in RELATIONS:
            relations = words_of(f"{phrase(subject.kind)} {relation} {phrase(other.kind)}")
            _, ((verdict,),), _ = node.by_boxes(boxes, relations, picture[None])
            right += verdict.granted == holds(relation, subject.found().box, other.found().box)
            told += 1
    assert right / told >= 0.98, right / told


@pytest.mark.parametrize(
    "bboxes, sentence",
    [
        (BOXES[:2], "boxes of 2 picture.s. for 3 picture.s..* to the detector and to Judge."),
        (BOXES[0], "boxes of 1 picture.s. for 3 picture.s."),
        (BOXES[0][0], "boxes of 1 picture.s. for 3 picture.s."),
        (
            [[box(DOG_LEFT[0], x=600)], [], []],
            'box of "dog" goes from 600, 39 to 650, 89 in picture 1, which is 128x128',
        ),
        ([[], [box(DOG_LEFT[0], y=-40)], []], "picture 2, which is 128x128 px: it is a box of another picture"),
        ([[], [box(DOG_LEFT[0], width=float("nan"))], []], "it is a box of another picture"),
        ([[box(DOG_LEFT[0], label=None)], [], []], "box of picture 1 has no label.*Put Name Boxes between"),
        (None, r"connect bboxes.*\(samples, model, positive, loss missing\)"),
    ],
)
def test_boxes_that_do_not_fit_are_a_sentence(bboxes, sentence):
    with pytest.raises(ValueError, match=sentence):
        Judge.execute(IMAGES, words_of(PROMPT), bboxes)


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        ("a dog", "no relation in the prompt, so there is nothing to judge"),
        ("a dog behind a cat", 'Whether it is "behind" cannot be told from boxes'),
    ],
)
def test_wishes_that_boxes_cannot_judge_are_a_sentence(prompt, sentence):
    with pytest.raises(ValueError, match=sentence):
        Judge.execute(IMAGES, words_of(prompt), BOXES)


def test_other_numbers_of_latents_are_a_sentence():
    for name in ("samples", "latent_image"):
        with pytest.raises(ValueError, match=f"3 latent.s. in {name} and 1 picture.s."):
            Judge.execute(IMAGES[:1], words_of(PROMPT), BOXES[:1], **{name: LATENT})


@pytest.mark.parametrize("empty", [[], [[], [], []]])
def test_no_box_at_all_is_told(empty):
    out = Judge.execute(IMAGES, words_of(PROMPT), empty).result
    assert out[TEXT].endswith(
        "picture 3: wrong: no dog and no cat\nNo box in any picture. Is the detector's threshold too high?"
    )


def test_a_word_that_no_box_is_called_like_is_told():
    out = Judge.execute(IMAGES, words_of("a puppy left of a cat"), BOXES).result
    assert out[TEXT].endswith('No box is called like "puppy", only: cat, dog.')


def test_boxes_get_names():
    def nameless(*things: Thing) -> list[dict]:
        return [{k: v for k, v in box(thing).items() if k != "label"} for thing in things]

    dogs, cats = (
        [nameless(scene[0]) for scene in order] for order in ([DOG_LEFT, CAT_LEFT], [DOG_LEFT[1:], CAT_ALONE])
    )
    named = NameBoxes.execute(cats, "cat", NameBoxes.execute(dogs, "dog").result[0]).result[0]
    out = Judge.execute(IMAGES[:2], words_of(PROMPT), named).result
    assert [said[0].reason for said in out[JUDGED]] == ["dog left of cat", "dog right of cat"]
    in_order = NameBoxes.execute(nameless(*DOG_LEFT), " dog \n\ncat").result[0]
    assert Judge.execute(IMAGES[:1], words_of(PROMPT), in_order).result[JUDGED][0][0].granted
    for bboxes, name, others, sentence in (
        (dogs, " ", None, "name is empty"),
        (nameless(*DOG_LEFT), "dog\ncat\nbus", None, "3 names and 2 box.es. in picture 1"),
        (dogs, "dog", cats[:1] + cats, "boxes of 3 picture.s. for 2 picture.s."),
    ):
        with pytest.raises(ValueError, match=sentence):
            NameBoxes.execute(bboxes, name, others)


# --- The model's own look -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared():
    """prepared(demo, text): what the node needs to look: samples apart."""

    def prepared(demo, text: str) -> dict:
        model, clip, _ = demo
        positive, relations, _ = RelationParse.execute(clip, text).result
        (capture,) = AttentionCapture.execute(model, relations).result
        loss = ClassifierLoss(load(BUNDLED / "emoji_world.safetensors"))
        words = relations.only(lambda wish: wish.relation in loss.relations)
        aim = Aim(loss, words, capture.layout(loss.layout))
        return {"relations": relations, "model": model, "positive": positive, "loss": aim}

    return prepared


def test_without_boxes_the_model_looks_itself(demo, prepared):
    """Of one composed scene for each of the four relations, every prompt finds its own."""
    above = [Thing("dog", 64, 34, 50), Thing("cat", 64, 94, 50)]
    below = [Thing("dog", 64, 94, 50), Thing("cat", 64, 34, 50)]
    images = drawn(DOG_LEFT, CAT_LEFT, above, below)
    latents = {"samples": demo[2].encode(images)}
    for number, relation in enumerate(RELATIONS):
        out = Judge.execute(images, samples=latents, **prepared(demo, f"a dog {relation} a cat")).result
        assert [said[0].granted for said in out[JUDGED]] == [number == scene for scene in range(4)], relation
        assert out[INDEX] == number and out[SHOWN].shape[0] == 4


def test_what_the_loss_does_not_serve_is_not_judged(demo, prepared):
    latents = {"samples": demo[2].encode(IMAGES)}
    out = Judge.execute(IMAGES, samples=latents, **prepared(demo, "a dog left of a cat and behind a bus")).result
    assert [verdict.granted for verdict in out[JUDGED][0]] == [True, None]
    with pytest.raises(ValueError, match='cannot tell. "dog . behind . cat" is not steered.*Connect bboxes'):
        Judge.execute(IMAGES, samples=latents, **prepared(demo, "a dog behind a cat"))


def test_a_look_with_what_does_not_belong_together_is_a_sentence(demo, prepared):
    right, latents = prepared(demo, PROMPT), {"samples": torch.zeros(3, 8, 16, 16)}
    other = prepared(demo, "a bus above a car")
    with pytest.raises(ValueError, match='about "a bus above a car" and relations about "a dog left of a cat"'):
        Judge.execute(IMAGES, samples=latents, **right | {"loss": other["loss"]})
    with pytest.raises(ValueError, match='not encoded from "a dog left of a cat"'):
        Judge.execute(IMAGES, samples=latents, **right | {"positive": other["positive"]})
    late = host_nodes.ConditioningSetTimestepRange().set_range(right["positive"], 0.0, 0.2)[0]
    with pytest.raises(ValueError, match="does not act at noise 0.5.*Set noise to"):
        Judge.execute(IMAGES, samples=latents, **right | {"positive": late})
    aim = right["loss"]
    strange = Aim(aim.loss, aim.words, MapLayout("another", *list(vars(aim.layout).values())[1:]))
    with pytest.raises(ValueError, match="another model"):
        Judge.execute(IMAGES, samples=latents, **right | {"loss": strange})
    with pytest.raises(ValueError, match=r"\(model missing\)"):
        Judge.execute(IMAGES, samples=latents, **right | {"model": None})


# --- Doing again what is wrong --------------------------------------------------------------------------------------


def test_what_is_done_again_begins_with_the_noise_of_its_own_picture():
    empty = torch.zeros(3, 8, 16, 16)
    part = Judge.execute(IMAGES, words_of(PROMPT), BOXES, latent_image={"samples": empty}).result[FAILURES]
    noise = comfy.sample.prepare_noise(part["samples"], 7, part["batch_index"])
    assert torch.equal(noise, comfy.sample.prepare_noise(empty, 7)[1:])


def test_a_part_of_a_part_keeps_its_numbers_and_masks():
    masks = torch.arange(2.0).view(2, 1, 1, 1)
    part = node.taken({**LATENT, "batch_index": [4, 5, 6], "noise_mask": masks, "other": 1}, [0, 2])
    assert part["batch_index"] == [4, 6] and part["noise_mask"].flatten().tolist() == [0, 0] and part["other"] == 1
    assert len(node.taken({**LATENT, "noise_mask": masks[:1]}, [0, 2])["noise_mask"]) == 1


def test_nothing_is_done_again_when_nothing_is_wrong():
    out = Judge.execute(IMAGES[:1], words_of(PROMPT), BOXES[:1], latent_image={"samples": torch.zeros(1, 8, 16, 16)})
    blocked, said = out.result[FAILURES], out.result[JUDGED]
    assert isinstance(blocked, ExecutionBlocker) and blocked.message is None
    latent = {"samples": LATENT["samples"][:1]}
    assert PutBack.check_lazy_status(latent, said) == []
    assert PutBack.execute(latent, said).result[0] is latent
    open_end = Judge.execute(IMAGES, words_of(PROMPT), BOXES).result
    assert all("connect its" in open_end[output].message for output in (SAMPLES, FAILURES))


def test_what_was_done_again_takes_its_old_place():
    said = Judge.execute(IMAGES, words_of(PROMPT), BOXES).result[JUDGED]
    assert PutBack.check_lazy_status(LATENT, said) == ["again"]
    again = {"samples": torch.stack([torch.full((8, 16, 16), value) for value in (10.0, 20.0)])}
    assert PutBack.check_lazy_status(LATENT, said, again) == []
    before = LATENT["samples"].clone()
    whole = PutBack.execute(LATENT, said, again).result[0]["samples"]
    assert whole[:, 0, 0, 0].tolist() == [0, 10, 20] and torch.equal(LATENT["samples"], before)
    for latent, other, sentence in (
        ({"samples": before[:2]}, again, "judged 3 picture.s. and there are 2 latent"),
        (LATENT, {"samples": before}, "2 picture.s. are wrong and 3 latent.s. are in again"),
        (LATENT, {"samples": again["samples"][..., :8]}, "Connect what was sampled from failures"),
    ):
        with pytest.raises(ValueError, match=sentence):
            PutBack.execute(latent, said, other)
