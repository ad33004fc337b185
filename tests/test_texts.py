"""Help pages and translations, as files; tests/server/test_texts.py compares them with the nodes."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "web" / "docs").glob("*.md"))
LOCALES = sorted((ROOT / "locales").glob("*/*.json"))


def strings(value):
    if isinstance(value, str):
        yield value
    else:
        for part in value.values():
            yield from strings(part)


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
