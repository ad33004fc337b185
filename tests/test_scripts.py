"""Every script and every target of the Makefile is run, at its smallest size; the table at the end says by which test.

Targets are run with `echo` in Python's place, which tells how they would call it; scripts then run in this process.
What they write goes to a folder of its own, by --into.
"""

import hashlib
import importlib
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import host  # noqa: F401  makes `comfy` importable

import accuracy
import brand
import card
import check_types
import checkpoints
import classifier
import cost
import cutouts
import diffusion
import install
import judges
import pytest
import sprites
import torch
import wishes
from learn_to_steer.nodes import demo_model
from paths import BENCH, CLASSIFIERS, ROOT, WEIGHTS, WORK
from PIL import Image, ImageChops, ImageFont
from safetensors import safe_open
from safetensors.torch import load_file

FOLDERS = ("tools", "demo", "bench")
SMALLEST = "--steps 2 --batch 2 --scenes 32 --draws 1 --fresh 2"
TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M)


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "-s", *arguments], cwd=folder, env=ours, capture_output=True, text=True)


def calls(target: str, *variables: str) -> list[list[str]]:
    """How the target calls Python, once it is set up: the arguments of each call."""
    done = make(target, "VENV=echo", "PYTHON=true", *variables)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def run(target: str, *variables: str) -> None:
    """All that the target runs."""
    for script, *arguments in calls(target, *variables):
        importlib.import_module(Path(script).stem).main(arguments)


# --- Training and the benchmarks --------------------------------------------------------------------------------------


def trained_files(root: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(root): hashlib.sha256(path.read_bytes()).digest()
        for folder in (WEIGHTS, CLASSIFIERS)
        for path in (root / folder).glob("*.safetensors")
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder that everything was trained into, from nothing."""
    into = tmp_path_factory.mktemp("trained")
    before = trained_files(ROOT)
    run("train", f"TRAIN=--into {into} {SMALLEST}")
    assert trained_files(ROOT) == before
    return into


def shapes(path: Path) -> dict[str, tuple]:
    with safe_open(path, "pt") as file:
        return {name: (file.get_slice(name).get_shape(), file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118


def test_training_writes_the_files_that_are_shipped(trained):
    assert trained_files(trained).keys() == trained_files(ROOT).keys()
    for path in trained_files(ROOT):
        assert shapes(trained / path) == shapes(ROOT / path)


def test_training_goes_on_where_it_stopped(trained):
    """Here: at its end, with nothing left to do."""
    paths = [trained / WEIGHTS / path.name for path in (demo_model.UNET, demo_model.CLIP)]
    before = [load_file(path) for path in paths]
    diffusion.main(["--into", str(trained), *SMALLEST.split()])
    for path, tensors in zip(paths, before, strict=True):
        again = load_file(path)
        assert tensors.keys() == again.keys() and all(torch.equal(tensors[name], again[name]) for name in again)


def test_a_reader_of_one_model_alone_is_tried_on_the_other(trained):
    into = ["--into", str(trained), *SMALLEST.split()]
    classifier.main([*into, "--reader", "unet"])
    path = trained / WORK / "reader_of_unet.safetensors"
    run("bench", "N=1 0 0", f"BENCH=--into {trained} --model flow --steps 2 --methods plain --trained {path}")
    rows = json.loads((trained / BENCH / "trained_flow.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["plain", "steered, reader_of_unet"]


def test_the_model_goes_on_from_its_weights(trained, tmp_path):
    """Its text encoder stays as it is."""
    shutil.copytree(trained / WEIGHTS, tmp_path / WEIGHTS)
    diffusion.main(["--into", str(tmp_path), "--shipped", *SMALLEST.split()])
    was, now = (
        [load_file(folder / WEIGHTS / path.name) for path in (demo_model.UNET, demo_model.CLIP)]
        for folder in (trained, tmp_path)
    )
    assert not all(torch.equal(was[0][name], now[0][name]) for name in was[0])
    assert all(torch.equal(was[1][name], now[1][name]) for name in was[1])


def test_accuracy_of_what_was_trained(trained):
    shipped = (ROOT / BENCH / "results.json").read_bytes()
    run("bench", "N=1 1 1", f"BENCH=--into {trained} --steps 2")
    results = json.loads((trained / BENCH / "results.json").read_text())
    assert results["command"] == f"python bench/accuracy.py --prompts 1 1 1 --seed 2 --into {trained} --steps 2"
    assert {(row["task"], row["method"], row["n"]) for row in results["rows"]} == {
        (task, method, 1) for task in accuracy.TASKS for method in accuracy.METHODS
    }
    assert (trained / BENCH / "results.md").read_text().startswith(f"`{results['command']}`\n\n| task |")
    assert (ROOT / BENCH / "results.json").read_bytes() == shipped


def test_every_relation_is_counted(tmp_path):
    """By the shipped model, in steps too few for pictures."""
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    (tmp_path / BENCH).mkdir()
    for folder in (WEIGHTS, CLASSIFIERS):
        (tmp_path / folder).symlink_to(ROOT / folder)
    run("bench-wishes", "N=1", f"BENCH=--into {tmp_path} --steps 2 --relations near between")
    results = json.loads((tmp_path / BENCH / "wishes.json").read_text())
    assert {(row["relation"], row["method"], row["n"]) for row in results["rows"]} == {
        (relation, method, 1) for relation in ("near", "between") for method in wishes.METHODS
    }
    assert (tmp_path / BENCH / "wishes.md").read_text().startswith(f"`{results['command']}`\n\n| relation |")


def test_judges_are_counted(tmp_path):
    """By the shipped model, in steps too few for pictures; of what they say, right and wrong and in order."""
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    for folder in (WEIGHTS, CLASSIFIERS):
        (tmp_path / folder).symlink_to(ROOT / folder)
    judges.main(["--into", str(tmp_path), "--prompts", "1", "--steps", "4"])
    results = json.loads((tmp_path / BENCH / "judges.json").read_text())
    assert [row["judge"] for row in results["rows"]] == list(judges.JUDGES)
    (row,) = judges.rows([True, True, False, False], {"one": [0.9, 0.4, 0.6, 0.1]})
    assert (row["agrees"], row["takes_wrong_for_right"], row["takes_right_for_wrong"]) == (0.5, 0.5, 0.5)
    assert row["order"] == 0.75


def test_accuracy_takes_the_settings_of_steering():
    assert accuracy.read([])[1] == accuracy.Steering()
    assert accuracy.read(["--save_memory"])[1].save_memory and not accuracy.read(["--no-save_memory"])[1].save_memory
    assert accuracy.read(["--sharing", "together", "--strength", "2"])[1] == accuracy.Steering(2.0, sharing="together")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--save_memory False", "unrecognized arguments: False"),
        ("--strength -1", "strength is -1.0; it must be 0 or more."),
        ("--end 2", "both lie between 0 and 1."),
        ("--target 1", "target is 1.0; it is a probability between 0 and 1."),
        ("--sharing all", "invalid choice: 'all'"),
        ("--refinements half", "invalid int value: 'half'"),
        ("--methods magic", "invalid choice: 'magic'"),
    ],
)
def test_accuracy_refuses_other_settings_with_a_sentence(capsys, wrong, said):
    with pytest.raises(SystemExit):
        accuracy.read(wrong.split())
    assert said in capsys.readouterr().err


def test_the_results_that_are_told_are_the_recorded_ones():
    told = (ROOT / BENCH / "README.md").read_text()
    for name, model in (("results", "emoji_world"), ("results_flow", "emoji_flow")):
        results = json.loads((ROOT / BENCH / f"{name}.json").read_text())
        if name == "results":
            assert results["command"] == "python " + " ".join(calls("bench")[0])
            assert accuracy.kept_markdown(results["kept"]) in told
        else:
            assert f"`{results['command']}`" in told
        table = accuracy.markdown(results["rows"])
        kept = accuracy.kept_markdown(results["kept"])
        assert (ROOT / BENCH / f"{name}.md").read_text() == f"`{results['command']}`\n\n{table}\n{kept}"
        assert table in told
        for file, shown in ((model, "true and wrong prompts"), (f"{model}_true_prompts", "true prompts only")):
            for prompts, shares in results["leak"][file]["relations"].items():
                cells = [f"{share:.3f}" for level, share in shares.items() if level != "looks"]
                assert f"| {shown} | {prompts} | {' | '.join(cells)} |" in told
    for name in ("trained", "trained_flow"):
        assert accuracy.markdown(json.loads((ROOT / BENCH / f"{name}.json").read_text())["rows"]) in told
    assert wishes.markdown(json.loads((ROOT / BENCH / "wishes.json").read_text())["rows"]) in told
    for name in ("judges", "judges_flow"):
        assert judges.markdown(json.loads((ROOT / BENCH / f"{name}.json").read_text())["rows"]) in told
    measured = json.loads((ROOT / BENCH / "cost.json").read_text())
    memory = {(row["model"], row["way"]): row["memory"]["above"] / cost.GB for row in measured["rows"]}
    for ratios in measured["ratios"]:
        ways = [ratios[way] for way in ("guided", "guided, save_memory", "straightforward")]
        guided, again, research = (way["time_over_plain_step"] for way in ways)
        gigabytes = [memory[ratios["model"], way] for way in ("plain step", "guided", "guided, save_memory")]
        assert (
            f" | **{guided:.2f}x** | {again:.2f}x | {research / guided:.1f}x | {gigabytes[0]:.2f}, "
            f"**{gigabytes[1]:.2f}**, {gigabytes[2]:.2f} GB | {ways[2]['memory_above_weights_over_guided']:.1f}x |"
        ) in told, ratios["model"]


def test_cost_of_a_small_model(tmp_path, monkeypatch):
    """Its processes run in this one, one after the other, so memory that was had before would not be seen."""

    def here(command, **_):
        assert Path(command[1]).samefile(cost.__file__)
        with redirect_stdout(io.StringIO()) as said:
            cost.main(command[2:])
        return SimpleNamespace(returncode=0, stdout=said.getvalue())

    small = f"--into {tmp_path} --tiny --models SD1.5 --repeat 1 --dtype float32"
    ((script, *arguments),) = calls("bench-cost", f"COST={small} --ways guided")
    sizes = itertools.count(1)
    monkeypatch.setattr(cost.subprocess, "run", here)
    monkeypatch.setattr(cost, "resident", lambda field: next(sizes))
    assert (ROOT / script).samefile(cost.__file__)
    cost.main([*arguments, "plain step"])
    results = json.loads((tmp_path / BENCH / "cost.json").read_text())
    assert [row["way"] for row in results["rows"]] == ["guided", "plain step"]
    assert all(row["memory"]["finite"] and row["seconds"] > 0 for row in results["rows"])


def test_a_checkpoint_is_measured_with_what_was_asked_for():
    ((script, *arguments),) = calls("bench-checkpoint", "WORKFLOW=mine.json", "PROMPTS=geneval multi", "BENCH=--most 3")
    assert (ROOT / script).samefile(checkpoints.__file__)
    asked = checkpoints.arguments().parse_args(arguments)
    assert (asked.workflow, asked.prompts, asked.most) == ("mine.json", ["geneval", "multi"], 3)
    usual = make("bench-checkpoint", "VENV=echo", "PYTHON=true").stdout
    assert usual == f"bench/checkpoints.py --workflow {checkpoints.SDXL} --prompts geneval\n"


# --- Pictures ---------------------------------------------------------------------------------------------------------


def test_the_registry_s_pictures_are_what_is_drawn(tmp_path):
    brand.main(["--into", str(tmp_path)])
    for name in ("icon.png", "banner.png"):
        with Image.open(tmp_path / "tools" / name) as drawn, Image.open(ROOT / "tools" / name) as shipped:
            assert not ImageChops.difference(drawn, shipped).getbbox(), name


def test_sprites_are_cut_out_of_a_font(tmp_path, monkeypatch):
    """Noto Color Emoji is hardly anywhere: of any other font the sheet has the same measures."""
    font = ImageFont.load_default(109)
    monkeypatch.setattr(sprites.ImageFont, "truetype", lambda path, size: font)
    sprites.main(["any font", "--into", str(tmp_path)])
    with Image.open(tmp_path / "demo" / "sprites.png") as drawn, Image.open(sprites.SHEET) as shipped:
        assert (drawn.size, drawn.mode) == (shipped.size, shipped.mode) and drawn.getbbox()


def test_cutouts_are_taken_of_their_sources(tmp_path, monkeypatch):
    """Stand-ins of one picture each: cropped to what is visible, as large as a cell, and named by the table."""
    font = ImageFont.load_default(109)
    monkeypatch.setattr(cutouts.ImageFont, "truetype", lambda path, size: font)
    monkeypatch.setattr(cutouts, "TABLE", tmp_path / "table.txt")
    cutouts.TABLE.write_text("# of what\ncar | 41 | 42 | cars/car | auto/car, auto/old\nship | 43 | | | sea/ship\n")
    picture = Image.new("RGBA", (90, 60))
    picture.paste((255, 0, 0, 255), (20, 20, 60, 40))
    for name in ("clipart/cars/car.png", "stamps/auto/car.png", "stamps/auto/old.png", "stamps/sea/ship.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / name)
    (tmp_path / "fluent").mkdir()
    picture.save(tmp_path / "fluent" / "42-fe0f.webp")
    sources = [str(tmp_path / name) for name in ("fluent", "clipart", "stamps")]
    cutouts.main(["any font", *sources, "--into", str(tmp_path)])
    made = tmp_path / cutouts.CUTOUTS
    assert json.loads((made / "index.json").read_text())["names"] == {
        "drawn": ["car", "ship"], "rendered": ["car"], "clipart": ["car"], "photographed": ["car", "car", "ship"],
    }  # fmt: skip
    with Image.open(made / "photographed" / "sheet.webp") as sheet:
        cells = [sheet.crop((at * cutouts.SIDE, 0, (at + 1) * cutouts.SIDE, cutouts.SIDE)) for at in range(4)]
    boxes = [cell.getchannel("A").getbbox() for cell in cells]
    assert boxes == [(0, 0, cutouts.SIDE, cutouts.SIDE // 2)] * 3 + [None]
    with Image.open(made / "drawn" / "sheet.webp") as sheet:
        assert sheet.getbbox()


# --- Set-up and checks ------------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A new clone beside a ComfyUI; install.py installs into it, and what it asks of pip is kept."""
    tree, clone = tmp_path / "ComfyUI", tmp_path / "learn-to-steer"
    for file in (tree / "comfy" / "sd.py", tree / "requirements.txt"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("torch")
    (clone / ".venv" / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
    (clone / ".venv" / "bin").mkdir()
    (clone / ".venv" / "bin" / "python").touch()
    monkeypatch.setenv("COMFYUI_PATH", str(tree))
    for name, path in (("ROOT", clone), ("HOST", clone / ".host"), ("VENV", clone / ".venv")):
        monkeypatch.setattr(install, name, path)
    monkeypatch.setattr(install.subprocess, "run", lambda command: install.asked.append(command) or install.ended)
    monkeypatch.setattr(install, "asked", [], raising=False)
    monkeypatch.setattr(install, "ended", SimpleNamespace(returncode=0), raising=False)
    return clone


def test_set_up_installs_once_and_lets_scripts_find_each_other(clone, capsys):
    install.main([])
    ((python, *command),) = install.asked
    assert python == str(clone / ".venv" / "bin" / "python") and command[:3] == ["-m", "pip", "install"]
    assert {*install.PINS, *install.TOOLS} < set(command)
    (link,) = clone.glob(".venv/lib/*/site-packages/learn_to_steer_scripts.pth")
    assert link.read_text().split() == [str(clone / name) for name in FOLDERS]
    link.write_text("of the folder's old place")
    install.main([])
    assert len(install.asked) == 1 and link.read_text().split() == [str(clone / name) for name in FOLDERS]
    assert f"ready: ComfyUI in {clone.parent / 'ComfyUI'}" in capsys.readouterr().out


def test_ray_is_installed_only_when_asked(clone):
    install.main([])
    install.main(["--ray"])
    (_, (_, *command)) = install.asked
    assert command[-1] == install.RAY and install.RAY not in install.asked[0]
    (packages,) = clone.glob(".venv/lib/*/site-packages")
    (packages / f"{install.RAY.replace('==', '-')}.dist-info").mkdir()
    install.main(["--ray"])
    assert len(install.asked) == 2


def test_set_up_goes_on_after_a_failure(clone):
    install.ended.returncode = 1
    with pytest.raises(SystemExit, match="Installing failed"):
        install.main([])
    install.ended.returncode = 0
    install.main([])
    assert len(install.asked) == 2


def test_set_up_says_what_is_wrong(clone, monkeypatch):
    with pytest.raises(SystemExit, match="ComfyUI 0.0.1 is not known here, only 0.30.0"):
        install.main(["0.0.1"])
    monkeypatch.setenv("COMFYUI_PATH", str(clone))
    with pytest.raises(SystemExit, match="where no ComfyUI lies"):
        install.main([])


def test_no_script_hides_a_module_or_is_hidden_by_one():
    ours = {path.stem: path for name in FOLDERS for path in (ROOT / name).glob("*.py")}
    assert len(ours) == sum(len(list((ROOT / name).glob("*.py"))) for name in FOLDERS)
    others = [entry for entry in sys.path if not entry or Path(entry).resolve() not in {ROOT / n for n in FOLDERS}]
    for name, path in ours.items():
        assert name not in sys.stdlib_module_names
        assert importlib.machinery.PathFinder.find_spec(name, others) is None, name
        assert Path(importlib.util.find_spec(name).origin) == path


def test_mistakes_in_types_are_found_in_a_clone_of_any_name(tmp_path, monkeypatch, capsys):
    clone = tmp_path / "learn-to-steer 2"
    for name in ("steering", "nodes"):
        (clone / name).mkdir(parents=True)
        (clone / name / "__init__.py").touch()
    (clone / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", clone)
    monkeypatch.setattr(check_types, "ROOT", clone)
    (clone / "steering" / "words.py").write_text("WORDS: list[str] = []\n")
    code = "from ..steering.words import WORDS\n\nfirst: {} = WORDS[0]\n"
    # Two words of two lengths: mypy takes a file of the same length and the same second as unchanged.
    for type, said in (("str", "Success"), ("bytes", "\nnodes/few.py:3: error: Incompatible types")):
        (clone / "nodes" / "few.py").write_text(code.format(type))
        with pytest.raises(SystemExit) as ended:
            check_types.main(["--into", str(clone)])
        assert bool(ended.value.code) == (type == "bytes") and said in "\n" + capsys.readouterr().out


def test_every_target_is_explained():
    said = make("help").stdout
    assert [line.split(" - ")[0] for line in said.splitlines()] == TARGETS
    listed = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert sorted(listed) == sorted(TARGETS)


def test_clean_leaves_the_set_up(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (".work", "output", ".venv", ".host", "demo"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    assert make("clean", folder=tmp_path).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"Makefile", ".venv", ".host", "demo"}


def test_older_hosts_are_all_tried(tmp_path):
    """With a Python that fails in one of them."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@ in $COMFYUI_PATH"\ncase "$COMFYUI_PATH" in *0.1) exit 1; esac\n')
    python.chmod(0o755)
    done = make("test-hosts", f"VENV={python}", "PYTHON=echo", "OLDER=0.1 0.2")
    assert done.returncode and done.stdout.splitlines() == [
        "tools/install.py 0.1 0.2",
        f"-m pytest tests/host in {ROOT}/.host/ComfyUI-0.1",
        "ComfyUI 0.1: failed",
        f"-m pytest tests/host in {ROOT}/.host/ComfyUI-0.2",
        "ComfyUI 0.2: passed",
    ]


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_run_for_a_card_that_is_not_there(tmp_path, there):
    """With a Python that says whether there is one; the tests fail in it, and the cost is measured all the same."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@"\ncase "$1" in *card.py) exit {int(not there)};; -m) exit 1; esac\n')
    python.chmod(0o755)
    done = make("test-gpu", f"VENV={python}", "PYTHON=true")
    commands = ["-m pytest tests/host", "bench/cost.py --device cuda --full --into output/gpu"]
    assert done.returncode and done.stdout.splitlines() == ["tools/card.py", *(commands if there else [])]


def test_the_card_is_named(monkeypatch, capsys):
    properties = SimpleNamespace(name="A card", total_memory=24e9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    card.main()
    assert capsys.readouterr().out.startswith("A card, 24 GB, CUDA ")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="There is no CUDA card that torch .* can use, so nothing was run"):
        card.main()


@pytest.mark.parametrize("target", ["test", "families", "pictures"])
def test_what_is_called_is_there(target):
    options = re.findall(r'addoption\(\s*"(--.*?)"', (ROOT / "tests" / "conftest.py").read_text())
    for call in calls(target):
        words = call[1:] if call[0] == "-m" else call
        assert call[0] != "-m" or importlib.util.find_spec(call[1])
        assert all((ROOT / word).exists() for word in words if "/" in word)
        assert words[0] != "pytest" or {word for word in words if word.startswith("--")} <= {*options}


def test_the_tests_that_readme_tells_of_are_there():
    told = re.findall(r"`(tests/[\w/]+\.py)", (ROOT / "tests" / "README.md").read_text())
    assert len(told) > 15 and all((ROOT / path).exists() for path in told)


# --- What is covered --------------------------------------------------------------------------------------------------

SERVER = "tests/server/test_workflows.py"
COVERED = {
    # targets
    "help": test_every_target_is_explained,
    "setup": test_set_up_installs_once_and_lets_scripts_find_each_other,
    "demo": f"{SERVER}::test_the_demo_judges_its_pictures",
    "test": test_what_is_called_is_there,
    "families": test_what_is_called_is_there,
    "test-hosts": test_older_hosts_are_all_tried,
    "bench": test_accuracy_of_what_was_trained,
    "bench-wishes": test_every_relation_is_counted,
    "bench-cost": test_cost_of_a_small_model,
    "bench-checkpoint": test_a_checkpoint_is_measured_with_what_was_asked_for,
    "test-gpu": test_nothing_is_run_for_a_card_that_is_not_there,
    "train": test_training_writes_the_files_that_are_shipped,
    "workflows": f"{SERVER}::test_bundled_workflows_are_what_is_written",
    "pictures": test_what_is_called_is_there,
    "docs": "tests/server/test_texts.py::test_the_tool_writes_the_pages",
    "pack": "tests/test_registry.py::test_the_script_tells_what_it_packs",
    "clean": test_clean_leaves_the_set_up,
    # scripts
    "bench/accuracy.py": test_accuracy_of_what_was_trained,
    "bench/judges.py": test_judges_are_counted,
    "bench/checkpoints.py": "tests/test_checkpoints.py::test_a_run_makes_pictures_records_a_table_and_a_page",
    "bench/wishes.py": test_every_relation_is_counted,
    "bench/cost.py": test_cost_of_a_small_model,
    "demo/autoencoder.py": test_training_writes_the_files_that_are_shipped,
    "demo/classifier.py": test_training_writes_the_files_that_are_shipped,
    "demo/demo.py": f"{SERVER}::test_the_demo_judges_its_pictures",
    "demo/detector.py": test_training_writes_the_files_that_are_shipped,
    "demo/diffusion.py": test_training_writes_the_files_that_are_shipped,
    "demo/flow.py": test_training_writes_the_files_that_are_shipped,
    "demo/sprites.py": test_sprites_are_cut_out_of_a_font,
    "steering/relations.py": "tests/test_prompts.py::test_command_line",
    "tests/annotated/make.py": "tests/test_annotated.py::test_the_set_is_what_its_script_makes",
    "tests/host/test_import.py": "tests/host/test_import.py::test_nobody_else_notices",
    "tools/brand.py": test_the_registry_s_pictures_are_what_is_drawn,
    "tools/card.py": test_the_card_is_named,
    "tools/cutouts.py": test_cutouts_are_taken_of_their_sources,
    "tools/check_types.py": test_mistakes_in_types_are_found_in_a_clone_of_any_name,
    "tools/help_pages.py": "tests/server/test_texts.py::test_the_tool_writes_the_pages",
    "tools/install.py": test_set_up_installs_once_and_lets_scripts_find_each_other,
    "tools/pack.py": "tests/test_registry.py::test_the_script_tells_what_it_packs",
    "tools/words.py": "tests/test_prompts.py::test_the_list_of_words_is_made_of_wordnet",
    "tools/workflows.py": f"{SERVER}::test_bundled_workflows_are_what_is_written",
}


def test_every_script_and_every_target_is_run_by_a_test():
    folders = [ROOT / name for name in (*FOLDERS, "steering", "nodes", "tests")]
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    scripts = [
        str(path.relative_to(ROOT))
        for path in files
        if path.name == "__main__.py" or re.search(r"^if __name__ ==", path.read_text(), re.M)
    ]
    assert not {*TARGETS, *scripts} - COVERED.keys(), "These are run by no test."
    assert not COVERED.keys() - {*TARGETS, *scripts}, "These are gone."
    for test in COVERED.values():
        if isinstance(test, str):
            path, _, name = test.partition("::")
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.M), test
