"""Run the workflow that shows steered against plain in a real ComfyUI, for its own prompt and five more, with both demo
models: `make demo`.

    python demo/demo.py --more 5

writes output/demo.png and the single pictures beside it.
"""

import copy
import json
import sys
import time
from pathlib import Path

import host  # noqa: F401  makes `learn_to_steer` importable

import detector
import numpy as np
import torch
from learn_to_steer.steering.judge import judge
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.words import Wish
from live_server import Server, node_id, serving, to_api
from paths import CLASSIFIERS, OUTPUT, ROOT, WEIGHTS, arguments
from PIL import Image, ImageDraw, ImageFont

WORKFLOW = ROOT / "workflows" / "Steered against plain (emoji demo).json"
PROMPTS = (  # GenEval's; the classifier has never seen these pairs
    "a dog right of a teddy bear",
    "a zebra left of an elephant",
    "a bus below a toothbrush",
    "a pizza right of a banana",
    "a book above a laptop",
)
HALVES = ("plain", "steered")
MODELS = {"UNet": "normal", "transformer": "simple"}  # kinds of Load Demo Model, and their schedulers
GREEN, RED = "#2e9e4f", "#d03a3a"


def missing() -> list[str]:
    """The files that the demo needs and that are not there."""
    weights = [WEIGHTS / f"emoji_{part}.safetensors" for part in ("unet", "flow", "clip", "vae")]
    needed = [*weights, detector.WEIGHTS, CLASSIFIERS / "universal.safetensors", WORKFLOW]
    return [str(path) for path in needed if not (ROOT / path).exists()]


def half(server: Server, graph: dict, name: str) -> tuple[np.ndarray, float]:
    """The plain or the steered picture of the workflow, and the seconds from its sampler to its file."""
    save = node_id(graph, "SaveImage", filename_prefix=f"learn-to-steer/{name}")
    outputs, seconds = server.run(graph, [save])
    return server.image(outputs[save]["images"][0]), seconds


def verdict(picture: np.ndarray, asked: Wish) -> tuple[bool, str]:
    """Is it as asked? And what the detector sees, in words."""
    (things,) = detector.find(torch.from_numpy(picture.copy())[None] / 255)
    (said,) = judge([thing.found() for thing in things.values()], [asked])
    return bool(said.granted), said.reason


def grid(models: dict[str, list[dict]]) -> Image.Image:
    """Plain above steered, of one model above the other; the prompt over all, green for right and red for wrong."""
    side, gap, left, top = 256, 16, 128, 48
    columns = max(map(len, models.values()))
    sheet = Image.new("RGB", (left + columns * (side + gap), top + len(models) * len(HALVES) * (side + gap)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(18)
    lines = [(rows, model, name) for model, rows in models.items() for name in HALVES]
    for line, (rows, model, name) in enumerate(lines):
        y = top + line * (side + gap)
        draw.multiline_text((left / 2, y + side / 2), f"{model}\n{name}", "black", font, anchor="mm", align="center")
        for column, row in enumerate(rows):
            x = left + column * (side + gap)
            picture, right, _ = row[name]
            large = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(large, (x, y))
            mark(draw, x + side - 24, y + 24, right)
            if line == 0:
                draw.text((x + side / 2, top / 2), row["prompt"], "black", font, anchor="mm")
    return sheet


def mark(draw: ImageDraw.ImageDraw, x: float, y: float, right: bool) -> None:
    """A tick on green or a cross on red."""
    draw.circle((x, y), 16, GREEN if right else RED, "white", 2)
    if right:
        draw.line([(x - 8, y), (x - 2, y + 6), (x + 8, y - 6)], "white", 4)
    else:
        draw.line([(x - 6, y - 6), (x + 6, y + 6)], "white", 4)
        draw.line([(x - 6, y + 6), (x + 6, y - 6)], "white", 4)


def run(server: Server, graph: dict, model: str, prompts: list[str], output: Path) -> list[dict]:
    """Both halves of the workflow with one of the models, for each prompt."""
    graph = copy.deepcopy(graph)
    words = node_id(graph, "L2S_RelationParse")
    graph[node_id(graph, "L2S_LoadDemoModel")]["inputs"]["kind"] = model
    samplers = [node["inputs"] for node in graph.values() if "seed" in node["inputs"]]
    understood = node_id(graph, "PreviewAny", source=[words, 2])
    first, rows = samplers[0]["seed"], []
    for sampler in samplers:
        sampler |= {"seed": first + len(prompts), "scheduler": MODELS[model]}
    server.run(graph)  # the first run of everything is slow: it is not timed
    for number, text in enumerate(prompts):
        graph[words]["inputs"]["text"] = text
        for sampler in samplers:
            sampler["seed"] = first + number
        server.run(graph, [understood])  # what both halves share: the prompt's encoding
        (asked,) = parse(text).wishes
        row: dict = {"prompt": text}
        for name in HALVES:
            picture, seconds = half(server, graph, name)
            Image.fromarray(picture).save(output / f"{model}-{name}-{number + 1}.png")
            row[name] = (picture, *verdict(picture, asked))
            row[f"{name} seconds"] = seconds
        rows.append(row)
        print(
            f"{model}, {asked.subject.text} {asked.relation} {asked.object.text}:"
            f" plain shows {row['plain'][2]}, steered shows {row['steered'][2]}"
            f" ({row['plain seconds']:.1f} s, {row['steered seconds']:.1f} s)",
            flush=True,
        )
    return rows


def main(given: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--more", type=int, default=len(PROMPTS), help="prompts besides the workflow's own")
    args = parser.parse_args(given)
    output = args.into / OUTPUT
    began = time.perf_counter()
    if files := missing():
        sys.exit(f"The demo needs {', '.join(files)}. Install the pack again, or run `make train`.")
    output.mkdir(parents=True, exist_ok=True)
    print("Starting ComfyUI ...", flush=True)
    with serving() as server:
        graph = to_api(json.loads(WORKFLOW.read_text()), server.object_info())
        text = graph[node_id(graph, "L2S_RelationParse")]["inputs"]["text"]
        prompts = [text, *PROMPTS[: args.more]]
        print("Both halves of the workflow are run and timed on their own.", flush=True)
        models = {model: run(server, graph, model, prompts, output) for model in MODELS}
    grid(models).save(output / "demo.png")
    print(f'Asked: "{text}" and {args.more} more.')
    for model, rows in models.items():
        right = {name: sum(row[name][1] for row in rows) for name in HALVES}
        spent = {name: sum(row[f"{name} seconds"] for row in rows) for name in HALVES}
        print(
            f"{model}, right: plain {right['plain']} of {len(rows)}, steered {right['steered']} of {len(rows)}."
            f" Steered took {spent['steered'] / spent['plain']:.1f} times as long as plain."
        )
    print(f"{time.perf_counter() - began:.0f} s in all. See {output / 'demo.png'}")


if __name__ == "__main__":
    main()
