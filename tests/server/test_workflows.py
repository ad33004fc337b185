"""The bundled workflows in a real ComfyUI server, as an artist would run them."""

import copy
import itertools
import json
import threading
import time
import urllib.parse

import detector
import numpy as np
import pytest
import torch
from learn_to_steer.steering.guidance import Steering
from live_server import PACK, ROOT, choices, inputs, is_widget, node_id, serving, to_api, widgets
from scenes import holds

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
DEMO = ROOT / "workflows" / "Put things where the prompt says (emoji demo).json"
PLAIN, STEERED = "learn-to-steer/plain", "learn-to-steer/steered"
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


def test_there_are_four_workflows():
    assert len(WORKFLOWS) == 4 and DEMO in WORKFLOWS


def test_template_is_listed_with_its_picture(server, workflow):
    assert workflow.stem in server.templates()[PACK]
    thumbnail = urllib.parse.quote(f"{workflow.stem}.jpg")
    assert server.open(f"/api/workflow_templates/{PACK}/{thumbnail}").startswith(b"\xff\xd8")


def test_workflow_fits_the_nodes(object_info, workflow):
    saved = json.loads(workflow.read_text())
    for node in saved["nodes"]:
        if node["type"] != "MarkdownNote":
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
        if node["type"] in ("PreviewAny", "SeedNode"):
            node["mode"] = 4
    graph = to_api(saved, object_info)
    assert not {"PreviewAny", "SeedNode"} & {node["class_type"] for node in graph.values()}
    assert graph[node_id(graph, "KSampler")]["inputs"]["seed"] == 0  # the sampler's own value


def test_nodes_do_not_overlap(workflow):
    nodes = json.loads(workflow.read_text())["nodes"]
    for a, b in itertools.combinations(nodes, 2):
        apart = (
            a["pos"][axis] + a["size"][axis] + title <= b["pos"][axis]
            or b["pos"][axis] + b["size"][axis] + title <= a["pos"][axis]
            for axis, title in enumerate((0, 30))
        )
        assert any(apart), (a["type"], b["type"])


def test_workflow_makes_pictures(server, object_info, workflow):
    graph = to_api(json.loads(workflow.read_text()), object_info)
    outputs, _ = server.run(graph)
    saves = [key for key, node in graph.items() if node["class_type"] == "SaveImage"]
    assert saves
    for entry in (entry for key in saves for entry in outputs[key]["images"]):
        shown = server.image(entry)
        assert shown.shape == (128, 128, 3) and shown.std() > 5


def test_steered_picture_has_the_giraffe_above_the_airplane(server, demo):
    shown = torch.from_numpy(picture(server, demo, STEERED).copy())[None] / 255
    (things,) = detector.find(shown)
    assert {"giraffe", "airplane"} <= things.keys()
    assert holds("above", things["giraffe"], things["airplane"])


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
    with pytest.raises(RuntimeError, match="L2S_SteeredKSampler: .*dpm_adaptive.*Choose another"):
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
