"""What the Comfy registry takes: its own checks, what is published, and what its scanner must not find in it.

Its scanner reads no language: it looks for characters, in code and in prose. A single finding, of whatever severity,
and a version is not offered to users. Its rules are not public; these are the ones that it was seen to apply.
"""

import ast
import json
import re
from pathlib import PurePosixPath
from zipfile import ZipFile

import pack
import pytest
import tomllib
from PIL import Image

import workflows

ROOT = pack.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMFY = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["comfy"]
VERSION = r"\d+\.\d+\.\d+"
TOP = {
    "CHANGELOG.md", "LICENSE", "README.md", "__init__.py", "pyproject.toml", "classifier_weights", "demo", "locales",
    "nodes", "steering", "web", "workflows",
}  # fmt: skip
NEEDED = {
    "CHANGELOG.md", "LICENSE", "README.md", "__init__.py", "pyproject.toml", "nodes/__init__.py",
    "classifier_weights/emoji_world.safetensors", "classifier_weights/universal.safetensors",
    "demo/weights/README.md", "demo/weights/emoji_clip.safetensors", "demo/weights/emoji_flow.safetensors",
    "demo/weights/emoji_unet.safetensors", "demo/weights/emoji_vae.safetensors",
}  # fmt: skip
LARGEST, WHOLE = 25e6, 65e6  # bytes
# No scripts, no archives, nothing compiled.
KINDS = {".css", ".jpg", ".js", ".json", ".md", ".png", ".py", ".safetensors", ".svg", ".toml", ".webp"}
ALSO = {"LICENSE", "words.txt"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return pack.copied(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def packed(tree) -> dict[str, bytes]:
    """The published files by name."""
    with ZipFile(pack.zipped(tree)) as zip:
        return {name: zip.read(name) for name in zip.namelist()}


# --- What the registry reads of the pack ------------------------------------------------------------------------------


def test_the_registry_validates(tree):
    assert pack.passed(said := pack.comfy(tree, "validate")), said


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("pyproject.toml", '[project]\nversion = "1.0.0"\n[tool.comfy]\nrequires-comfyui = ">=1.0"'),
        ("pyproject.toml", '[project]\nversion = "1.0.0"\nclassifiers = ["Environment :: GPU"]'),
        ("bad.py", "exec(input())"),  # S102
        ("bad.py", "eval(input())"),  # S307
        ("bad.py", "a = 1; b = 2"),  # E702
    ],
)
def test_a_warning_does_not_pass(tmp_path, name, bad):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.0.0"')
    (tmp_path / name).write_text(bad)
    assert not pack.passed(pack.comfy(tmp_path, "validate"))


def test_the_project_is_described():
    assert re.fullmatch(r"[a-z][a-z\d]*(?:[-_.][a-z\d]+)*", PROJECT["name"])
    assert len(PROJECT["name"]) < 100 and "comfyui" not in PROJECT["name"]
    assert re.fullmatch(VERSION, PROJECT["version"])  # the Manager reads it from here, so it is static
    assert PROJECT["description"] and (ROOT / PROJECT["license"]["file"]).exists()
    assert PROJECT["requires-python"] == ">=3.10"  # as the oldest host that is supported
    assert not PROJECT.get("dependencies") and not (ROOT / "requirements.txt").exists()
    home = PROJECT["urls"]["Repository"]
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", home)
    assert all(PROJECT["urls"][name].startswith(home) for name in ("Documentation", "Bug Tracker"))
    assert COMFY["PublisherId"] and COMFY["DisplayName"]
    assert re.fullmatch(f">={VERSION}", COMFY["requires-comfyui"])


@pytest.mark.parametrize(("name", "size"), [("Icon", (400, 400)), ("Banner", (1260, 540))])
def test_the_pictures_lie_where_their_address_says(tree, name, size):
    home, _, path = COMFY[name].partition("/raw/main/")
    assert home == PROJECT["urls"]["Repository"]
    with Image.open(tree / path) as picture:
        assert picture.size == size
    assert (tree / path).stat().st_size < 250e3


def test_the_versions_agree(packed):
    released = re.search(rf"^## \[({VERSION})\] - \d{{4}}-\d\d-\d\d$", packed["CHANGELOG.md"].decode(), re.M)
    assert released[1] == PROJECT["version"] == workflows.VERSIONS[PROJECT["name"]]
    saved = [json.loads(packed[name]) for name in packed if re.fullmatch(r"workflows/.*\.json", name)]
    ours = [
        node["properties"]["ver"]
        for workflow in saved
        for node in workflow["nodes"]
        if node["properties"].get("cnr_id") == PROJECT["name"]
    ]
    assert len(saved) >= 4 and len(ours) >= 4 and set(ours) == {PROJECT["version"]}


# --- What is published ------------------------------------------------------------------------------------------------


def strangers(files: dict[str, bytes]) -> list[str]:
    """What is wrong with the list of files."""
    paths = [PurePosixPath(name) for name in files]
    found = [f"{path}: nothing of this folder" for path in paths if path.parts[0] not in TOP]
    found += [f"{path}: not this kind of file" for path in paths if path.suffix not in KINDS and path.name not in ALSO]
    found += [f"{path}: development only" for path in paths if "test" in path.name or "detector" in path.name]
    found += [f"{path}: demo" for path in paths if path.parts[0] == "demo" and path.parts[1] != "weights"]
    found += [f"{name}: too large" for name, content in files.items() if len(content) > LARGEST]
    found += [f"{name}: missing" for name in NEEDED - files.keys()]
    return found + ["too large as a whole"] * (sum(map(len, files.values())) > WHOLE)


def test_the_zip_holds_what_runs_and_nothing_else(packed):
    assert not strangers(packed)


@pytest.mark.parametrize(
    "name",
    [
        ".ci/run", ".comfyignore", "Makefile", "bench/results.json", "bench/accuracy.py", "tools/icon.png",
        "nodes/run.sh", "demo/weights/detector.safetensors", "install.py", "output/demo.png", "requirements.txt",
        "tests/conftest.py", "nodes/test_words.py",
    ],
)  # fmt: skip
def test_a_stranger_in_the_zip_is_found(packed, name):
    assert strangers(packed | {name: b""})


def test_what_is_missing_or_too_large_is_found(packed):
    assert strangers({name: packed[name] for name in packed if name != "LICENSE"})
    assert strangers(packed | {"web/a.png": bytes(int(LARGEST) + 1)})
    assert strangers(packed | {f"web/{at}.png": bytes(int(LARGEST)) for at in range(2)})


def test_the_script_tells_what_it_packs(tree, packed, tmp_path, monkeypatch, capsys):
    """With the zip that was made already."""
    monkeypatch.setattr(pack, "copied", lambda folder: tree)
    monkeypatch.setattr(pack, "zipped", lambda folder: folder / "node.zip")
    pack.main(["--into", str(tmp_path)])
    with ZipFile(tmp_path / "output" / "learn-to-steer.zip") as zip:
        assert zip.namelist() == list(packed)
    said = capsys.readouterr().out
    assert all(name in said for name in packed) and f"{len(packed)} files" in said


# --- What the scanner must not find -----------------------------------------------------------------------------------

TEXTS = {".css", ".js", ".json", ".md", ".py", ".svg", ".toml"}
IN_ANY_FILE = [
    r"\beval\s*\(",  # of a module, too
    r"\bexec\s*\(",  # of a regular expression in JavaScript, too
    r"(?<![.\w])compile\s*\(",
    r"\.(?:connect|bind|send|sendall|sendto|recv|recvfrom|create_connection)\s*\(",
    r"__import__|import_module",
    r"\bos\.(?:system|popen|environ|getenv|putenv)\b",
    r"\bsubprocess\b|\bpickle\b|\burllib\b|\bhttp\.client\b|\bClientSession\b|\bsocket\.",
    r"\brequests\.\w+\s*\(",
    r"\btorch\.load\b",
    r"\brm -rf\b",
    r"raw\.githubusercontent\.com",
]
IN_SCRIPTS = [  # a page of this pack talks to nobody but the page that it is in
    r"\bfetch\s*\(",
    r"\bXMLHttpRequest\b|\bWebSocket\b|\bEventSource\b|\bsendBeacon\b",
    r"\bFunction\s*\(",
    r"\bimport\s*\(",
    r"(?:\b(?:https?|wss?):|[\"'`(])//(?!www\.w3\.org/)\w",  # the names of SVG and HTML are no addresses
    r"\bon(?:load|error)\b",
]
MODULES = {
    "aiohttp", "asyncio", "cloudpickle", "code", "ctypes", "dill", "ftplib", "http", "httpx", "imp", "importlib",
    "joblib", "marshal", "multiprocessing", "pickle", "pip", "pty", "requests", "runpy", "shelve", "smtplib", "socket",
    "ssl", "subprocess", "telnetlib", "urllib", "webbrowser", "websocket", "websockets",
}  # fmt: skip
NAMES = {"eval", "exec", "compile", "__import__", "__builtins__"}
OF_OS = {"environ", "environb", "execv", "getenv", "popen", "putenv", "startfile", "system"}
OF_TORCH = {"autocast", "compile", "hub", "load"}


def of_python(text: str) -> list[str]:
    """What a Python file may not do, however it spells it."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found += [a.name for a in names if a.name.partition(".")[0] in MODULES]
            case ast.ImportFrom(module=module, names=names, level=0):
                theirs = {"os": OF_OS, "torch": OF_TORCH}.get(module, set())
                found += [module] * (module.partition(".")[0] in MODULES)
                found += [f"{module}.{a.name}" for a in names if a.name in theirs]
            case ast.Name(id=name) if name in NAMES:
                found.append(name)
            case ast.Attribute(attr="eval" | "exec" as name):
                found.append(f".{name}")
            case ast.Attribute(value=ast.Name(id="torch"), attr=name) if name in OF_TORCH:
                found.append(f"torch.{name}")
            case ast.Attribute(attr=name) if name in OF_OS:
                found.append(f".{name}")
            case ast.Call(func=ast.Attribute(attr="cuda")):
                found.append(".cuda()")
            case ast.Call(args=args, keywords=keywords):
                values = [*args, *(keyword.value for keyword in keywords)]
                named = [v.value for v in values if isinstance(v, ast.Constant)]
                found += [v for v in named if isinstance(v, str) and re.fullmatch(r"cuda(:\d+)?", v)]
    try:
        text.encode("cp1252")  # Windows reads sources so, where a tool forgets to say UTF-8
    except UnicodeEncodeError as error:
        found.append(text[error.start])
    return found


def findings(name: str, text: str) -> list[str]:
    """Everything that may not be published, in the file of this name."""
    suffix = PurePosixPath(name).suffix
    patterns = IN_ANY_FILE + IN_SCRIPTS * (suffix in (".js", ".css", ".svg"))
    found = [match[0] for pattern in patterns for match in re.finditer(pattern, text)]
    return found + (of_python(text) if suffix == ".py" else [])


def test_nothing_that_is_published_is_suspect(packed):
    texts = {name: packed[name].decode() for name in packed if PurePosixPath(name).suffix in TEXTS}
    assert len(texts) > 40
    found = {name: hits for name, text in texts.items() if (hits := findings(name, text))}
    assert not found


PYTHON = [
    *(f"import {module}" for module in sorted(MODULES)),
    *(f"from {module} import anything" for module in sorted(MODULES)),
    *(f"from os import {name}" for name in sorted(OF_OS)),
    *(f"import os as o\no.{name}" for name in sorted(OF_OS)),
    *(f"from torch import {name}" for name in sorted(OF_TORCH)),
    *(f"import torch\ntorch.{name}('x')" for name in sorted(OF_TORCH)),
    *(f"run = {name}" for name in sorted(NAMES)),
    "import urllib.request as u", "model.eval()", "see = model.eval", "x.cuda()", 'x.to("cuda")', 'x.to("cuda:1")',
    'zeros(2, device="cuda")', "# a tick: \u2713",
]  # fmt: skip


@pytest.mark.parametrize("bad", PYTHON)
def test_suspect_python_is_found(bad):
    assert of_python(bad)


@pytest.mark.parametrize(
    "good",
    [
        'import os\nimport re\nos.replace("a", "b")\nre.compile("a").fullmatch("a")', "import torch.nn\nx.to(device)",
        "if torch.cuda.is_available(): model.train(False)", "from .steering import system", "# \u2019 \u201c \u2014",
        'device.type == "cuda"',
    ],
)  # fmt: skip
def test_ordinary_python_is_not(good):
    assert not findings("a.py", good)


ANYWHERE = [
    ("model.eval()", 0), ("found = pattern.exec (text)", 1), ('compile("a")', 2), ("node.connect(0, other)", 3),
    ("method.bind(this)", 3), ("stream.recv (4)", 3), ("__import__('a')", 4), ("importlib.import_module(a)", 4),
    ("It reads os.environ.", 5), ("It starts a subprocess.", 6), ("socket.socket()", 6), ("requests.get(a)", 7),
    ("torch.load", 8), ("rm -rf a", 9), ("https://raw.githubusercontent.com/a", 10),
]  # fmt: skip
SCRIPTS = [
    ('fetch("/a")', 0), ("new WebSocket(a)", 1), ("new XMLHttpRequest()", 1), ("new EventSource(a)", 1),
    ("navigator.sendBeacon(a)", 1), ("new Function (a)", 2), ("await import(a)", 3), ('a = "https://a.org/b.js"', 4),
    ('import a from "//a.org/b.js"', 4), ("url(//a.org/b.css)", 4), ("wss://a.org", 4), ("image.onload = a", 5),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "rule"), ANYWHERE)
def test_suspect_text_is_found_in_any_file(bad, rule):
    assert re.search(IN_ANY_FILE[rule], bad)
    assert all(findings(f"web/a{suffix}", bad) for suffix in TEXTS - {".py"})


@pytest.mark.parametrize(("bad", "rule"), SCRIPTS)
def test_suspect_text_is_found_in_scripts(bad, rule):
    assert re.search(IN_SCRIPTS[rule], bad)
    assert findings("web/a.js", bad) and not findings("README.md", bad)


def test_every_rule_was_shown_to_find_something():
    assert {rule for _, rule in ANYWHERE} == set(range(len(IN_ANY_FILE)))
    assert {rule for _, rule in SCRIPTS} == set(range(len(IN_SCRIPTS)))


def test_ordinary_scripts_pass():
    good = 'import { app } from "../../scripts/app.js" // the editor\nconst NS = "http://www.w3.org/2000/svg"'
    assert not findings("web/a.js", good)
