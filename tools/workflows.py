"""Write the bundled workflows and their thumbnails.

    python tools/workflows.py

asks a running ComfyUI what its nodes look like and writes workflows/*.json as the editor would save them. Those of the
demo model are run for their .jpg, and need its weights; the families' get a card.
"""

import json
import re
import uuid

import numpy as np
from live_server import CONTROL, PRIMITIVE, Server, choices, inputs, is_widget, serving, to_api, widgets
from paths import arguments
from PIL import Image, ImageDraw, ImageFont
from templates import ABOVE, GREEN, Node, Workflow, workflows

VERSIONS = {"learn-to-steer": "0.1.0", "comfy-core": "0.30.0"}
WIDTH, GAP, TITLE = 320, 40, 30  # px in the editor
PICTURE, TEXT, LIVE = 330, 150, 330  # px, heights of pictures, of a text, and of the view of a run
LINE, LETTERS = 22, 95  # of a note: px, and how many stand in one
THUMBNAIL = 512  # px
# The editor's own node takes on the widget that it is linked to. object_info would say of it, linked to a seed:
SEED = {
    "input": {"required": {"seed": ["INT", {"default": 0, "control_after_generate": True}]}},
    "output": ["INT"],
    "output_name": ["INT"],
}

# --- The editor's format --------------------------------------------------------------------------------------------


def height(entry: Node, info: dict) -> int:
    """Enough for the editor, which makes a node larger where it needs to, and then over its neighbour."""
    if entry.kind in ("SaveImage", "PreviewImage"):
        return PICTURE
    if entry.kind == "L2S_SteeringReport":
        return 2 * PICTURE  # one below the other
    if entry.kind == "L2S_Judge":
        return 2 * PICTURE + TEXT
    if entry.kind == "L2S_ChooseLayers":
        return PICTURE + TEXT
    if entry.kind == "PreviewAny":
        return 2 * TEXT if entry.title == "Report" else TEXT
    specs = inputs(info)
    texts = sum(bool(len(s) > 1 and s[1].get("multiline")) for s in specs.values())
    sockets = sum(not is_widget(spec) for spec in specs.values())
    live = LIVE if "L2S_RUN" in info["output"] else 0
    return 20 + 22 * max(sockets, len(info["output"])) + 30 * len(widgets(info)) + 80 * texts + live


def height_of_note(text: str) -> int:
    shown = re.sub(r"\]\(.*?\)", "]", text)  # without the addresses of links
    return 40 + LINE * sum(1 + len(line) // LETTERS for line in shown.splitlines())


def default(spec: list):
    if (options := choices(spec)) is not None:
        first = options[0] if options else None
        return spec[1].get("default", first) if len(spec) > 1 else first
    return spec[1].get("default", "")  # none: a text


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
            if options is not None and value not in options and value not in workflow.brought:
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
        models = [{"name": m.name, "url": m.url, "directory": m.directory} for m in entry.models]
        pack = "learn-to-steer" if entry.kind.startswith("L2S_") else "comfy-core"
        nodes[name] = {
            "id": ids[name], "type": entry.kind, "pos": None, "size": [WIDTH, height(entry, info)], "flags": {},
            "order": 0, "mode": 0, "inputs": slots, "outputs": [],
            **({"title": entry.title} if entry.title else {}),
            "properties": {
                "Node name for S&R": entry.kind, "cnr_id": pack, "ver": VERSIONS[pack],
                **({"models": models} if models else {}),
            },
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
        "id": 1, "type": "MarkdownNote", "pos": [0, TITLE], "flags": {}, "order": 0, "mode": 0,
        "size": [2 * WIDTH + 3 * GAP, height_of_note(workflow.note)], "inputs": [], "outputs": [],
        "title": "Read me", "properties": {}, "widgets_values": [workflow.note], "color": "#432", "bgcolor": "#653",
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
        "config": {}, "extra": {"ds": {"scale": 0.6, "offset": [150, 120]}}, "version": 0.4,
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
        draw.text(((at + 0.5) * side, side + line / 2), caption, "white", ImageFont.load_default(18), anchor="mm")
    return sheet


def card(family: str, way: str, picture: np.ndarray) -> Image.Image:
    """For a model that was never run here: its name and how it is steered, over what the demo model drew when its
    classifier steered it."""
    top, line = 112, 44
    side = THUMBNAIL - top - line
    sheet = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "#202020")
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 0, THUMBNAIL, top), GREEN)
    below = "Drawn by the emoji demo. This model: not tried yet."
    for text, y, size in ((family, 42, 56), (way, 90, 24), (below, THUMBNAIL - line / 2, 18)):
        draw.text((THUMBNAIL / 2, y), text, "white", ImageFont.load_default(size), anchor="mm")
    drawn = Image.fromarray(picture)
    behind = drawn.resize((THUMBNAIL, side), Image.Resampling.BICUBIC)
    sheet.paste(Image.blend(behind, Image.new("RGB", behind.size, "#202020"), 0.7), (0, top))
    drawn = drawn.resize((side, side), Image.Resampling.LANCZOS)
    sheet.paste(drawn, ((THUMBNAIL - side) // 2, top))
    return sheet


def main(given: list[str] | None = None) -> None:
    folder = arguments(__doc__).parse_args(given).into / "workflows"
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    with serving() as server:
        object_info = server.object_info()
        for workflow in workflows():
            saved_as = build(workflow, object_info)
            path = folder / f"{workflow.name}.json"
            path.write_text(json.dumps(saved_as, indent=1) + "\n")
            if workflow.family:
                sheet = card(workflow.family, workflow.way, made[ABOVE][0])
            else:
                made[workflow.name] = pictures(server, to_api(saved_as, object_info))
                sheet = thumbnail(made[workflow.name], workflow.captions)
            sheet.save(path.with_suffix(".jpg"), quality=92)
            print(path.stem, flush=True)


if __name__ == "__main__":
    main()
