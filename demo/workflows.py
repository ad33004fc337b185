"""Write the bundled workflows and their thumbnails.

    python demo/workflows.py

asks a running ComfyUI what its nodes look like, writes workflows/*.json as the editor would save them, runs each and
makes its .jpg. Needs all of the demo's weights.
"""

import json
import uuid
from dataclasses import dataclass

import numpy as np
from live_server import (
    CONTROL,
    PRIMITIVE,
    ROOT,
    Server,
    choices,
    inputs,
    is_widget,
    serving,
    to_api,
    widgets,
)
from PIL import Image, ImageDraw, ImageFont

ABOVE = "Put things where the prompt says (emoji demo)"
TWO = "Two relations (emoji demo)"
ANY = "Steer any sampler (emoji demo)"
LOOK = "See what the model looks at (emoji demo)"
SEEDS = {ABOVE: 2, TWO: 1, ANY: 1, LOOK: 1}

FOLDER = ROOT / "workflows"
CLASSIFIER = "emoji_world.safetensors"
SAMPLING = {"steps": 25, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal"}
VERSIONS = {"learn-to-steer": "0.1.0", "comfy-core": "0.30.0"}
BLUE, GREY, GREEN, VIOLET = "#3f789e", "#6b6b6b", "#3f7f4f", "#7a5a9e"
WIDTH, GAP, TITLE = 320, 40, 30  # px in the editor
PICTURE, TEXT = 330, 150  # px, heights of a saved picture and of a text
THUMBNAIL = 512  # px
# The editor's own node takes on the widget that it is linked to. object_info would say of it, linked to a seed:
SEED = {
    "input": {"required": {"seed": ["INT", {"default": 0, "control_after_generate": True}]}},
    "output": ["INT"], "output_name": ["INT"],
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """inputs: values, or (node, output) for a link; those left out have their default."""

    kind: str
    inputs: dict
    title: str | None = None


@dataclass(frozen=True)
class Group:
    """A coloured frame around columns of named nodes."""

    title: str
    colour: str
    columns: list[dict[str, Node]]


@dataclass(frozen=True)
class Workflow:
    """note: what to look at and what to change; groups: stacks from left to right; captions: of the pictures."""

    name: str
    note: str
    groups: list[list[Group]]
    captions: tuple[str, ...]


def node(kind: str, title: str | None = None, **values) -> Node:
    return Node(kind, values, title)


def prompt(text: str, seed: int | None) -> Group:
    """What every workflow begins with. seed: None where another node holds it."""
    left = {
        "demo": node("L2S_LoadDemoModel"),
        "words": node("L2S_RelationParse", clip=("demo", 1), text=text),
        "nothing": node("CLIPTextEncode", "Negative prompt", clip=("demo", 1), text=""),
    }
    right = {
        "empty": node("EmptyLatentImage", width=128, height=128),
        **({} if seed is None else {"seed": node(PRIMITIVE, "Seed", seed=seed)}),
        "understood": node("PreviewAny", "What was understood", source=("words", 2)),
    }
    return Group("1 The prompt", BLUE, [left, right])


def saved(name: str, latent: tuple[str, int], title: str) -> dict[str, Node]:
    """A latent's picture, decoded and saved as learn-to-steer/name."""
    return {
        f"{name} picture": node("VAEDecode", samples=latent, vae=("demo", 2)),
        f"{name} save": node(
            "SaveImage", title, images=(f"{name} picture", 0), filename_prefix=f"learn-to-steer/{name}"
        ),
    }  # fmt: skip


def classifier() -> dict[str, Node]:
    return {
        "capture": node("L2S_AttentionCapture", model=("demo", 0), relations=("words", 1)),
        "loss": node("L2S_ClassifierLoss", capture=("capture", 0), classifier=CLASSIFIER),
    }


def ksampler(kind: str, **values) -> Node:
    return node(
        kind, model=("demo", 0), positive=("words", 0), negative=("nothing", 0), latent_image=("empty", 0),
        seed=("seed", 0), **SAMPLING, **values,
    )  # fmt: skip


def plain() -> Group:
    sampler = {"plain": ksampler("KSampler")}
    return Group("2 Plain", GREY, [sampler, saved("plain", ("plain", 0), "Plain")])


def plain_and_steered(name: str, text: str, note: str) -> Workflow:
    """The same noise without and with steering."""
    steered = Group(
        "3 Steered",
        GREEN,
        [
            classifier(),
            {"steered": ksampler("L2S_SteeredKSampler", loss=("loss", 0))},
            saved("steered", ("steered", 0), "Steered"),
            {"report": node("PreviewAny", "Report", source=("steered", 1))},
        ],
    )
    groups = [[prompt(text, SEEDS[name])], [plain(), steered]]
    return Workflow(name, note, groups, ("plain", "steered"))


def any_sampler() -> Workflow:
    def custom(name: str, model: tuple[str, int]) -> dict[str, Node]:
        return {
            f"{name} guider": node(
                "CFGGuider", model=model, positive=("words", 0), negative=("nothing", 0), cfg=5.0
            ),
            name: node(
                "SamplerCustomAdvanced", noise=("noise", 0), guider=(f"{name} guider", 0), sampler=("sampler", 0),
                sigmas=("sigmas", 0), latent_image=("empty", 0),
            ),
        }  # fmt: skip

    sampling = {
        "noise": node("RandomNoise", noise_seed=SEEDS[ANY]),
        "sampler": node("KSamplerSelect", sampler_name="dpmpp_2m"),
        "sigmas": node("BasicScheduler", model=("demo", 0), scheduler="normal", steps=25),
    }
    steer = {"steer": node("L2S_SteerModel", model=("demo", 0), loss=("loss", 0))}
    return Workflow(
        ANY,
        "## Steer any sampler\n"
        "**Look at** the two pictures: same noise, same sampler; only the model differs.\n\n"
        "**Change** the sampler in KSamplerSelect, or bring your own: Steer Model gives a steered MODEL to any of them."
        " What it did stands in the console.",
        [
            [prompt("a pizza right of a banana", None)],
            [Group("2 One sampler for both", VIOLET, [sampling])],
            [
                Group("3 Plain", GREY, [custom("plain", ("demo", 0)), saved("plain", ("plain", 0), "Plain")]),
                Group(
                    "4 Steered",
                    GREEN,
                    [
                        classifier() | steer,
                        custom("steered", ("steer", 0)),
                        saved("steered", ("steered", 0), "Steered"),
                    ],
                ),
            ],
        ],
        ("plain", "steered"),
    )  # fmt: skip


def look() -> Workflow:
    maps = node(
        "L2S_PreviewAttentionMaps", model=("demo", 0), positive=("words", 0), capture=("capture", 0),
        samples=("plain", 0), images=("plain picture", 0),
    )  # fmt: skip
    save = node(
        "SaveImage", "Where it looks", images=("maps", 0), filename_prefix="learn-to-steer/maps"
    )
    return Workflow(
        LOOK,
        "## See what the model looks at\n"
        "**Look at** the bright places: there the model attends to the word. One picture a word, in the prompt's order."
        " This is all that the classifier sees.\n\n"
        "**Change** the prompt, or *noise* in Preview Attention Maps: the more noise, the more of it is guesswork.",
        [
            [prompt("a dog left of a cat", SEEDS[LOOK])],
            [
                plain(),
                Group(
                    "3 Attention",
                    VIOLET,
                    [
                        {
                            "capture": node(
                                "L2S_AttentionCapture", model=("demo", 0), relations=("words", 1)
                            ),
                            "maps": maps,
                        },
                        {"maps save": save},
                    ],
                ),
            ],
        ],
        ("picture", "dog", "cat"),
    )


def workflows() -> list[Workflow]:
    return [
        plain_and_steered(
            ABOVE,
            "a giraffe above an airplane",
            "## Put things where the prompt says\n"
            "**Look at** the two pictures: same prompt, same seed. The small demo model knows *what* to draw,"
            " not *where*; steering tells it. The report says how sure the classifier was, step by step.\n\n"
            "**Change** the prompt (25 kinds of things; left of, right of, above, below) or the seed.",
        ),
        plain_and_steered(
            TWO,
            "a dog left of a cat and above a bus",
            "## Two relations in one prompt\n"
            "**Look at** *What was understood*: both relations begin with the dog.\n\n"
            "**Change** *sharing* in Steered KSampler: how the relations share the gradient steps. If one of them keeps"
            " losing, give it more *refinements*. Misunderstood? Write *corrections* in Relation Parse.",
        ),
        any_sampler(),
        look(),
    ]


# --- The editor's format --------------------------------------------------------------------------------------------


def height(entry: Node, info: dict) -> int:
    """Enough for the editor, which makes a node larger where it needs to, and then over its neighbour."""
    if entry.kind == "SaveImage":
        return PICTURE
    if entry.kind == "PreviewAny":
        return 2 * TEXT if entry.title == "Report" else TEXT
    specs = inputs(info)
    texts = sum(bool(len(s) > 1 and s[1].get("multiline")) for s in specs.values())
    sockets = sum(not is_widget(spec) for spec in specs.values())
    return 20 + 22 * max(sockets, len(info["output"])) + 30 * len(widgets(info)) + 80 * texts


def default(spec: list):
    if (options := choices(spec)) is not None:
        first = options[0] if options else None
        return spec[1].get("default", first) if len(spec) > 1 else first
    return spec[1]["default"]


def build(workflow: Workflow, object_info: dict) -> dict:
    """The workflow as the editor saves it."""
    object_info = {**object_info, PRIMITIVE: SEED}
    everything = {
        name: entry
        for stack in workflow.groups
        for group in stack
        for column in group.columns
        for name, entry in column.items()
    }
    ids = {name: number for number, name in enumerate(everything, 2)}  # 1 is the note
    nodes, links, frames = {}, [], []
    for name, entry in everything.items():
        info = object_info[entry.kind]
        specs = inputs(info)
        for key, value in entry.inputs.items():
            options = choices(specs[key]) if not isinstance(value, tuple) else None
            if options is not None and value not in options:
                raise ValueError(f'{entry.kind} has no {key} "{value}"; it has {options}.')
        sockets = [key for key in specs if not is_widget(specs[key])]
        slots = []
        for key in sockets + [key for key in specs if key not in sockets]:
            slot = {"name": key, "type": specs[key][0], "link": None}
            if isinstance(slot["type"], list):
                slot["type"] = "COMBO"
            if key not in sockets:
                slot["widget"] = {"name": key}
            if key in info["input"].get("optional", {}):
                slot["shape"] = 7  # how the editor draws what may be left open
            if isinstance(entry.inputs.get(key), tuple):
                origin, output = entry.inputs[key]
                kind = object_info[everything[origin].kind]["output"][output]
                slot["link"] = len(links) + 1
                links.append([slot["link"], ids[origin], output, ids[name], len(slots), kind])
            slots.append(slot)
        values = []
        for key in widgets(info):
            value = "fixed" if key == CONTROL else entry.inputs.get(key)
            if isinstance(value, tuple):
                origin = everything[value[0]]  # the editor copies what its own node holds
                value = origin.inputs[key] if origin.kind == PRIMITIVE else None
            values.append(default(specs[key]) if value is None else value)
        pack = "learn-to-steer" if entry.kind.startswith("L2S_") else "comfy-core"
        nodes[name] = {
            "id": ids[name], "type": entry.kind, "pos": None, "size": [WIDTH, height(entry, info)], "flags": {},
            "order": 0, "mode": 0, "inputs": slots, "outputs": [],
            **({"title": entry.title} if entry.title else {}),
            "properties": {"Node name for S&R": entry.kind, "cnr_id": pack, "ver": VERSIONS[pack]},
            "widgets_values": values,
        }  # fmt: skip
    for name, entry in everything.items():
        info = object_info[entry.kind]
        for slot, (kind, label) in enumerate(zip(info["output"], info["output_name"], strict=True)):
            leaving = [link[0] for link in links if link[1:3] == [ids[name], slot]]
            nodes[name]["outputs"].append({"name": label, "type": kind, "links": leaving or None})
        if entry.kind == PRIMITIVE:
            nodes[name]["inputs"] = []
            nodes[name]["outputs"][0]["widget"] = {"name": "seed"}
            nodes[name]["properties"] = {"Run widget replace on values": False}

    note = {
        "id": 1, "type": "MarkdownNote", "pos": [0, TITLE], "size": [2 * WIDTH + 3 * GAP, 230], "flags": {}, "order": 0,
        "mode": 0, "inputs": [], "outputs": [], "title": "Read me", "properties": {},
        "widgets_values": [workflow.note], "color": "#432", "bgcolor": "#653",
    }  # fmt: skip
    x = 0
    for number, stack in enumerate(workflow.groups):
        y = note["size"][1] + TITLE + GAP if number == 0 else 0
        for group in stack:
            deepest = 0
            for at, column in enumerate(group.columns):
                below = y + GAP + TITLE  # the frame's title, then the node's
                for name in column:
                    nodes[name]["pos"] = [x + GAP + at * (WIDTH + GAP), below]
                    below += nodes[name]["size"][1] + TITLE + GAP
                deepest = max(deepest, below - TITLE)
            frame = [x, y, GAP + len(group.columns) * (WIDTH + GAP), deepest - y]
            frames.append({
                "id": len(frames) + 1, "title": group.title, "bounding": frame, "color": group.colour,
                "font_size": 24, "flags": {},
            })  # fmt: skip
            y = deepest + GAP
        x += GAP + max(frame["bounding"][2] for frame in frames if frame["bounding"][0] == x)
    for order, name in enumerate(in_order(everything), 1):
        nodes[name]["order"] = order
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, workflow.name)), "revision": 0,
        "last_node_id": len(nodes) + 1, "last_link_id": len(links),
        "nodes": [note, *nodes.values()], "links": links, "groups": frames,
        "config": {}, "extra": {"ds": {"scale": 0.6, "offset": [60, 60]}}, "version": 0.4,
    }  # fmt: skip


def in_order(everything: dict[str, Node]) -> list[str]:
    """Every node after those that it takes from."""
    done: list[str] = []
    while len(done) < len(everything):
        for name, entry in everything.items():
            origins = [value[0] for value in entry.inputs.values() if isinstance(value, tuple)]
            if name not in done and all(origin in done for origin in origins):
                done.append(name)
    return done


# --- Thumbnails -----------------------------------------------------------------------------------------------------


def pictures(server: Server, graph: dict) -> list[np.ndarray]:
    """Runs the graph: what its SaveImage nodes saved, in the graph's order."""
    outputs, _ = server.run(graph)
    return [
        server.image(entry)
        for key, node in graph.items()
        if node["class_type"] == "SaveImage"
        for entry in outputs[key]["images"]
    ]


def thumbnail(images: list[np.ndarray], captions: tuple[str, ...]) -> Image.Image:
    """The pictures side by side, each with its caption below."""
    side, line = THUMBNAIL // len(images), 28
    sheet = Image.new("RGB", (side * len(images), side + line), "#202020")
    draw = ImageDraw.Draw(sheet)
    for at, (image, caption) in enumerate(zip(images, captions, strict=True)):
        picture = Image.fromarray(image)
        smooth = side % picture.width != 0
        method = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
        sheet.paste(picture.resize((side, side), method), (at * side, 0))
        draw.text(
            ((at + 0.5) * side, side + line / 2),
            caption,
            "white",
            ImageFont.load_default(18),
            anchor="mm",
        )
    return sheet


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with serving() as server:
        object_info = server.object_info()
        for workflow in workflows():
            saved_as = build(workflow, object_info)
            path = FOLDER / f"{workflow.name}.json"
            path.write_text(json.dumps(saved_as, indent=1) + "\n")
            images = pictures(server, to_api(saved_as, object_info))
            thumbnail(images, workflow.captions).save(path.with_suffix(".jpg"), quality=92)
            print(f"{path.name}: {len(images)} pictures", flush=True)


if __name__ == "__main__":
    main()
