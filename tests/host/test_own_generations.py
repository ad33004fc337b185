"""Write Prompts and Own Generations in the host's own execution: the demo model draws, the demo's detector labels."""

import asyncio
from types import SimpleNamespace

import execution
import folder_paths
import pytest
import torch
from comfy_api.latest import io
from detector import find
from learn_to_steer.nodes.demo_model import LoadDemoModel
from learn_to_steer.nodes.judge import BoxesType, NameBoxes
from learn_to_steer.nodes.own_generations import NAMES, OwnGenerations, WritePrompts
from learn_to_steer.steering.dataset import looks
from learn_to_steer.steering.judge import judge
from learn_to_steer.steering.pictures import as_pictures
from learn_to_steer.steering.prompts import parse
from server import PromptServer

import nodes as host_nodes

KEPT: list = []
COUNT, STEPS = 6, 8


class Detect(io.ComfyNode):
    """Stands in for RTDETR_detect, whose weights are not here: boxes in the same form."""

    @classmethod
    def define_schema(cls):
        return io.Schema("StandInDetect", inputs=[io.Image.Input("image")], outputs=[BoxesType.Output()])

    @classmethod
    def execute(cls, image):
        of_all = [
            [
                {"x": t.x - 24, "y": t.y - 24, "width": 48.0, "height": 48.0, "label": t.kind, "score": 0.9}
                for t in things.values()
            ]
            for things in find(image)
        ]
        return io.NodeOutput(of_all)


class Keep(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        inputs = [io.AnyType.Input("images"), io.AnyType.Input("scenes")]
        return io.Schema("StandInKeep", inputs=inputs, outputs=[], is_input_list=True, is_output_node=True)

    @classmethod
    def execute(cls, images, scenes):
        KEPT.append((images, scenes))
        return io.NodeOutput()


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a graph as the host does."""
    for node in (LoadDemoModel, WritePrompts, OwnGenerations, NameBoxes, Detect, Keep):
        node.GET_SCHEMA()
        monkeypatch.setitem(host_nodes.NODE_CLASS_MAPPINGS, node.SCHEMA.node_id, node)
    nobody = SimpleNamespace(client_id=None, sockets={}, last_node_id=None, send_sync=lambda *told: None)
    monkeypatch.setattr(PromptServer, "instance", nobody, raising=False)
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))

    def run(graph: dict) -> dict:
        KEPT.clear()
        valid, error, outputs, errors = asyncio.run(execution.validate_prompt("test", graph, None))
        assert valid, (error, errors)
        cache = {"lru": 0, "ram": 0, "ram_inactive": 0}
        executor = execution.PromptExecutor(nobody, execution.CacheType.CLASSIC, cache)
        executor.execute(graph, "test", {}, outputs)
        return dict(executor.status_messages)

    return run


def graph(names: str, count: int = COUNT, batch: int = 1) -> dict:
    def node(kind: str, **inputs) -> dict:
        return {"class_type": kind, "inputs": inputs}

    return {
        "model": node("L2S_LoadDemoModel"),
        "write": node("L2S_WritePrompts", names=names, count=count, seed=7),
        "text": node("CLIPTextEncode", clip=["model", 1], text=["write", 0]),
        "empty": node("CLIPTextEncode", clip=["model", 1], text=""),
        "latent": node("EmptyLatentImage", width=128, height=128, batch_size=batch),
        "sample": node(
            "KSampler", model=["model", 0], positive=["text", 0], negative=["empty", 0], latent_image=["latent", 0],
            seed=["write", 3], steps=STEPS, cfg=5.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
        "detect": node("StandInDetect", image=["decode", 0]),
        "own": node("L2S_OwnGenerations", images=["decode", 0], bboxes=["detect", 0], prompts=["write", 0]),
        "keep": node("StandInKeep", images=["decode", 0], scenes=["own", 0]),
    }  # fmt: skip


def test_a_model_s_own_pictures_become_scenes(run):
    """Each with its own seed, prompt and boxes, and what does not show both things left out."""
    told = run(graph("dog\ncat\nairplane\ngiraffe\nbanana"))
    assert "execution_success" in told, told
    ((images, (scenes,)),) = KEPT
    prompts, subjects, objects, seeds = WritePrompts.execute("dog\ncat\nairplane\ngiraffe\nbanana", COUNT, 7).result
    assert len(images) == COUNT == len({image.numpy().tobytes() for image in images})
    assert seeds == list(range(7, 7 + COUNT))
    seen = [{(thing.kind, thing.x, thing.y) for thing in find(image)[0].values()} for image in images]
    both = [
        number for number, of in enumerate(seen) if {subjects[number], objects[number]} <= {kind for kind, *_ in of}
    ]
    assert scenes.count == len(both) > 0 and f"{len(both)} of {COUNT} pictures" in scenes.notes
    shown: list = []
    for scene, number in zip(map(scenes.at, range(scenes.count)), both, strict=True):
        assert scene.prompt == prompts[number] and scene.picture == as_pictures(images[number])[0]
        assert {thing.name for thing in scene.found} == {kind for kind, *_ in seen[number]}
        (verdict,) = judge(scene.found, parse(scene.prompt).wishes)
        shown += [look for look in looks(scene, number, 4, 0.5, (0, 1), 0) if look.prompt == scene.prompt]
        assert all(look.true == verdict.granted for look in shown if look.scene == number)
    assert shown


def test_a_sentence_on_the_node_where_names_cannot_be_used(run):
    told = run(graph("dog"))
    error = told["execution_error"]
    assert error["node_type"] == "L2S_WritePrompts"
    assert "at least two different names" in error["exception_message"]


IMAGES = [torch.rand(2, 128, 128, 3), torch.rand(2, 128, 128, 3)]
TEXT = "a dog left of a cat"
DOG = {"x": 10, "y": 40, "width": 40, "height": 40, "label": "dog", "score": 0.9}
CAT = {**DOG, "x": 70, "label": "cat"}
BOXES = [[DOG, CAT], [DOG]]


def test_a_prompt_for_each_picture_or_for_each_batch():
    for prompts in ([TEXT, "a cat left of a dog"], [TEXT, TEXT, "a cat left of a dog", "a cat left of a dog"]):
        scenes, preview, notes = OwnGenerations.execute(IMAGES, [BOXES, BOXES], prompts).result
        assert [scenes.at(number).prompt for number in range(scenes.count)] == [TEXT, "a cat left of a dog"]
        assert [scenes.at(number).picture for number in (0, 1)] == [as_pictures(of)[0] for of in IMAGES]
        assert len(preview) == 2 and notes.endswith("Left out: 2 without all things of their prompt.")
        assert "2 of 4 pictures; 1 are as their prompt says." in notes


@pytest.mark.parametrize(
    ("bboxes", "prompts", "sentence"),
    [
        ([BOXES], [TEXT], "2 batch.es. of images and boxes of 1. .* to the detector and to Own Generations."),
        ([BOXES, BOXES[:1]], [TEXT], "1 picture.s. for 2 picture.s.*to the detector and to Own Generations."),
        ([BOXES, BOXES], [TEXT] * 3, "3 prompt.s. for 4 picture.s. in 2 batch.es."),
        ([BOXES, [[{**DOG, "label": ""}], []]], [TEXT] * 2, "has no label.*Put Name Boxes between"),
        ([[[], []], []], [TEXT] * 2, "None of 4 picture.s. can be used. Left out: 4 without all"),
        ([BOXES, BOXES], ["dog"] * 2, "Left out: 4 of a prompt without a relation"),
    ],
)
def test_mistakes_are_a_sentence(bboxes, prompts, sentence):
    with pytest.raises(ValueError, match=sentence):
        OwnGenerations.execute(IMAGES, bboxes, prompts)


def test_boxes_of_sam_get_the_names_of_their_prompt():
    """SAM3_Detect searches one thing of each prompt, so Name Boxes runs once for each, with lists of one picture."""
    named = []
    for subject, other in (("dog", "cat"), ("cat", "dog")):
        (first,) = NameBoxes.execute([[{**DOG, "label": None}]], subject).result
        named.append(NameBoxes.execute([[{**CAT, "label": None}]], other, others=first).result[0])
    images = [batch[:1] for batch in IMAGES]
    scenes, _, _ = OwnGenerations.execute(images, named, [TEXT, "a cat left of a dog"]).result
    assert [[thing.name for thing in scenes.at(number).found] for number in (0, 1)] == [["dog", "cat"], ["cat", "dog"]]


def test_names_that_are_offered_can_be_used():
    detector = pytest.importorskip("comfy.ldm.rt_detr.rtdetr_v4", reason="older hosts have no such detector")
    prompts, *_ = WritePrompts.execute("\n".join(NAMES), 300, 0).result
    assert len(set(prompts)) > 250 and set(NAMES) < set(detector.COCO_CLASSES)
