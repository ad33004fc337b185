"""Ten tiny pictures of coloured shapes, and what is where in them in every format that Annotated Pictures reads.

    python tests/annotated/make.py

writes the files beside it. A kind has one colour, so a box can be checked against the pixels.
"""

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw

GREY = (128, 128, 128)
COLOURS = {
    "apple": (224, 32, 32), "banana": (240, 224, 32), "frog": (32, 176, 64), "whale": (32, 80, 224),
    "fire hydrant": (240, 128, 0), "eggplant": (112, 32, 144), "raven": (16, 16, 16), "swan": (250, 250, 250),
}  # fmt: skip
# Width and height of each, and its things with left, top, right, bottom; later ones lie on top and touch none.
PICTURES = [
    ((160, 120), {"apple": (8, 30, 68, 90), "banana": (90, 36, 150, 90)}),
    ((160, 120), {"frog": (50, 4, 110, 54), "whale": (45, 62, 105, 116)}),
    ((120, 160), {"raven": (20, 30, 100, 75), "swan": (24, 85, 96, 130)}),
    ((160, 120), {"fire hydrant": (100, 10, 155, 70), "eggplant": (10, 50, 70, 110)}),
    ((200, 100), {"apple": (60, 20, 100, 80), "frog": (110, 25, 150, 85)}),
    ((160, 120), {"whale": (20, 10, 70, 60), "swan": (85, 12, 140, 64), "raven": (60, 70, 115, 118)}),
    ((96, 96), {"banana": (20, 50, 75, 92), "eggplant": (25, 4, 90, 44)}),
    ((160, 120), {"apple": (30, 5, 90, 55), "fire hydrant": (35, 65, 95, 115)}),
    ((240, 180), {"frog": (20, 60, 110, 130), "banana": (130, 50, 225, 120)}),
    ((161, 121), {"swan": (90, 40, 150, 100), "whale": (15, 35, 77, 99)}),
]
SIDEWAYS = 3  # this one lies on its side in the file, which only our own format sees through
PROMPTS = {1: "a photo of an apple left of a banana", 4: "a fire hydrant left of an eggplant"}  # the second is wrong


def drawn(size, things) -> Image.Image:
    picture = Image.new("RGB", size, GREY)
    draw = ImageDraw.Draw(picture)
    for name, (left, top, right, bottom) in things.items():
        shape = draw.ellipse if name in ("apple", "whale", "swan") else draw.rectangle
        shape((left, top, right - 1, bottom - 1), COLOURS[name])
    return picture


def as_in_file(number, size, things):
    """Size and boxes as the file's px lie: turned by a quarter where the picture lies on its side."""
    if number != SIDEWAYS:
        return size, things
    width, height = size
    return (height, width), {name: (t, width - r, b, width - l) for name, (l, t, r, b) in things.items()}  # noqa: E741


def annotations() -> dict[str, object]:
    """The four files by name."""
    ours, gqa, genome = [], {}, []
    names = list(COLOURS)
    coco = {
        "info": {"description": "Coloured shapes."},
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
    }
    for number, (size, things) in enumerate(PICTURES, 1):
        shown = [{"name": name, "box": list(box)} for name, box in things.items()]
        ours.append({"picture": f"{number}.jpg", "width": size[0], "height": size[1], "things": shown})
        ours[-1] |= {"prompt": PROMPTS[number]} if number in PROMPTS else {}
        (width, height), turned = as_in_file(number, size, things)
        sides = {name: {"x": l, "y": t, "w": r - l, "h": b - t} for name, (l, t, r, b) in turned.items()}  # noqa: E741
        gqa[f"{number}"] = {
            "width": width,
            "height": height,
            "objects": {f"{number}{at}": {"name": name, **sides[name]} for at, name in enumerate(sides)},
        }
        genome.append({"image_id": number, "objects": [{"names": [name], **sides[name]} for name in sides]})
        coco["images"].append({"id": number, "file_name": f"{number}.jpg", "width": width, "height": height})
        coco["annotations"] += [
            {"image_id": number, "category_id": 1 + names.index(name), "bbox": list(sides[name].values()), "iscrowd": 0}
            for name in sides
        ]
    return {"ours.json": ours, "coco.json": coco, "gqa.json": gqa, "genome.json": genome}


def main(folder: Path) -> None:
    for number, (size, things) in enumerate(PICTURES, 1):
        picture, exif = drawn(size, things), Image.Exif()
        if number == SIDEWAYS:
            picture, exif[0x0112] = picture.transpose(Image.Transpose.ROTATE_90), 6  # to be turned right for viewing
        picture.save(folder / f"{number}.jpg", quality=90, subsampling=0, exif=exif)
    for name, data in annotations().items():
        (folder / name).write_text(json.dumps(data) + "\n")


if __name__ == "__main__":
    main(Path(*sys.argv[1:]) if sys.argv[1:] else Path(__file__).parent)
