"""The zip that the registry would get, and nothing else, in a folder of any name in an otherwise empty ComfyUI."""

import json
import urllib.parse
from pathlib import Path
from zipfile import ZipFile

import pack
import pytest
from live_server import serving, to_api

from workflows import pictures

NAME = "Any_other-name"  # without blanks: of such a folder the host's web server shows no page or picture
DEMO = "Put things where the prompt says (emoji demo)"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("comfyui")
    pack.zipped(pack.copied(tmp_path_factory.mktemp("pack"))).rename(folder / "node.zip")
    with ZipFile(folder / "node.zip") as zip:
        zip.extractall(folder / "custom_nodes" / NAME)
    return folder


@pytest.fixture(scope="module")
def server(base):
    with serving(base, unpacked=NAME) as running:
        yield running


@pytest.fixture(scope="module")
def ours(server) -> dict[str, dict]:
    """The nodes that the server took from the zip, as it describes them."""
    where = f"custom_nodes.{NAME}"
    return {name: info for name, info in server.object_info().items() if info["python_module"] == where}


def test_its_nodes_are_there(ours):
    assert len(ours) >= 7 and all(name.startswith("L2S_") for name in ours)


def test_its_workflows_are_listed_and_served(server, base):
    listed = server.templates()[NAME]
    assert DEMO in listed and len(listed) == len(list(base.glob("custom_nodes/*/workflows/*.json")))
    for name in listed:
        address = f"/api/workflow_templates/{urllib.parse.quote(f'{NAME}/{name}')}"
        assert json.loads(server.open(f"{address}.json"))["nodes"]
        assert server.open(f"{address}.jpg").startswith(b"\xff\xd8")


def test_every_node_has_its_help_page(server, ours):
    for node in ours:
        page = server.open(f"/extensions/{urllib.parse.quote(NAME)}/docs/{node}.md").decode()
        assert page.startswith(f"# {ours[node]['display_name'].partition(' (')[0]}")


def test_a_bundled_workflow_makes_its_pictures(server, base):
    (saved,) = base.glob(f"custom_nodes/*/workflows/{DEMO}.json")
    graph = to_api(json.loads(saved.read_text()), server.object_info())
    saved_pictures = pictures(server, graph)
    assert saved_pictures
    for shown in saved_pictures:
        assert shown.shape == (128, 128, 3) and shown.std() > 5


def test_nothing_was_written_into_the_pack(server, base):
    with ZipFile(base / "node.zip") as zip:
        packed = set(zip.namelist())
    folder = base / "custom_nodes" / NAME
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == packed
