"""Composed scenes: cut-outs on backgrounds, for pictures of any size whose things and places are known exactly.

Nothing is downloaded and nothing is detected: boxes are read off the pixels that were put there.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .dataset import Scene, Scenes
from .judge import Found

BUNDLED = Path(__file__).parent / "cutouts"
LOOKS = ("drawn", "rendered", "clipart", "photographed")
OWN = "own"  # the look of the user's pictures
FILES = (".png", ".webp")
RULES = "1"  # another one whenever the same seed makes other scenes
MOST = 4  # things in a scene
VISIBLE = 64  # of 255: what is more transparent is no part of a thing, as a soft shadow
SIZES = (0.14, 0.6)  # of a thing's longer side, in the picture's shorter one
TRIES = 24  # places that are tried for a thing, ever smaller
TOUCHING = 0.15  # how often a thing is put against one that is there
OVERLAPS = (0.0, 0.0, 0.1, 0.2)  # how much of either of two boxes the other may cover, one of these a scene
OVERHANG = 0.12  # of a thing's side may lie outside the picture
SCALE = 4  # soft parts of a background are drawn so much smaller

# A scene holds no two of which one may be called by the other's name: which would "a bird" be?
ALSO_CALLED = {
    "bird": {
        "chicken", "duck", "eagle", "flamingo", "ostrich", "owl", "parrot", "peacock", "penguin", "rooster", "seagull",
        "swan", "turkey",
    },
    "boat": {"ship"}, "chicken": {"rooster"}, "cup": {"beer"}, "flower": {"rose", "sunflower", "tulip"},
    "globe": {"moon"}, "house": {"castle", "church"}, "monkey": {"gorilla"}, "clock": {"watch"},
    "motorcycle": {"scooter"}, "potted plant": {"flower", "cactus"}, "cell phone": {"telephone"},
}  # fmt: skip


@dataclass(frozen=True)
class Cutout:
    """A thing without its background: RGBA, cropped to what is visible. look: one of LOOKS, or OWN."""

    name: str
    look: str
    picture: Image.Image


@cache
def bundled() -> tuple[Cutout, ...]:
    """The cut-outs that come with the pack, in all looks; cutouts/README.md says where they are from."""
    index = json.loads((BUNDLED / "index.json").read_text())
    side, columns = index["side"], index["columns"]
    found = []
    for look in LOOKS:
        with Image.open(BUNDLED / look / "sheet.webp") as file:
            sheet = file.convert("RGBA")
        for cell, name in enumerate(index["names"][look]):
            left, top = cell % columns * side, cell // columns * side
            found.append(Cutout(name, look, _cropped(sheet.crop((left, top, left + side, top + side)))))
    return tuple(found)


def largest(size: tuple[int, int]) -> int:
    """The longest side, px, that a thing has in scenes of this width and height."""
    return round(SIZES[1] * min(size))


def own(folder: Path, side: int) -> tuple[tuple[Cutout, ...], str]:
    """The transparent PNGs and WebPs of a folder, named by what they show, and a sentence on those left out.

    "red car.png" and "red car 2.png" are both "red car"; in a subfolder everything is what the subfolder is called.
    side: px, what longer ones are made smaller to. Raises ValueError when the folder or such pictures are missing.
    """
    if not folder.is_dir():
        raise ValueError(f'There is no folder "{folder}". Give the path of a folder, or its name in the input folder.')
    found, opaque, damaged = [], [], []
    for path in _files(folder):
        try:
            with Image.open(path) as file:
                picture = file.convert("RGBA")
        except Exception:  # a damaged file raises nearly anything
            damaged.append(path.name)
            continue
        lowest, highest = picture.getchannel("A").getextrema()
        if lowest >= VISIBLE or highest < VISIBLE:
            opaque.append(path.name)
            continue
        picture = _cropped(picture)
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        found.append(Cutout(_called(path, folder), OWN, picture))
    left_out = [
        f"{len(names)} left out that {why}: {', '.join(names[:5])}{', ...' * (len(names) > 5)}."
        for names, why in ((damaged, "could not be read"), (opaque, "cut nothing out"))
        if names
    ]
    if not found:
        raise ValueError(
            f'There is no picture with a transparent background in "{folder}". Put PNGs or WebPs there that are named '
            f'by what they show, as "red car.png". {" ".join(left_out)}'.rstrip()
        )
    return tuple(found), " ".join(left_out)


def marks(folder: Path) -> str:
    """Another one whenever a picture of the folder would be another."""
    seen = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in _files(folder)]
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def chosen(cutouts: Sequence[Cutout], kinds: str = "", looks: Sequence[str] = (*LOOKS, OWN)) -> tuple[Cutout, ...]:
    """The cut-outs of these looks and kinds.

    kinds: separated by lines or commas, none for all; "cat: rendered clipart" takes a kind in these looks only. Raises
    ValueError, naming the kind, for what is not there, and when fewer than two kinds are left.
    """
    there = [cutout for cutout in cutouts if cutout.look in looks]
    lines = [line.strip() for line in re.split(r"[,\n]", kinds) if line.strip()]
    taken = [cutout for line in lines for cutout in _of_line(line, there)] if lines else there
    names = {cutout.name.lower() for cutout in taken}
    if len(names) < 2:
        raise ValueError(
            f"Scenes need things of two kinds or more, and there is {len(names) or 'none'}"
            f"{''.join(f' ({name})' for name in names)}. Name more in kinds, or switch bundled on."
        )
    if all(_alike(*pair) for pair in combinations(sorted(names), 2)):
        raise ValueError(
            f"Of these kinds any two may be called the same ({', '.join(sorted(names))}), so no scene can hold both. "
            "Name others in kinds."
        )
    return tuple(taken)


def scenes(
    cutouts: Sequence[Cutout],
    count: int,
    size: tuple[int, int],
    seed: int = 0,
    most: int = MOST,
    smallest: float = SIZES[0],
    clutter: float = 1.0,
    notes: str = "",
) -> Scenes:
    """So many scenes, each of two to `most` things of different kinds; number after number the same for the same seed.

    size: width and height, px; smallest: of a thing's longer side, in the picture's shorter one; clutter: from 0,
    backgrounds that are bare, to 1, most with noise, shapes or blurred other things; notes: what was left out, for
    people. All kinds come equally often, then all looks of a kind. Every thing that was put into a scene is in `found`,
    with the tight box of those of its pixels that are seen.
    """
    kinds: dict[str, dict[str, list[Cutout]]] = {}
    for cutout in cutouts:
        kinds.setdefault(cutout.name.lower(), {}).setdefault(cutout.look, []).append(cutout)

    def at(number: int) -> Scene:
        if not 0 <= number < count:
            raise IndexError(f"There are {count} scenes, and no number {number}.")
        return _scene(np.random.default_rng([seed, number]), kinds, size, most, smallest, clutter)

    looks = sorted({cutout.look for cutout in cutouts}, key=(*LOOKS, OWN).index)
    made = (
        f"Composed scenes: {count} of {size[0]} x {size[1]} px, seed {seed}, 2 to {most} things each, of "
        f"{len(kinds)} kinds ({', '.join(looks)})."
    )
    return Scenes(count, at, _key(cutouts, size, seed, most, smallest, clutter), made, notes)


# --- Cut-outs ---------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in FILES and path.is_file())


def _called(path: Path, folder: Path) -> str:
    """What a picture shows: its subfolder's name, or its own without the number that tells it from others."""
    if path.parent != folder:
        return path.parent.name.replace("_", " ")
    text = path.stem.replace("_", " ").strip()
    return re.sub(r"[\s.-]*(\(\d+\)|\d+)$", "", text) or text


def _cropped(picture: Image.Image) -> Image.Image:
    return picture.crop(picture.getchannel("A").point(lambda alpha: 255 * (alpha >= VISIBLE)).getbbox())


def _of_line(line: str, there: list[Cutout]) -> list[Cutout]:
    """What one line of `kinds` takes."""
    name, _, looks = (part.strip() for part in line.lower().partition(":"))
    of_kind = [cutout for cutout in there if cutout.name.lower() == name]
    if not of_kind:
        names = {cutout.name.lower(): cutout.name for cutout in there}
        near = difflib.get_close_matches(name, names, 4, 0.5) + [other for other in names if name in other.split()]
        hint = ", ".join(f'"{names[other]}"' for other in dict.fromkeys(near))
        raise ValueError(
            f'There is no cut-out of "{line.partition(":")[0].strip()}". '
            + (f"Near it: {hint}." if hint else "Put your own into a folder, or leave it out.")
        )
    unknown = [look for look in looks.split() if look not in (*LOOKS, OWN)]
    taken = [cutout for cutout in of_kind if not looks or cutout.look in looks.split()]
    if unknown or not taken:
        has = ", ".join(dict.fromkeys(cutout.look for cutout in of_kind))
        raise ValueError(f'There is no "{name}" that is {" or ".join(unknown or looks.split())}, only: {has}.')
    return taken


def _key(cutouts: Sequence[Cutout], *settings) -> str:
    digest = hashlib.sha256(repr((RULES, *settings)).encode())
    for cutout in cutouts:
        digest.update(repr((cutout.name, cutout.look, cutout.picture.size)).encode())
        digest.update(cutout.picture.tobytes())
    return digest.hexdigest()


def _alike(a: str, b: str) -> bool:
    """May one be called by the other's name? "truck" and "fire truck", "bird" and "owl"."""
    return any(
        one == other or one.endswith(f" {other}") or one in ALSO_CALLED.get(other, ())
        for one, other in ((a, b), (b, a))
    )


# --- A scene ----------------------------------------------------------------------------------------------------------


@dataclass
class _Placed:
    """A cut-out as it lies in the picture, in px; left and top may be outside."""

    name: str
    picture: Image.Image
    left: int
    top: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.left + self.picture.width, self.top + self.picture.height


def _scene(
    rng: np.random.Generator,
    kinds: dict[str, dict[str, list[Cutout]]],
    size: tuple[int, int],
    most: int,
    smallest: float,
    clutter: float,
) -> Scene:
    names = list(kinds)
    order = [names[at] for at in rng.permutation(len(names))]
    taken: list[str] = []
    wanted = int(rng.integers(2, most + 1))
    for name in order:
        if len(taken) < wanted and not any(_alike(name, other) for other in taken):
            taken.append(name)
    others = [name for name in order if not any(_alike(name, other) for other in taken)][:2]
    picture = _background(rng, size, [_any_look(rng, kinds[name]).picture for name in others], clutter)
    placed: list[_Placed] = []
    overlap = float(rng.choice(OVERLAPS))
    for name in taken:
        cutout = _any_look(rng, kinds[name])
        thing = _place(rng, cutout, size, placed, overlap, smallest)
        if thing is not None:
            placed.append(thing)
    for thing in placed:
        picture.paste(thing.picture, (thing.left, thing.top), thing.picture)
    return Scene(picture, _found(placed, size))


def _any_look(rng: np.random.Generator, looks: dict[str, list[Cutout]]) -> Cutout:
    of_look = looks[list(looks)[rng.integers(len(looks))]]
    return of_look[rng.integers(len(of_look))]


def _place(
    rng: np.random.Generator,
    cutout: Cutout,
    size: tuple[int, int],
    placed: list[_Placed],
    overlap: float,
    smallest: float,
) -> _Placed | None:
    """Somewhere in the picture, where it hardly covers others; None where there is no room."""
    shorter = min(size)
    longest = shorter * float(np.exp(rng.uniform(*np.log((smallest, SIZES[1])))))  # as many small as large ones
    mirrored, touching = rng.random(2) < (0.5, TOUCHING)
    for attempt in range(TRIES):
        scale = longest / max(cutout.picture.size)
        width, height = (max(1, round(side * scale)) for side in cutout.picture.size)
        if placed and touching and attempt < TRIES // 4:
            left, top = _against(rng, placed[rng.integers(len(placed))].box, (width, height), overlap)
        else:
            left, top = (_along(rng, side, whole) for side, whole in zip((width, height), size, strict=True))
        box = left, top, left + width, top + height
        inside = _shared(box, (0, 0, *size)) >= (1 - OVERHANG) * width * height
        if inside and all(_covered(box, other.box) <= overlap for other in placed):
            picture = cutout.picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
            if mirrored:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            return _Placed(cutout.name, picture, left, top)
        longest = max(0.93 * longest, smallest * shorter)
    return None


def _along(rng: np.random.Generator, side: int, whole: int) -> int:
    """A place along one side of the picture. Things near its edges are drawn oftener, for their middles cannot lie
    there: so all of the picture is covered alike."""
    over, share = round(OVERHANG * side), rng.random()
    if rng.random() < 0.6:
        share = 0.5 - 0.5 * np.cos(np.pi * share)
    return round(-over + share * (whole - side + 2 * over))


def _against(
    rng: np.random.Generator, box: tuple[int, int, int, int], size: tuple[int, int], overlap: float
) -> tuple[int, int]:
    """A place for a thing of this size where it touches the box, or covers up to this share of it."""
    (left, top, right, bottom), (width, height) = box, size
    into = rng.uniform(0, overlap)
    if rng.random() < 0.5:
        deep = round(into * min(width, right - left))
        x = left - width + deep if rng.random() < 0.5 else right - deep
        return x, round(rng.uniform(top - height / 2, bottom - height / 2))
    deep = round(into * min(height, bottom - top))
    y = top - height + deep if rng.random() < 0.5 else bottom - deep
    return round(rng.uniform(left - width / 2, right - width / 2)), y


def _shared(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    """px that are in both boxes."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _covered(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """The share of the smaller box that the other one covers."""
    return _shared(a, b) / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))


def _found(placed: list[_Placed], size: tuple[int, int]) -> tuple[Found, ...]:
    """Each thing with the tight box of its pixels that are in the picture and under no other thing."""
    hidden = np.zeros((size[1], size[0]), bool)
    found = []
    for thing in reversed(placed):  # the last lies on top
        left, top, right, bottom = (
            max(0, thing.left), max(0, thing.top), min(size[0], thing.left + thing.picture.width),
            min(size[1], thing.top + thing.picture.height),
        )  # fmt: skip
        alpha = np.asarray(thing.picture.getchannel("A"))
        opaque = alpha[top - thing.top : bottom - thing.top, left - thing.left : right - thing.left] >= VISIBLE
        below = hidden[top:bottom, left:right]
        seen = opaque & ~below
        below |= opaque
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if len(rows):
            across, down = (left + columns[[0, -1]]).tolist(), (top + rows[[0, -1]]).tolist()
            box = float(across[0]), float(down[0]), float(across[1] + 1), float(down[1] + 1)
            found.append(Found(thing.name, box))
    return tuple(reversed(found))


# --- Backgrounds ------------------------------------------------------------------------------------------------------


def _background(
    rng: np.random.Generator, size: tuple[int, int], others: list[Image.Image], clutter: float
) -> Image.Image:
    """A gradient, and on it by chance, the more clutter the oftener, soft noise, shapes, and blurred cut-outs of kinds
    that the scene lacks."""
    width, height = (max(2, side // SCALE) for side in size)
    first, second = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    second = first + rng.uniform(0, 1) * (second - first)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * np.linspace(-0.5, 0.5, width) + np.sin(angle) * np.linspace(-0.5, 0.5, height)[:, None]
    soft = first + (ramp[..., None] + 0.5) * (second - first)
    if rng.random() < 0.6 * clutter:
        soft += _noise(rng, (width, height))
    small = Image.fromarray(soft.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.4 * clutter:
        _shapes(rng, small)
    if rng.random() < 0.4 * clutter:
        for other in others:
            side = rng.uniform(0.2, 0.6) * min(width, height)
            scale = side / max(other.size)
            thing = other.resize([max(1, round(edge * scale)) for edge in other.size], reducing_gap=2.0)
            left, top = (int(rng.uniform(-0.2, 0.9) * edge) for edge in small.size)
            small.paste(thing, (left, top), thing)
        small = small.filter(ImageFilter.GaussianBlur(0.05 * min(width, height)))
    picture = small.resize(size, Image.Resampling.BICUBIC)
    if rng.random() < 0.3 * clutter:
        _shapes(rng, picture)
    return picture


def _noise(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Noise of several sizes at once, (height, width, 3), grey or coloured."""
    width, height = size
    channels = 1 if rng.random() < 0.5 else 3
    total = np.zeros((height, width, channels), np.float32)
    for cells in (3, 8, 24):
        grid = rng.standard_normal((cells, cells, channels), np.float32) * rng.uniform(0, 30)
        for channel in range(channels):
            layer = Image.fromarray(np.ascontiguousarray(grid[..., channel]))
            total[..., channel] += np.asarray(layer.resize(size, Image.Resampling.BICUBIC))
    return total


def _shapes(rng: np.random.Generator, picture: Image.Image) -> None:
    """A few plain shapes and lines, put onto the picture."""
    draw = ImageDraw.Draw(picture)
    shorter = min(picture.size)
    for _ in range(rng.integers(2, 7)):
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        x, y = (rng.uniform(0, side) for side in picture.size)
        wide, high = rng.uniform(0.03, 0.3, 2) * shorter
        match rng.integers(4):
            case 0:
                draw.ellipse((x - wide, y - high, x + wide, y + high), colour)
            case 1:
                draw.rectangle((x - wide, y - high, x + wide, y + high), colour)
            case 2:
                corners = rng.uniform(-1, 1, (3, 2)) * (wide, high) + (x, y)
                draw.polygon([tuple(corner) for corner in corners], colour)
            case _:
                end = rng.uniform(0, 1, 2) * picture.size
                draw.line((x, y, *end), colour, max(1, int(0.2 * wide)))
