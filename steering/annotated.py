"""Annotated pictures: a folder of pictures and a JSON file that says what is where in them -> scenes.

The file's format is told from what is in it: COCO instances, GQA scene graphs (the paper's real pictures), Visual
Genome's objects, or our own. Files of hundreds of MB are read piece by piece, and pictures are opened when asked for.
"""

import hashlib
import math
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations
from pathlib import Path, PureWindowsPath

from PIL import Image, ImageOps

from .dataset import Scene, Scenes, phrase, straight
from .judge import Found, fits, singulars
from .large_json import LargeJson
from .prompts import parse
from .relations import Box
from .words import Phrase

OURS, COCO, GQA, GENOME = "our own format", "COCO", "GQA", "Visual Genome"
FORMATS = (
    'a list of entries with "picture" and "things" (our own) or "objects" (Visual Genome), an object with "images", '
    '"annotations" and "categories" (COCO instances), or one whose values have "objects" (GQA scene graphs)'
)
RULES = "1"  # another one whenever the same files give other scenes
LONGEST = 60  # characters of a name
SEEN = 0.8  # of a thing's box must be in the picture, or it is cut off
MANY = 20_000  # names that are remembered; Visual Genome has 80,000
BEYOND = 0.1  # of the picture's side: a box may reach so far out of it
PEOPLE = {
    "person", "man", "woman", "boy", "girl", "child", "kid", "baby", "lady", "guy", "player", "skier", "rider",
    "surfer", "snowboarder", "skateboarder", "batter", "catcher", "umpire", "pedestrian", "worker", "spectator",
}  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """Which two things of a picture may be in one scene; the defaults are those of CoMPaSS's published code (SCOP).

    salience: least share of the picture that both boxes cover together; distance: most from middle to middle, in
    diagonals of the smaller box; overlap: the share of the smaller box that lies in the other is below; sizes: least
    area of the smaller box, in that of the larger. Nothing is filtered at 0, any large number, more than 1, and 0.
    """

    salience: float = 0.2
    distance: float = 2.0
    overlap: float = 0.3
    sizes: float = 0.5

    def fit(self, a: Box, b: Box, picture: float) -> bool:
        """picture: its area, in the unit of the boxes."""
        small, large = sorted((_area(a), _area(b)))
        reach = min(math.hypot(box[2] - box[0], box[3] - box[1]) for box in (a, b))
        apart = math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
        return (
            small + large >= self.salience * picture
            and apart <= self.distance * reach
            and _area(_common(a, b)) < self.overlap * small
            and small >= self.sizes * large
        )


@dataclass(frozen=True)
class _Thing:
    """As annotated. name: empty where it is not known; box: in px of the picture, None where it is no box; one: is it a
    single thing, and no crowd."""

    name: str
    box: Box | None
    one: bool = True


@dataclass(frozen=True)
class _Entry:
    """What a file says of a picture. size: width and height, px, where it tells them."""

    format: str
    picture: str
    size: tuple[float, float] | None
    things: list[_Thing]
    prompt: str | None = None


@dataclass(frozen=True)
class _Kept:
    path: Path
    upright: bool
    size: tuple[int, int]
    found: tuple[Found, ...]
    prompt: str | None


def scenes(
    file: Path,
    folder: Path,
    size: tuple[int, int],
    most: int = 2000,
    filters: Filters | None = None,
    tell: Callable[[], None] | None = None,
) -> Scenes:
    """The first `most` pictures that show two things or more which can be told apart and pass the filters.

    Pictures are scaled to cover width x height (size, px) and cropped around their middle, boxes with them. Of things
    that share a name none is kept (Learn-to-Steer), whatever else of that name is seen: what is cut off, too small or a
    crowd counts. Then the thing with the fewest good pairs is left out until every pair is good. tell: called now and
    then, and may raise to stop. Raises ValueError, naming the file or folder, where nothing can be read or kept.
    """
    if not folder.is_dir():
        raise ValueError(f'There is no folder "{folder}". Give the path of a folder, or its name in the input folder.')
    if not file.is_file():
        raise ValueError(
            f'There is no file "{file}". Give the path of the JSON file with the annotations, or its name in the '
            "folder of the pictures."
        )
    filters, tell = filters or Filters(), tell or (lambda: None)
    left: Counter[str] = Counter()
    kept: list[_Kept] = []
    formats: set[str] = set()
    known: set[str] = set()
    try:
        places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        with file.open(encoding="utf-8-sig") as text:
            for entry in _entries(LargeJson(text), left, tell):
                tell()
                formats.add(entry.format)
                if entry.picture in known:
                    left["entry(ies) of a picture that is annotated twice"] += 1
                    continue
                known.add(entry.picture)
                if one := _kept(entry, places, size, filters, left):
                    kept.append(one)
                    if len(kept) == most:
                        break
    except UnicodeDecodeError:
        raise ValueError(f'"{file}" is no JSON file. Give the file with the annotations.') from None
    except RecursionError:
        raise ValueError(f'"{file}" cannot be read: it is nested too deeply. Give the file as published.') from None
    except OSError as error:
        raise ValueError(f'"{error.filename}" cannot be read: {error.strerror}.') from error
    except ValueError as error:
        raise ValueError(f'"{file}" cannot be read: {error}. Give the whole file, as published.') from None
    said = f"Left out: {', '.join(f'{count} {what}' for what, count in left.items())}." if left else ""
    if not kept:
        raise ValueError(f'None of the {len(known)} picture(s) of "{file}" in "{folder}" can be used. {said}'.rstrip())
    kinds = {thing.name.lower() for one in kept for thing in one.found}
    made = (
        f"Annotated pictures: {len(kept)} of {size[0]} x {size[1]} px with things of {len(kinds)} kinds, from "
        f"{file.name} ({', '.join(sorted(formats))})."
    )
    return Scenes(len(kept), lambda number: _scene(kept[number], size), _key(kept, size), made, said)


def marks(file: Path, folder: Path) -> str:
    """Another one whenever the annotations or a picture would be others."""
    digest = hashlib.sha256()
    if file.is_file():
        digest.update(repr(_stamp(file)).encode())
    if folder.is_dir():
        for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
            with os.scandir(place) as inside:
                seen = sorted((entry.name, _stamp(entry)) for entry in inside if entry.is_file())
            digest.update(repr(seen).encode())
    return digest.hexdigest()


# --- The file ---------------------------------------------------------------------------------------------------------


def _entries(file: LargeJson, left: Counter[str], tell: Callable[[], None]) -> Iterator[_Entry]:
    """Raises ValueError where it is no JSON, has none of the formats, or is empty."""
    match file.next():
        case "[":
            entries = _of_list(file.values(), left)
        case "{":
            entries = _of_object(file, left, tell)
        case "":
            raise ValueError("it is empty")
        case _:
            raise ValueError(f"it is none of these: {FORMATS}")
    first = next(entries, None)
    if first is None:
        raise ValueError(f"it has no entry that is one of these: {FORMATS}")
    yield from chain([first], entries)


def _of_list(values: Iterator[object], left: Counter[str]) -> Iterator[_Entry]:
    for value in values:
        match value:
            case {"picture": str(name), "things": list(things), **rest}:
                text = rest.get("prompt")
                ours = [_Thing(_name(thing.get("name")), _corners(thing.get("box"))) for thing in _dicts(things)]
                yield _Entry(OURS, name, _size(rest), ours, text if isinstance(text, str) else None)
            case {"image_id": int(number), "objects": list(things)} | {"id": int(number), "objects": list(things)}:
                genome = [_Thing(_first(thing.get("names")), _sided(thing)) for thing in _dicts(things)]
                yield _Entry(GENOME, f"{number}.jpg", None, genome)
            case _:
                left["entry(ies) that cannot be read"] += 1


def _of_object(file: LargeJson, left: Counter[str], tell: Callable[[], None]) -> Iterator[_Entry]:
    """GQA's entries as they come; of COCO boxes stand in another part than pictures, so all of them are held."""
    pictures: dict[int | str, tuple[str, tuple[float, float] | None]] = {}
    boxes: dict[
        int | str, array
    ] = {}  # of a picture: category, x, y, width, height, and 1 for a crowd; again and again
    names: dict[float, str] = {}
    parts = set()
    for key in file.members():
        if file.next() != "[":
            match file.value():
                case {"objects": dict(objects), **rest}:
                    graph = [_Thing(_name(thing.get("name")), _sided(thing)) for thing in _dicts(objects.values())]
                    yield _Entry(GQA, f"{key}.jpg", _size(rest), graph)
                case _ if key != "info":
                    left["entry(ies) that cannot be read"] += 1
            continue
        parts.add(key)
        for value in file.values():
            tell()
            match key, value:
                case "images", {"id": int() | str() as picture, "file_name": str(name), **rest}:
                    pictures[picture] = name, _size(rest)
                case "annotations", {"image_id": int() | str() as picture, **rest}:
                    category, box, crowd = rest.get("category_id"), rest.get("bbox"), bool(rest.get("iscrowd"))
                    sides = box if isinstance(box, list) and len(box) == 4 else [None] * 4
                    boxes.setdefault(picture, array("d")).extend([*map(_number, (category, *sides)), crowd])
                case "categories", {"id": int(number), "name": str(name)}:
                    names[number] = name
                case (("images" | "annotations" | "categories"), _):
                    left["entry(ies) that cannot be read"] += 1
    for part in ("images", "annotations", "categories"):
        if parts & {"images", "annotations", "categories"} and part not in parts:
            raise ValueError(f'it has no "{part}", so it is no file of COCO\'s instances')
    for picture, (name, size) in pictures.items():
        rows = boxes.get(picture, array("d"))
        things = [
            _Thing(_name(names.get(rows[at])), _box(*rows[at + 1 : at + 5]), not rows[at + 5])
            for at in range(0, len(rows), 6)
        ]
        yield _Entry(COCO, name, size, things)


def _dicts(things: Iterable[object]) -> list[dict]:
    """Those that can be asked; what is no object says nothing of its name and has no box."""
    return [thing if isinstance(thing, dict) else {} for thing in things]


def _name(name: object) -> str:
    """Empty for what is none; a whole text is none, either."""
    return " ".join(name.split()) if isinstance(name, str) and len(name) <= LONGEST else ""


def _first(names: object) -> str:
    return _name(names[0]) if isinstance(names, list) and names else ""


def _number(value: object) -> float:
    """nan for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if abs(value) < 1e9 else math.nan


def _size(value: dict) -> tuple[float, float] | None:
    return (_number(value["width"]), _number(value["height"])) if "width" in value and "height" in value else None


def _sided(thing: dict) -> Box | None:
    return _box(*(_number(thing.get(side)) for side in "xywh"))


def _corners(box: object) -> Box | None:
    if not isinstance(box, list) or len(box) != 4:
        return None
    left, top, right, bottom = map(_number, box)
    return _box(left, top, right - left, bottom - top)


def _box(x: float, y: float, width: float, height: float) -> Box | None:
    """None where it is no box; what is no number is neither above nor below 0."""
    return (x, y, x + width, y + height) if width > 0 and height > 0 and math.isfinite(x + y + width + height) else None


# --- A picture --------------------------------------------------------------------------------------------------------


def _kept(
    entry: _Entry, places: Sequence[Path], size: tuple[int, int], filters: Filters, left: Counter[str]
) -> _Kept | None:
    """What a scene is made of, or None, and why, in `left`."""
    upright = entry.format == OURS  # others count their px as they lie in the file
    path = PureWindowsPath(entry.picture)  # knows both kinds of slashes
    if path.anchor or ".." in path.parts:
        left["picture(s) whose name leads out of the folder"] += 1
        return None
    where = next((one for place in places if os.path.isfile(one := place / entry.picture)), None)
    if where is None:
        left["picture(s) that are not in the folder"] += 1
        return None
    try:
        with Image.open(where) as file:
            whole = file.size
            if upright and file.getexif().get(0x0112, 1) >= 5:  # lies on its side
                whole = whole[1], whole[0]
    except Exception:  # a damaged file raises nearly anything
        left["picture(s) that cannot be opened"] += 1
        return None
    if entry.size and entry.size != whole:
        left["picture(s) of another size than is annotated"] += 1
        return None
    found = _found(entry.things, whole, size, filters, left)
    if not any(straight(*pair) for pair in combinations(found, 2)):
        left["picture(s) without two such things in a clear relation"] += 1
        return None
    return _Kept(where, upright, whole, found, entry.prompt)


def _found(
    things: Sequence[_Thing], whole: tuple[int, int], size: tuple[int, int], filters: Filters, left: Counter[str]
) -> tuple[Found, ...]:
    """The things that a scene can have, with their boxes in it. whole: of the picture; size: of the scene."""
    window = _window(whole, size)
    scale = size[0] / (window[2] - window[0])
    names: list[str] = []  # of all that may be seen
    kept: list[Found] = []
    for thing in things:
        if thing.box is None or _outside(thing.box, whole):
            left["box(es) that lie outside their picture" if thing.box else "box(es) that are none"] += 1
            names.append(thing.name)
            continue
        seen = _common(thing.box, window)
        if not _area(seen):
            continue
        names.append(thing.name)
        if not thing.name:
            left["thing(s) without a known name"] += 1
        elif not thing.one:
            left["crowd(s)"] += 1
        elif _area(seen) < SEEN * _area(thing.box):
            left["thing(s) that are cut off"] += 1
        else:
            left_at, top_at, right_at, bottom_at = ((edge - window[at % 2]) * scale for at, edge in enumerate(seen))
            kept.append(Found(thing.name, (left_at, top_at, right_at, bottom_at)))
    single = [one for one in kept if sum(_alike(one.name, name) for name in names) == 1]
    if shared := len(kept) - len(single):
        left["thing(s) that share their name with another"] += shared
    readable = [one for one in single if _readable(one.name)]
    if odd := len(single) - len(readable):
        left["thing(s) whose name cannot be read in a prompt"] += odd
    good = _good(readable, filters, size[0] * size[1])
    if apart := len(readable) - len(good):
        left["thing(s) that are too small, far away, covered or unlike in size"] += apart
    return tuple(good)


def _good(things: list[Found], filters: Filters, picture: float) -> list[Found]:
    """Without the thing with the fewest good pairs, the smallest of several, until every pair is good."""
    pairs = [[filters.fit(a.box, b.box, picture) for b in things] for a in things]
    left = sorted(range(len(things)), key=lambda at: _area(things[at].box))
    while len(left) > 1:
        worst = min(left, key=lambda at: sum(pairs[at][other] for other in left if other != at))
        if all(pairs[worst][other] for other in left if other != worst):
            break
        left.remove(worst)
    return [things[at] for at in sorted(left)]


def _alike(a: str, b: str) -> bool:
    """May one be called by the other's name? "car" and "red cars", "man" and "person"."""
    return bool(_singulars(a) & _kinds(b) or _singulars(b) & _kinds(a))


@lru_cache(MANY)
def _singulars(name: str) -> set[str]:
    return singulars(name) if name else set()


@lru_cache(MANY)
def _kinds(name: str) -> set[str]:
    """All that a thing of this name may be called: "red cars" are a "red car" and a "car", too."""
    words, whole = name.split(), Phrase(name, (0, len(name)))
    ends = [" ".join(words[first:last]) for last in range(1, len(words) + 1) for first in range(last)]
    kinds = {kind for end in ends if fits(end, whole) for kind in singulars(end)}
    return kinds | ({"person"} if kinds & PEOPLE else set())


@lru_cache(MANY)
def _readable(name: str) -> bool:
    """Is it read back out of a prompt, as subject and as object?"""
    for subject, other in ((name, "zebra"), ("zebra", name)):
        wishes = parse(f"{phrase(subject)} left of {phrase(other)}").wishes
        if list(map(str, wishes)) != [f"{subject} | left of | {other}"]:
            return False
    return True


def _scene(kept: _Kept, size: tuple[int, int]) -> Scene:
    """Raises ValueError where the picture cannot be read any more."""
    try:
        with Image.open(kept.path) as file:
            picture = (ImageOps.exif_transpose(file) if kept.upright else file).convert("RGB")
        if picture.size != kept.size:
            raise ValueError(f"it has {picture.size[0]} x {picture.size[1]} px now")
    except Exception as error:  # a damaged file raises nearly anything
        raise ValueError(
            f'The picture "{kept.path}" cannot be used: {error}. Put it in order or take it out of the folder, and run '
            "again."
        ) from error
    window = _window(kept.size, size)
    picture = picture.resize(size, Image.Resampling.LANCZOS, box=window, reducing_gap=3.0)
    return Scene(picture, kept.found, kept.prompt)


def _window(whole: tuple[int, int], size: tuple[int, int]) -> Box:
    """The largest part of the picture with the scene's proportions, around its middle."""
    scale = max(wanted / side for wanted, side in zip(size, whole, strict=True))
    margins = [max(0.0, (side - wanted / scale) / 2) for wanted, side in zip(size, whole, strict=True)]
    return margins[0], margins[1], whole[0] - margins[0], whole[1] - margins[1]


def _outside(box: Box, whole: tuple[int, int]) -> bool:
    shares = [edge / whole[at % 2] for at, edge in enumerate(box)]
    return min(shares) < -BEYOND or max(shares) > 1 + BEYOND


def _common(a: Box, b: Box) -> Box:
    """What is in both; without area where nothing is."""
    left, top = max(a[0], b[0]), max(a[1], b[1])
    return left, top, max(left, min(a[2], b[2])), max(top, min(a[3], b[3]))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _stamp(file: Path | os.DirEntry) -> tuple[int, int]:
    told = file.stat()
    return told.st_size, told.st_mtime_ns


def _key(kept: Sequence[_Kept], size: tuple[int, int]) -> str:
    digest = hashlib.sha256(repr((RULES, size)).encode())
    for one in kept:
        digest.update(repr((one.path.name, _stamp(one.path), one.found, one.prompt)).encode())
    return digest.hexdigest()
