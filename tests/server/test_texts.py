"""Help pages and translations in a real ComfyUI server, against what it tells about the nodes."""

import re

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


def lines(id: str, title: str) -> dict[str, str]:
    """A section of a node's page: what stands behind each name."""
    page = (DOCS / f"{id}.md").read_text()
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)[1]
    found = re.findall(r"^- \*\*(.+?)\*\*: (.*?)(?=^- |\Z)", section, re.DOTALL | re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def test_every_node_has_a_page_that_the_editor_finds(server, nodes):
    assert nodes.keys() == {page.stem for page in DOCS.glob("*.md")}
    for id, info in nodes.items():
        # The editor asks in the folder that the module's name tells.
        folder = info["python_module"].removeprefix("custom_nodes.")
        assert folder == PACK
        for path in (f"{id}.md", f"pictures/{id}.jpg"):
            assert server.open(f"/extensions/{folder}/docs/{path}") == (DOCS / path).read_bytes()


def test_pages_name_every_input_and_output(nodes):
    for id, info in nodes.items():
        assert (DOCS / f"{id}.md").read_text().startswith(f"# {info['display_name']}\n")
        assert list(lines(id, "Inputs")) == list(inputs(info)), id
        assert list(lines(id, "Outputs")) == info["output_name"], id


def test_pages_tell_defaults_and_options(nodes):
    for id, info in nodes.items():
        told = lines(id, "Inputs")
        for name, spec in inputs(info).items():
            if spec[0] in ("INT", "FLOAT") and name != "seed":
                usual = re.escape(f"Usual: {spec[1]['default']:g}")
                assert re.search(rf"{usual}(?!\.?\d)", told[name]), (id, name)
            if name not in ("sampler_name", "scheduler"):  # whose options are the host's
                assert all(f"`{option}`" in told[name] for option in choices(spec) or ()), (
                    id,
                    name,
                )


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
            assert node["inputs"][name]["tooltip"] != spec[1]["tooltip"]
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
