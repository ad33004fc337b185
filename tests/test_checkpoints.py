"""Plain against steered on a checkpoint, with the demo model in one: what a run makes, and how it survives its end."""

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import checkpoints
import comfy.utils
import folder_paths
import psutil
import pytest
import workers
from checkpoints import OF_THE_RUN, Folder, mcnemar, rows
from live_server import node_id
from methods import METHODS, Methods, opened, sized
from paths import ROOT
from PIL import Image
from scipy.stats import binomtest
from server import PromptServer
from templates import families
from workers import Here, Lost, share

import nodes

DEMO = ROOT / "workflows" / "Put things where the prompt says (emoji demo).json"
FAMILIES = [workflow.name for workflow in families()]
STEPS = "2"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """ComfyUI in this process; afterwards the process is as it was."""
    patch = pytest.MonkeyPatch()
    patch.setattr(nodes, "NODE_CLASS_MAPPINGS", dict(nodes.NODE_CLASS_MAPPINGS))
    patch.setattr(PromptServer, "instance", None, raising=False)
    for name in ("temp_directory", "user_directory"):
        patch.setattr(folder_paths, name, getattr(folder_paths, name))
    patch.setattr(comfy.utils, "PROGRESS_BAR_ENABLED", True)
    running = Here()
    yield running
    running.end()
    patch.undo()


# --- Figures ----------------------------------------------------------------------------------------------------------


def test_mcnemar_s_exact_test():
    for worse in range(12):
        for better in range(12):
            expected = binomtest(worse, worse + better).pvalue if worse + better else 1.0
            assert mcnemar(worse, better) == pytest.approx(expected)


def record(prompt: str, method: str, right: bool, **values) -> dict:
    verdict = {"there": True, "right": right, "score": float(right), "parts": [int(right), 1], "reason": "<seen>"}
    return {
        "rule": "visor", "task": "visor", "prompt": prompt, "seed": 1, "method": method, "picture": f"{prompt}.png",
        "error": None, "verdict": verdict, "colours": [0.125] * 24, "pixels": prompt,
        "seconds": 1.0, "peak_memory": None, "report": "",
        "gradient_steps": 0, "boxes": [], "run": "a", "cold": False,
    } | values  # fmt: skip


def test_methods_are_paired_with_the_plain_picture_of_the_same_prompt_and_seed():
    plain = [record(f"p{n}", "plain", n < 2) for n in range(8)]
    # p0 becomes wrong; p2 to p6 become right; p7 has a plain picture of another seed only.
    steered = [record(f"p{n}", "steered", 0 < n < 7, seconds=2.0, gradient_steps=4) for n in range(8)]
    steered[7] |= {"seed": 2}
    plain[5] |= {"seconds": 100.0, "cold": True}  # the first of its method: not compared
    plain[6] |= {"seconds": 100.0, "run": "b"}  # of another run: neither
    failed = record("p9", "steered", False, error="no")
    first, second = rows([*steered, *plain, failed])
    assert (first["method"], first["n"], first["right"], first["p"]) == ("plain", 8, 0.25, None)
    assert (second["n"], second["errors"], second["right"]) == (8, 1, 0.75)
    assert (second["worse"], second["better"], second["p"]) == (1, 5, mcnemar(1, 5))
    assert (second["time_ratio"], second["gradient_steps"]) == (2.0, 4.0)
    assert second["visor"] == {"OA": 1.0, "uncond": 0.75, "cond": 0.75, "1": 0.75, "2": 0.0, "3": 0.0, "4": 0.0}


def test_untouched_is_what_is_plain_s_picture():
    """Whatever made it: regions need no gradient, and draw another."""
    records = [record(f"p{n}", method, True) for n in range(4) for method in ("plain", "regions")]
    records += [record("p4", method, False) for method in ("plain", "regions")]
    records[1] |= {"pixels": "other"}
    plain, regions = checkpoints.aside(records)
    assert (plain["untouched"], regions["untouched"], regions["right_plain"]) == (1.0, 0.75, 4)


def test_the_page_shows_all_and_needs_nothing():
    records = [record("a <b> left of a cat", method, method == "steered") for method in ("plain", "steered")]
    records += [record("a dog", "plain", True), record("a dog", "steered", True)]
    records += [{**records[0], "prompt": "a cow", "method": "regions", "error": "Regions: <no> place."}]
    text = checkpoints.page(records, checkpoints.markdown(rows(records)), "Title & more")
    assert text.count("<section") == 3 and text.count('<section class="same"') == 1
    assert text.count('class="right"') == 3 and text.count('class="wrong"') == 1
    assert "&lt;b&gt;" in text and "<b> left" not in text and "Regions: &lt;no&gt; place." in text
    assert not re.search(r"https?:|<script|@import|<link", text)


# --- The folder -------------------------------------------------------------------------------------------------------


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "png")
    return buffer.getvalue()


def test_nothing_is_there_by_half(tmp_path):
    """As a run leaves the folder when it dies: a picture half written, one without its line, a line half written."""
    folder = Folder(tmp_path)
    whole = [record(f"p{n}", "plain", True) for n in range(4)]
    for one in whole:
        folder.keep(png(), one)
    lines = folder.log.read_bytes().splitlines(keepends=True)
    folder.log.write_bytes(lines[0] + lines[1] + lines[2][:-20])
    (folder.pictures / "p9.part").write_bytes(png()[:30])
    again = Folder(tmp_path)
    with again.alone():
        assert list(again.records.values()) == whole and again.log.read_bytes() == b"".join(lines)
        assert sorted(path.name for path in again.pictures.iterdir()) == [f"p{n}.png" for n in range(4)]
        again.settle({"graph": 1})
        with pytest.raises(ValueError, match="holds pictures that were made otherwise .graph."):
            again.settle({"graph": 2})


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    """The second does not even tidy up what the first is about to write."""
    folder = Folder(tmp_path)
    with folder.alone():
        (folder.pictures / "p1.part").touch()
        with pytest.raises(ValueError, match="Another run writes to"), Folder(tmp_path).alone():
            pass
        assert (folder.pictures / "p1.part").exists()
    with Folder(tmp_path).alone():
        assert not (folder.pictures / "p1.part").exists()


def test_workers_write_whole_lines_at_the_same_time(tmp_path):
    folder = Folder(tmp_path)

    def keep(worker: int) -> None:
        for number in range(20):
            folder.keep(None, record(f"{worker} {number}", "plain", True, report="long " * 20000))

    threads = [threading.Thread(target=keep, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = folder.log.read_text().splitlines()
    assert len({json.loads(line)["prompt"] for line in lines}) == len(lines) == 80


# --- Sharing ----------------------------------------------------------------------------------------------------------


class Failing:
    """A worker that is lost at its n-th job, if at all."""

    def __init__(self, lost_at: int = 0):
        self.lost_at, self.made, self.ended = lost_at, 0, False

    def end(self) -> None:
        self.ended = True


def shared(groups, places) -> tuple[int, list, list, list[Failing], list[str]]:
    """What is left, what was made and by which place, what failed, all workers, and what was said. places: of each, the
    jobs at which its workers are lost, one after the other."""
    done, failed, begun, said, lock = [], [], [], [], threading.Lock()

    def begin(place: int):
        with lock:
            begun.append(Failing(places[place].pop(0) if places[place] else 0))
        return begun[-1]

    def make(worker: Failing, job, place: int) -> None:
        worker.made += 1
        if worker.made == worker.lost_at or job == "poison":
            raise Lost("it died")
        time.sleep(0.001)
        with lock:
            done.append((job, place))

    starts = [lambda place=place: begin(place) for place in range(len(places))]
    left = share(groups, starts, make, lambda job, why: failed.append((job, why)), said.append, pause=0)
    return left, done, failed, begun, said


GROUPS = [[f"{group} {job}" for job in range(5)] for group in range(8)]
ALL = Counter(job for group in GROUPS for job in group)


@pytest.mark.parametrize("places", [[[]], [[], []], [[3]], [[3, 1], [4]], [[1, 1], []], [[2, 2, 2, 2, 2], [3, 3, 3]]])
def test_every_picture_is_made_once_whoever_is_lost(places):
    left, done, failed, begun, said = shared(GROUPS, [list(of) for of in places])
    assert left == 0 and not failed and Counter(job for job, _ in done) == ALL
    assert all(worker.ended for worker in begun)
    assert said == [f"Worker {line.split()[1]} is lost: it died" for line in said]
    assert len(said) == sum(bool(worker.lost_at) for worker in begun)
    if places == [[], []]:  # all of a prompt by one worker
        assert all(len({place for job, place in done if job.startswith(f"{n} ")}) == 1 for n in range(8))


def test_a_worker_that_is_always_lost_is_given_up():
    left, done, _, _, said = shared(GROUPS, [[1] * 9])
    assert left == 40 and not done
    assert said[-1] == "Worker 1 was lost 3 times without a picture and is given up."
    left, done, *_ = shared(GROUPS, [[1] * 9, []])
    assert left == 0 and Counter(job for job, _ in done) == ALL


def test_a_picture_that_no_worker_survives_fails_and_the_others_are_made():
    left, done, failed, _, _ = shared([["a", "poison", "b"], ["c"], ["d"], ["e"]], [[], []])
    assert left == 0 and failed == [("poison", "Its worker was lost 3 times: it died")]
    assert sorted(job for job, _ in done) == list("abcde")


def test_what_is_no_loss_ends_the_run():
    def make(worker, job, place) -> None:
        raise ZeroDivisionError

    for count in (1, 2):
        with pytest.raises(ZeroDivisionError):
            share(GROUPS, [Failing] * count, make, print, print)


# --- Graphs of the methods --------------------------------------------------------------------------------------------


DEMOS = [DEMO.stem, "Steered against plain (emoji demo)", "Steer any sampler (emoji demo)"]


@pytest.fixture(scope="module")
def object_info(here) -> dict:
    return here.object_info()


@pytest.mark.parametrize("name", [*FAMILIES, *DEMOS])
def test_every_workflow_that_steers_gives_every_method(object_info, name):
    graph = sized(opened(ROOT / "workflows" / f"{name}.json", object_info), 3, 64, None)
    own = None if "demo" in name else "mine.safetensors"
    methods = Methods(graph, own, rtdetr="detector.safetensors")
    for method in METHODS:
        if method == "steered, true prompts only" and not methods.demo:
            with pytest.raises(ValueError, match="needs a classifier of this model's own"):
                methods.classifier_of(method)
            continue
        made, before, after = methods.of(method, "a dog left of a cat", 7)
        kinds = Counter(node["class_type"] for node in made.values())
        for node in made.values():
            assert node["class_type"] in nodes.NODE_CLASS_MAPPINGS
            known = object_info[node["class_type"]]["input"]
            assert set(known.get("required", {})) <= node["inputs"].keys()
            for value in node["inputs"].values():
                assert not isinstance(value, list) or value[0] in made
        assert {*before, *after} <= made.keys() and "boxes_text" in after
        samplers = kinds["KSampler"] + kinds["SamplerCustomAdvanced"]
        assert samplers == (2 if method == "steer only failures" else 1)
        assert {v for n in made.values() for k, v in n["inputs"].items() if k in ("seed", "noise_seed")} == {7}
        assert {v for n in made.values() for k, v in n["inputs"].items() if k == "steps"} == {3}
        steers = method.startswith(("steer", "InfSplign", "published", "regions with"))
        assert kinds["L2S_SteerModel"] == steers and kinds["L2S_RegionsFromRelations"] == method.startswith("regions")
        assert kinds["PreviewImage"] == 1 and not kinds["SaveImage"]
    plain, *_ = methods.of("plain", "a dog left of a cat", 7)
    assert {n["class_type"] for n in plain.values() if n["class_type"].startswith("L2S_")} <= {
        "L2S_RelationParse", "L2S_LoadDemoModel"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Steer only what is wrong (emoji demo)", "stands L2S_PutBack. Take a workflow that only samples"),
        ("Regions from relations (emoji demo)", "0 nodes Steer Model or Steered KSampler"),
        ("Train a classifier (emoji demo)", "trains its classifier"),
    ],
)
def test_a_workflow_that_cannot_be_used_is_a_sentence(object_info, name, said):
    with pytest.raises(ValueError, match=said):
        Methods(opened(ROOT / "workflows" / f"{name}.json", object_info))


def test_what_would_not_be_plain_is_a_sentence(object_info):
    graph = opened(DEMO, object_info)
    sampler = graph[node_id(graph, "L2S_SteeredKSampler")]["inputs"]
    words = node_id(graph, "L2S_RelationParse")
    inputs = {"model": sampler["model"], "relations": [words, 1]}
    graph["regions"] = {"class_type": "L2S_RegionsFromRelations", "inputs": inputs}
    sampler["model"] = ["regions", 0]
    with pytest.raises(ValueError, match="comes from Regions from Relations, so nothing of it would be plain"):
        Methods(graph)


def test_a_classifier_is_the_model_s_own_only_where_it_is_a_file(object_info):
    graph = opened(ROOT / "workflows" / "SDXL - steered.json", object_info)
    loss = graph[node_id(graph, "L2S_ClassifierLoss")]["inputs"]
    for name, own in (("universal.safetensors", None), ("none: InfSplign", None), ("mine.pth", "mine.pth")):
        loss["classifier"] = name
        assert Methods(graph).own == own and Methods(graph, own="other.pth").own == "other.pth"
    graph = opened(DEMO, object_info)
    loader = graph[node_id(graph, "L2S_LoadDemoModel")]["inputs"]
    for kind, own in (("UNet", "emoji_world.safetensors"), ("transformer", "emoji_flow.safetensors")):
        loader["kind"] = kind
        assert Methods(graph).own == own
    graph[node_id(graph, "EmptyLatentImage")]["inputs"]["batch_size"] = 4
    assert sized(graph, None, None, None)[node_id(graph, "EmptyLatentImage")]["inputs"]["batch_size"] == 1


def test_a_file_that_is_no_workflow_is_a_sentence(object_info, tmp_path):
    api = tmp_path / "api.json"
    api.write_text(json.dumps({"1": {"class_type": "MagicLoader", "inputs": {}}}))
    with pytest.raises(ValueError, match='no node "MagicLoader"'):
        opened(api, object_info)
    api.write_text("[]")
    with pytest.raises(ValueError, match="is no workflow of ComfyUI"):
        opened(api, object_info)
    with pytest.raises(ValueError, match="There is no workflow"):
        opened(tmp_path / "none.json", object_info)
    with pytest.raises(ValueError, match="no Load Checkpoint that could load 'mine'"):
        sized({}, None, None, "mine")


# --- Runs -------------------------------------------------------------------------------------------------------------


def call(into: Path, prompts: Path, *more: str) -> list[dict]:
    checkpoints.main([
        "--workflow", str(DEMO), "--prompts", str(prompts), "--seeds", "3", "--steps", STEPS, "--into", str(into),
        "--methods", "plain", "steered", "regions", "steer only failures", *more,
    ])  # fmt: skip
    return read(into)


def read(into: Path) -> list[dict]:
    lines = (into / "records.jsonl").read_text().splitlines()
    kept = [{k: v for k, v in json.loads(line).items() if k not in OF_THE_RUN} for line in lines]
    return sorted(kept, key=lambda r: (r["prompt"], r["method"]))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Path:
    """The model's own look cannot say who is behind whom, so one method fails for the third."""
    path = tmp_path_factory.mktemp("prompts") / "own.txt"
    path.write_text("a dog left of a cat\na bus above a clock\na dog behind a cat\n")
    return path


@pytest.fixture(scope="module")
def whole(here, prompts, tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    into = tmp_path_factory.mktemp("whole")
    call(into, prompts)
    return into


def without_times(table: Path) -> list[dict]:
    found = json.loads(table.read_text())
    times = ("seconds_per_image", "time_ratio")
    return [{k: v for k, v in row.items() if k not in times} for row in (*found["rows"], *found["kept"])]


def test_a_run_makes_pictures_records_a_table_and_a_page(whole):
    records = read(whole)
    assert len(records) == 12
    (failed,) = (r for r in records if r["error"])
    assert (failed["method"], failed["prompt"]) == ("steer only failures", "a dog behind a cat")
    assert failed["picture"] is None and failed["error"].startswith("L2S_Judge: The model itself cannot tell.")
    for one in records:
        if one["error"] is None:
            with Image.open(whole / "pictures" / one["picture"]) as picture:
                assert picture.size == tuple(one["size"]) == (128, 128)
                assert json.loads(picture.text["learn-to-steer"])["boxes"] == one["boxes"]
            told = re.search(r"(\d+) gradient steps in all", one["report"])
            assert one["gradient_steps"] == int(told[1] if told else 0)
    steered = {r["prompt"]: r["gradient_steps"] for r in records if r["method"] == "steered"}
    assert all(steps == 0 if "behind" in prompt else steps > 0 for prompt, steps in steered.items())
    assert not any(r["gradient_steps"] for r in records if r["method"] in ("plain", "regions"))
    table = json.loads((whole / "table.json").read_text())
    assert [(r["method"], r["n"], r["errors"]) for r in table["rows"]] == [
        ("plain", 3, 0), ("steered", 3, 0), ("regions", 3, 0), ("steer only failures", 2, 1)
    ]  # fmt: skip
    assert table["command"].startswith("python bench/checkpoints.py --workflow '")
    text = (whole / "table.md").read_text()
    assert text.startswith(f"`{table['command']}`\n\n| task | method | n | all things | right | 95% |")
    page = (whole / "index.html").read_text()
    assert set(re.findall(r'src="(pictures/[^"]+)"', page)) == {
        f"pictures/{r['picture']}" for r in records if r["picture"]
    }


@pytest.mark.parametrize("dies_at", ["picture", "record"])
def test_a_run_that_was_ended_anywhere_goes_on(whole, prompts, tmp_path, monkeypatch, dies_at):
    """Before its fifth picture has its name, or before that has its line: nothing is made twice, nothing is other."""
    asked: list = []
    make = workers.Worker.make
    monkeypatch.setattr(workers.Worker, "make", lambda self, job: asked.append(job) or make(self, job))
    with monkeypatch.context() as dying:
        if dies_at == "picture":
            rename = Path.rename
            dying.setattr(Path, "rename", lambda a, b: rename(a, b) if b.suffix != ".png" or len(asked) < 5 else 1 / 0)
        else:
            append = Folder.append
            dying.setattr(Folder, "append", lambda self, one: append(self, one) if len(asked) < 5 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            call(tmp_path, prompts)
    began = len(asked)
    assert call(tmp_path, prompts) == read(whole)
    assert (began, len(asked)) == (5, 13 if dies_at == "picture" else 12)
    assert without_times(tmp_path / "table.json") == without_times(whole / "table.json")
    for path in (whole / "pictures").iterdir():
        with Image.open(path) as one, Image.open(tmp_path / "pictures" / path.name) as other:
            assert one.tobytes() == other.tobytes()


def test_what_failed_is_tried_again_only_when_asked(whole, prompts, monkeypatch, capsys):
    asked: list = []
    make = workers.Worker.make
    monkeypatch.setattr(workers.Worker, "make", lambda self, job: asked.append(job) or make(self, job))
    before = read(whole)
    call(whole, prompts)
    assert not asked and "0 pictures are to be made, 12 are there" in capsys.readouterr().out
    call(whole, prompts, "--again")
    assert [job.method for job in asked] == ["steer only failures"]
    assert [r for r in read(whole) if r["picture"]] == [r for r in before if r["picture"]]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--prompts nowhere", "There are no prompts 'nowhere'"),
        ("--workflow nothing", "There is no workflow 'nothing'"),
        ("--tasks sorting", "These prompts have no task 'sorting', only own prompts"),
        ("--servers 127.0.0.1:9", "No ComfyUI answers at 127.0.0.1:9"),
        ("--workers 2", "Ray is not installed. Run `make setup WITH=--ray`"),
        ("--steps 3", "holds pictures that were made otherwise"),
    ],
)
def test_mistakes_are_a_sentence(whole, prompts, monkeypatch, more, said):
    monkeypatch.setitem(sys.modules, "ray", None)
    more = "--seeds 4 " + more if "workers" in more else more
    with pytest.raises(SystemExit, match=said):
        call(whole, prompts, *more.split())


def test_a_fault_of_every_picture_ends_the_run(here, prompts, tmp_path):
    """And once it is mended, the run goes on in the same folder."""
    with pytest.raises(SystemExit, match="The first 5 pictures all failed: UNETLoader: .*none.safetensors"):
        call(tmp_path, prompts, "--rtdetr", "none.safetensors")
    assert len(read(tmp_path)) == 5 and not list((tmp_path / "pictures").iterdir())
    checkpoints.main([
        "--workflow", str(DEMO), "--prompts", str(prompts), "--seeds", "3", "--steps", STEPS, "--into", str(tmp_path),
        "--methods", "plain", "--again",
    ])  # fmt: skip
    assert [r["method"] for r in read(tmp_path) if r["picture"]] == ["plain"] * 3


def test_sam3_searches_each_thing_by_its_name(object_info):
    graph, _, after = Methods(opened(DEMO, object_info), sam3="sam3.safetensors").of(
        "plain", "a dog left of a tv remote", 1, ("dog", "tv remote", "dog")
    )
    assert after == ["boxes_text"]
    names = [node["inputs"]["name"] for node in graph.values() if node["class_type"] == "L2S_NameBoxes"]
    texts = [node["inputs"]["text"] for node in graph.values() if node["class_type"] == "CLIPTextEncode"]
    assert names == ["dog", "tv remote"] and {"dog:16", "tv remote:16"} < set(texts)
    for node in graph.values():
        assert set(object_info[node["class_type"]]["input"].get("required", {})) <= node["inputs"].keys()


def test_a_model_that_is_no_demo_needs_a_detector(here, tmp_path):
    with pytest.raises(SystemExit, match="Name the file of one that ComfyUI runs: --rtdetr FILE"):
        checkpoints.main(["--workflow", "SDXL - steered", "--into", str(tmp_path)])


# --- Ray --------------------------------------------------------------------------------------------------------------


def test_two_workers_of_ray_s_make_the_same_and_one_may_die(whole, prompts, tmp_path):
    """In processes of their own; one of them is killed while it works."""
    pytest.importorskip("ray", reason="`make setup WITH=--ray` installs it")
    command = [sys.executable, str(ROOT / "bench" / "checkpoints.py"), "--workflow", str(DEMO)]
    command += ["--prompts", str(prompts), "--seeds", "3", "--steps", STEPS, "--into", str(tmp_path), "--workers", "2"]
    command += ["--methods", "plain", "steered", "regions", "steer only failures"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        log = tmp_path / "records.jsonl"
        while running.poll() is None and not (log.exists() and log.read_text().count("\n") > 1):
            time.sleep(0.1)
        ours = [p for p in psutil.Process(running.pid).children(recursive=True) if "ray::Worker" in str(p.cmdline())]
        ours[0].send_signal(signal.SIGKILL)
        said = running.communicate()[0]
    assert running.returncode == 0, said
    assert len(ours) == 2 and "is lost" in said
    assert read(tmp_path) == read(whole)
