"""README, help pages and translations, as files; tests/server/test_texts.py compares them with the nodes."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import help_pages
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "web" / "docs").glob("*.md"))
LOCALES = sorted((ROOT / "locales").glob("*/*.json"))
TASKS = ("one relation", "two relations", "three relations")
README = (ROOT / "README.md").read_text()
PROSE = sorted(path for pattern in ("*.md", "[!.]*/*.md", "[!.]*/*/*.md") for path in ROOT.glob(pattern))


def strings(value):
    if isinstance(value, str):
        yield value
    else:
        for part in value.values():
            yield from strings(part)


def test_readme_can_be_read_at_one_sitting():
    assert len(README.split()) <= 900  # as `wc -w` counts


def test_readme_tells_the_recorded_figures():
    results = json.loads((ROOT / "bench" / "results.json").read_text())
    right = {(row["task"], row["method"]): f"{row['relation_correct']:.3f}" for row in results["rows"]}
    one, two, three = (right[task, "steered"] for task in TASKS)
    plain_one, plain_two, plain_three = (right[task, "plain"] for task in TASKS)
    assert f"one relation {one} (plain {plain_one}), two {two} ({plain_two}), three {three} ({plain_three})" in README
    flow = json.loads((ROOT / "bench" / "results_flow.json").read_text())
    right = {(row["task"], row["method"]): f"{row['relation_correct']:.3f}" for row in flow["rows"]}
    told = ", ".join(f"{right[task, 'steered']} ({right[task, 'plain']})" for task in TASKS)
    assert f"transformer: {told}" in README
    table = (ROOT / "nodes" / "host" / "FAMILIES.md").read_text()
    families = re.findall(r"^\| .*? \| .*? \| (?:cross|joint) \| ", table, re.MULTILINE)
    assert f"[{len(families)} set-ups](nodes/host/FAMILIES.md)" in README


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_files_and_commands_are_there(path):
    text = path.read_text("utf-8")
    for link in re.findall(r"\]\((?!https?://)([^\s)]+)\)", text):
        assert (path.parent / unquote(link)).exists(), link
    for named in re.findall(r"`((?:\w[\w.-]*/)+\w[\w-]*\.\w+)`", text):
        ours = (ROOT / named.partition("/")[0]).is_dir()  # and not the host's
        assert not ours or (ROOT / named).exists(), named
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in re.findall(r"`(?:\w+=\S+ )?make ([a-z-]+)|^ *make ([a-z-]+) +#", text, re.MULTILINE):
        assert "".join(command) in targets


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (["MODEL", {"tooltip": "..."}], "MODEL"),
        (["STRING", {}], "text"),
        (["STRING", {"default": ""}], "text; usually empty"),
        (["STRING", {"default": "auto"}], "text; usually `auto`"),
        (["INT", {"default": 0, "min": 0, "max": 64, "step": 4}], "whole number from 0 to 64 in steps of 4; usually 0"),
        (["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}], "whole number"),
        (["FLOAT", {"default": 0.9, "min": 0.05, "max": 0.9999}], "number from 0.05 to 0.9999; usually 0.9"),
        (["BOOLEAN", {"default": False, "advanced": True}], "on or off; usually off; advanced"),
        (["COMBO", {"options": ["a", "b c"], "default": "b c"}], "`a`, `b c`; usually `b c`"),
    ],
)
def test_what_an_input_takes_is_told_in_words(spec, told):
    assert help_pages.value("any", spec) == told


def test_options_that_are_not_ours_are_not_listed():
    assert help_pages.value("classifier", ["COMBO", {"options": ["mine.safetensors"]}]) == "one of a list"


def test_a_page_without_a_place_for_the_tables_is_refused():
    info = {"input": {}, "output": ["MODEL"], "output_name": ["MODEL"], "output_tooltips": ["With a | in it."]}
    page = f"# Title\n\n{help_pages.BEGIN}\nold\n{help_pages.END}\n\nby hand"
    assert "| **MODEL** | With a \\| in it. *(MODEL)* |" in help_pages.filled(page, info)
    for lacking in (page.replace(help_pages.BEGIN, ""), page.replace(help_pages.END, "")):
        with pytest.raises(ValueError, match="The page has no"):
            help_pages.filled(lacking, info)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_has_its_picture_and_plain_letters(page):
    text = page.read_text("ascii")
    ((alt, path),) = re.findall(r"!\[([^]]*)\]\(([^)]*)\)", text)
    assert path == f"pictures/{page.stem}.jpg"  # relative: the editor puts .../docs/ before it
    assert alt and '"' not in alt  # it stands in an attribute, as it is
    with Image.open(page.parent / path) as picture:
        assert picture.format == "JPEG" and picture.width >= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_ends_with_what_to_do_and_has_no_link_that_leads_nowhere(page):
    text = page.read_text("ascii")
    assert re.findall(r"^## .*", text, re.MULTILINE)[-1] == "## When it does not work"
    assert not re.findall(r"(?<!!)\[[^]]*\]\((?!https?://)", text)  # the editor completes pictures only


def test_every_language_has_its_files():
    names = {f"{path.parent.name}/{path.name}" for path in LOCALES}
    languages = ("ja", "zh", "zh-TW")  # as the editor calls them
    assert names == {f"{of}/{name}.json" for of in languages for name in ("main", "nodeDefs")}


@pytest.mark.parametrize("path", LOCALES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_translation_is_json_without_the_editor_s_own_syntax(path):
    """The editor takes @ { } | % in a message for its own, some versions in tooltips too: cut off, or an error."""
    text = path.read_bytes().decode("utf-8")
    translated = json.loads(text)
    assert text == json.dumps(translated, ensure_ascii=False, indent=2) + "\n"
    for string in strings(translated):
        assert string == string.strip() and string
        assert not set("@{}|%") & set(string), string


def test_the_bundled_classifiers_are_explained():
    page = (ROOT / "web" / "docs" / "L2S_ClassifierLoss.md").read_text()
    bundled = list((ROOT / "classifier_weights").glob("*.safetensors"))
    assert bundled and all(f"`{path.name}`" in page for path in bundled)
