"""The demo model's workflows in a real ComfyUI server, as an artist would run them."""

import contextlib
import copy
import itertools
import json
import re
import threading
import time
import urllib.parse

import detector
import numpy as np
import pytest
import torch
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.judge import judge
from learn_to_steer.steering.prompts import parse
from live_server import (
    NOT_RUN,
    PACK,
    PRIMITIVE,
    ROOT,
    choices,
    inputs,
    is_widget,
    node_id,
    serving,
    to_api,
    widgets,
)
from PIL import Image

import demo as demo_script
import workflows

BUNDLED = sorted((ROOT / "workflows").glob("*.json"))
WORKFLOWS = [path for path in BUNDLED if "(emoji demo)" in path.stem]
DEMO = ROOT / "workflows" / "Steered against plain (emoji demo).json"
PLAIN, STEERED, MENDED = "learn-to-steer/plain", "learn-to-steer/steered", "learn-to-steer/mended"
turns = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("comfyui")) as running:
        yield running


@pytest.fixture(scope="module")
def object_info(server):
    return server.object_info()


@pytest.fixture
def demo(object_info):
    return to_api(json.loads(DEMO.read_text()), object_info)


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return request.param


@pytest.fixture(params=BUNDLED, ids=lambda path: path.stem)
def bundled(request):
    """One of all, the families' included."""
    return request.param


def picture(server, graph, prefix) -> np.ndarray:
    """The picture that the graph saves under this prefix, sampled anew."""
    graph = copy.deepcopy(graph)
    for node in graph.values():
        if "KSampler" in node["class_type"]:
            # No input of theirs, so it changes nothing but what the server remembers them by.
            node["inputs"]["turn"] = next(turns)
    save = node_id(graph, "SaveImage", filename_prefix=prefix)
    outputs, _ = server.run(graph, [save])
    return server.image(outputs[save]["images"][0])


def test_there_are_nine_workflows():
    assert len(WORKFLOWS) == 9 and DEMO in WORKFLOWS


def test_template_is_listed_with_its_picture(server, bundled):
    assert bundled.stem in server.templates()[PACK]
    thumbnail = urllib.parse.quote(f"{bundled.stem}.jpg")
    assert server.open(f"/api/workflow_templates/{PACK}/{thumbnail}").startswith(b"\xff\xd8")


def test_workflow_fits_the_nodes(object_info, workflow):
    saved = json.loads(workflow.read_text())
    for node in saved["nodes"]:
        if node["type"] not in NOT_RUN:
            assert len(node["widgets_values"]) == len(widgets(object_info[node["type"]]))
    for node in to_api(saved, object_info).values():
        specs = inputs(object_info[node["class_type"]])
        assert node["inputs"].keys() <= specs.keys()
        assert object_info[node["class_type"]]["input"]["required"].keys() <= node["inputs"].keys()
        for name, value in node["inputs"].items():
            options = choices(specs[name])
            assert isinstance(value, list) or is_widget(specs[name])
            assert isinstance(value, list) or options is None or value in options


def test_bypassed_nodes_and_their_links_are_left_out(object_info):
    saved = json.loads(DEMO.read_text())
    for node in saved["nodes"]:
        if node["type"] in ("PreviewAny", "EmptyLatentImage"):
            node["mode"] = 4
    graph = to_api(saved, object_info)
    assert not {"PreviewAny", "EmptyLatentImage"} & {node["class_type"] for node in graph.values()}
    assert "latent_image" not in graph[node_id(graph, "KSampler")]["inputs"]


def test_one_node_of_the_editor_holds_the_seed_of_both_samplers(object_info):
    saved = json.loads(DEMO.read_text())
    (held,) = (node for node in saved["nodes"] if node["type"] == PRIMITIVE)
    held["widgets_values"][0] = 7
    graph = to_api(saved, object_info)
    assert str(held["id"]) not in graph
    for kind in ("KSampler", "L2S_SteeredKSampler"):
        assert graph[node_id(graph, kind)]["inputs"]["seed"] == 7


def test_nodes_do_not_overlap(bundled):
    nodes = json.loads(bundled.read_text())["nodes"]
    for a, b in itertools.combinations(nodes, 2):
        apart = (
            a["pos"][axis] + a["size"][axis] + title <= b["pos"][axis]
            or b["pos"][axis] + b["size"][axis] + title <= a["pos"][axis]
            for axis, title in enumerate((0, 30))
        )
        assert any(apart), (a["type"], b["type"])


@pytest.fixture(scope="module")
def pictures():
    """workflows.pictures, which runs a graph; one that was run before is not run again, and one that trains does so in
    small."""
    made, original = {}, workflows.pictures
    small = {
        "L2S_ComposedScenes": {"count": 48},
        "L2S_RecordMaps": {"looks": 2},
        "L2S_TrainClassifier": {"steps": 20, "batch": 16},
    }

    def run(server, graph: dict) -> list[np.ndarray]:
        for node in graph.values():
            node["inputs"] |= small.get(node["class_type"], {})
        key = json.dumps(graph, sort_keys=True)
        if key not in made:
            made[key] = original(server, graph)
        return made[key]

    return run


def test_workflow_makes_pictures(server, object_info, workflow, pictures):
    graph = to_api(json.loads(workflow.read_text()), object_info)
    saved_pictures = pictures(server, graph)
    assert saved_pictures
    for shown in saved_pictures:
        assert shown.shape == (128, 128, 3) and shown.std() > 5


def test_bundled_workflows_are_what_is_written(server, pictures, tmp_path, monkeypatch):
    """And their pictures have the same size."""
    monkeypatch.setattr(workflows, "serving", lambda: contextlib.nullcontext(server))
    monkeypatch.setattr(workflows, "pictures", pictures)
    workflows.main(["--into", str(tmp_path)])
    written = sorted((tmp_path / "workflows").iterdir())
    assert [path.name for path in written] == sorted(path.name for path in (ROOT / "workflows").iterdir())
    for path in written:
        bundled = ROOT / "workflows" / path.name
        if path.suffix == ".json":
            assert path.read_text() == bundled.read_text(), path.name
        else:
            with Image.open(path) as new, Image.open(bundled) as old:
                assert (new.format, new.size) == (old.format, old.size), path.name


def test_the_demo_judges_its_pictures(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_script, "serving", lambda: contextlib.nullcontext(server))
    demo_script.main(["--into", str(tmp_path), "--more", "0"])
    said = capsys.readouterr().out
    for model in ("UNet", "transformer"):
        assert re.search(
            rf"{model}, giraffe above airplane: plain shows .*, steered shows giraffe above airplane \(", said
        )
        assert re.search(rf"{model}, right: plain \d of 1, steered 1 of 1\.", said)
    names = {"demo.png", *(f"{model}-{half}-1.png" for model in ("UNet", "transformer") for half in demo_script.HALVES)}
    assert {path.name for path in (tmp_path / "output").iterdir()} == names


def test_steered_picture_has_the_giraffe_above_the_airplane(server, demo):
    shown = torch.from_numpy(picture(server, demo, STEERED).copy())[None] / 255
    (things,) = detector.find(shown)
    wishes = parse(demo[node_id(demo, "L2S_RelationParse")]["inputs"]["text"]).wishes
    (verdict,) = judge([thing.found() for thing in things.values()], wishes)
    assert verdict.reason == "giraffe above airplane" and verdict.granted


def test_nodes_show_what_was_understood(server, demo):
    words = node_id(demo, "L2S_RelationParse")
    understood = node_id(demo, "PreviewAny", source=[words, 2])
    prompt = "a dog left of a cat and above a bus, a cat behind a tree"
    demo[words]["inputs"]["text"] = prompt
    lines = "dog | left of | cat\ndog | above | bus\ncat | behind | tree"
    outputs, _ = server.run(demo, [understood])
    assert outputs[words]["text"] == [lines]
    demo[words]["inputs"]["corrections"] = "cat#2 | left | bus"
    outputs, _ = server.run(demo, [understood])
    assert outputs[words]["text"] == ["cat | left of | bus"]


def test_corrections_that_do_not_fit_stand_on_the_node(server, demo):
    words = node_id(demo, "L2S_RelationParse")
    demo[words]["inputs"]["corrections"] = "cow | above | airplane"
    with pytest.raises(
        RuntimeError,
        match='L2S_RelationParse: Line 1, "cow . above . airplane": "cow" is not in the',
    ):
        server.run(demo, [node_id(demo, "PreviewAny", source=[words, 2])])


def test_two_runs_are_identical(server, demo):
    for prefix in (PLAIN, STEERED):
        first, second = (picture(server, demo, prefix) for _ in range(2))
        assert np.array_equal(first, second)


def test_strength_0_is_the_plain_ksampler(server, demo):
    plain = picture(server, demo, PLAIN)
    assert not np.array_equal(picture(server, demo, STEERED), plain)
    demo[node_id(demo, "L2S_SteeredKSampler")]["inputs"]["strength"] = 0.0
    assert np.array_equal(picture(server, demo, STEERED), plain)


def test_a_sampler_that_cannot_be_steered_is_refused(server, demo):
    demo[node_id(demo, "L2S_SteeredKSampler")]["inputs"]["sampler_name"] = "dpm_adaptive"
    with pytest.raises(RuntimeError, match="sampler_name: 'dpm_adaptive' not in"):
        picture(server, demo, STEERED)


def test_interrupt_ends_a_steered_run_and_leaves_nothing_behind(server, demo):
    plain = picture(server, demo, PLAIN)
    long = copy.deepcopy(demo)
    hard = Steering(end=1.0, refinements=50, target=0.9999, sharing="together")
    long[node_id(long, "L2S_SteeredKSampler")]["inputs"] |= {"steps": 400, **vars(hard)}
    ends = []

    def run():
        with pytest.raises(RuntimeError) as ended:
            picture(server, long, STEERED)
        ends.append(str(ended.value))

    running = threading.Thread(target=run)
    running.start()
    time.sleep(3)  # into the sampling; the run itself takes minutes
    assert not ends
    server.interrupt()
    running.join(10)
    assert ends == ["L2S_SteeredKSampler was interrupted."]
    assert np.array_equal(picture(server, demo, PLAIN), plain)


@pytest.fixture
def only_wrong(object_info):
    """The template that steers only what is wrong, with its plain pictures saved too, and a report of the steering."""
    path = ROOT / "workflows" / "Steer only what is wrong (emoji demo).json"
    graph = to_api(json.loads(path.read_text()), object_info)
    judge, steered = node_id(graph, "L2S_Judge"), node_id(graph, "L2S_SteeredKSampler")
    plain = graph[judge]["inputs"]["images"]
    graph["plain"] = {"class_type": "SaveImage", "inputs": {"images": plain, "filename_prefix": "plain"}}
    decoded = {"samples": [steered, 0], "vae": graph[plain[0]]["inputs"]["vae"]}
    graph["decoded"] = {"class_type": "VAEDecode", "inputs": decoded}
    graph["report"] = {"class_type": "L2S_SteeringReport", "inputs": {"run": [steered, 3], "images": ["decoded", 0]}}
    return graph


def test_only_what_is_wrong_is_steered(server, only_wrong):
    outputs, _ = server.run(only_wrong)
    shown = {
        name: [server.image(entry) for entry in outputs[key]["images"]]
        for name, key in (("plain", "plain"), ("mended", node_id(only_wrong, "SaveImage", filename_prefix=MENDED)))
    }
    said = outputs[node_id(only_wrong, "L2S_Judge")]["text"][0]
    assert said.startswith("1 of 4 right; best: picture 2; wrong: 1, 3, 4.")
    assert [np.array_equal(*pair) for pair in zip(*shown.values(), strict=True)] == [False, True, False, False]
    wishes = parse(only_wrong[node_id(only_wrong, "L2S_RelationParse")]["inputs"]["text"]).wishes
    found = detector.find(torch.from_numpy(np.stack(shown["mended"])) / 255)
    assert all(judge([thing.found() for thing in things.values()], wishes)[0].granted for things in found)
    assert len(outputs["report"]["images"]) == 2 * 3


def test_nothing_is_steered_when_nothing_is_wrong(server, only_wrong):
    only_wrong[node_id(only_wrong, "EmptyLatentImage")]["inputs"]["batch_size"] = 1
    for kind in ("KSampler", "L2S_SteeredKSampler"):
        only_wrong[node_id(only_wrong, kind)]["inputs"]["seed"] = 4
    outputs, _ = server.run(only_wrong)
    assert outputs[node_id(only_wrong, "L2S_Judge")]["text"][0].startswith("1 of 1 right; best: picture 1.")
    assert node_id(only_wrong, "L2S_SteeredKSampler") not in outputs and "report" not in outputs
    mended = outputs[node_id(only_wrong, "SaveImage", filename_prefix=MENDED)]["images"]
    assert np.array_equal(*(server.image(entry) for entry in (*outputs["plain"]["images"], *mended)))
