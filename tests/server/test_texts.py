"""README, help pages and translations in a real ComfyUI server, against what it tells about the nodes."""

import contextlib
import re

import help_pages
import pytest
from live_server import PACK, ROOT, choices, inputs, serving

PREFIX = "L2S_"
DOCS = ROOT / "web" / "docs"
LANGUAGES = sorted(path.name for path in (ROOT / "locales").iterdir())
SAME = {"cfg"}  # names that a language may leave as they are


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("comfyui")) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(server):
    found = {id: info for id, info in server.object_info().items() if id.startswith(PREFIX)}
    assert found
    return found


@pytest.fixture(scope="module", params=LANGUAGES)
def language(server, request):
    return server.get("/i18n")[request.param]


def test_every_node_has_a_page_that_the_editor_finds(server, nodes):
    assert nodes.keys() == {page.stem for page in DOCS.glob("*.md")}
    for id, info in nodes.items():
        # The editor asks in the folder that the module's name tells.
        folder = info["python_module"].removeprefix("custom_nodes.")
        assert folder == PACK
        for path in (f"{id}.md", f"pictures/{id}.jpg"):
            assert server.open(f"/extensions/{folder}/docs/{path}") == (DOCS / path).read_bytes()


def test_pages_tell_of_every_input_and_output_what_the_node_tells(nodes):
    for id, info in nodes.items():
        page = (DOCS / f"{id}.md").read_text()
        assert page.startswith(f"# {info['display_name']}\n")
        assert page == help_pages.filled(page, info), "Run `make docs`."


def test_the_tool_writes_the_pages(server, tmp_path, monkeypatch):
    monkeypatch.setattr(help_pages, "serving", lambda: contextlib.nullcontext(server))
    help_pages.main(["--into", str(tmp_path)])
    written = {path.name: path.read_text() for path in (tmp_path / "web" / "docs").iterdir()}
    assert written == {path.name: path.read_text() for path in DOCS.glob("*.md")}


def test_readme_names_every_node(nodes):
    named = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(info["display_name"].partition(" (")[0] for info in nodes.values())


def test_every_node_is_explained_and_can_be_found(nodes):
    for id, info in nodes.items():
        assert info["description"] and info["display_name"] != id, id
        assert info["search_aliases"], id
        assert all(spec[1].get("tooltip") for spec in inputs(info).values()), id
        assert len(info["output_tooltips"]) == len(info["output"]), id
        assert all(info["output_tooltips"]), id


def test_translations_are_complete_and_none_is_left_over(nodes, language):
    translated = {id: node for id, node in language["nodeDefs"].items() if id.startswith(PREFIX)}
    assert translated.keys() == nodes.keys()
    for id, info in nodes.items():
        node = translated[id]
        assert node["display_name"] != info["display_name"]
        assert node["description"] != info["description"]
        assert node.get("inputs", {}).keys() == inputs(info).keys(), id
        for name, spec in inputs(info).items():
            assert node["inputs"][name].keys() == {"name", "tooltip"}, (id, name)
            told = node["inputs"][name]["tooltip"]
            assert told != spec[1]["tooltip"]
            assert name in help_pages.ELSEWHERE or all(option in told for option in choices(spec) or ()), (id, name)
            shown = node["inputs"][name]["name"]
            assert shown != name or name in SAME, (id, name)
        assert list(node["outputs"]) == [str(index) for index in range(len(info["output"]))], id
        for index, name in enumerate(info["output_name"]):
            output = node["outputs"][str(index)]
            # An output that is called as its type gets the type's translation, which is the host's.
            own = {"tooltip"} if name == info["output"][index] else {"name", "tooltip"}
            assert output.keys() == own, (id, name)
            assert output["tooltip"] != info["output_tooltips"][index]
            assert output.get("name") != name


def test_the_category_is_translated(nodes, language):
    for info in nodes.values():
        for part in info["category"].split("/"):
            assert PACK in language["nodeCategories"][part] != PACK
