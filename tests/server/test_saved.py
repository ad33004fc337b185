"""Workflows as version 0.1.0's templates were saved (tests/server/saved): they still open, fit and make the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from live_server import NOT_RUN, ROOT, choices, inputs, serving, to_api, widgets
from templates import READER

from workflows import pictures

LATER = {"manner", "kind"}  # settings that nodes got since, behind the others
NEW = ("L2S_ChooseLayers",)  # nodes that stand in a template since
SAVED = sorted((Path(__file__).parent / "saved").glob("*.json"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("comfyui")) as running:
        yield running


@pytest.fixture(scope="module")
def object_info(server):
    return server.object_info()


def graph_of(path: Path, object_info: dict) -> dict:
    """With the defaults of settings that came later, as the editor opens it."""
    graph = to_api(json.loads(path.read_text()), object_info)
    for node in graph.values():
        for name, spec in object_info[node["class_type"]]["input"].get("optional", {}).items():
            if name in widgets(object_info[node["class_type"]]) and "default" in spec[1]:
                node["inputs"].setdefault(name, spec[1]["default"])
    return graph


def without_capture_settings(graph: dict) -> dict:
    """Attention Capture's settings were written by hand then, and are "auto" now; all else is as it was."""
    captures = [node for node in graph.values() if node["class_type"] == "L2S_AttentionCapture"]
    for node in captures:
        node["inputs"] = {name: value for name, value in node["inputs"].items() if isinstance(value, list)}
    return graph


def by_the_reader(graph: dict) -> dict:
    """Classifiers, which for the families never existed, have the universal reader in their place now."""
    for node in graph.values():
        if node["class_type"] == "L2S_ClassifierLoss":
            node["inputs"]["classifier"] = READER
    return graph


def today(path: Path) -> Path:
    """The families' templates are named by what steers them now, and promise nothing."""
    return ROOT / "workflows" / path.name.replace("- put things where the prompt says", "- steered")


def test_all_thirteen_are_kept():
    assert len(SAVED) == 13


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_saved_workflow_fits_the_nodes(object_info, path):
    saved = json.loads(path.read_text())
    for node in saved["nodes"]:
        if node["type"] not in NOT_RUN:
            names = widgets(object_info[node["type"]])
            assert set(names[len(node["widgets_values"]) :]) <= LATER
    for node in graph_of(path, object_info).values():
        info = object_info[node["class_type"]]
        assert info["input"]["required"].keys() <= node["inputs"].keys() <= inputs(info).keys()
        for name, value in node["inputs"].items():
            options = choices(inputs(info)[name])
            # Classifiers and checkpoints that are not here: their own tests.
            assert isinstance(value, list) or options is None or value in options or str(value).endswith("tensors")


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_saved_workflow_asks_for_what_today_s_template_asks_for(object_info, path):
    asked = []
    for each in (path, today(path)):
        graph = by_the_reader(without_capture_settings(graph_of(each, object_info)))
        asked.append(
            sorted(json.dumps(node, sort_keys=True) for node in graph.values() if node["class_type"] not in NEW)
        )
    assert asked[0] == asked[1]


RUN = "Steered against plain (emoji demo)", "Two relations (emoji demo)"  # what all ask for is compared above


@pytest.mark.parametrize("path", [path for path in SAVED if path.stem in RUN], ids=lambda path: path.stem)
def test_saved_workflow_makes_today_s_pictures(server, object_info, path):
    old = pictures(server, by_the_reader(graph_of(path, object_info)))
    new = pictures(server, graph_of(today(path), object_info))
    assert len(old) == len(new) > 0
    for before, now in zip(old, new, strict=True):
        assert np.array_equal(before, now)
