"""Spatial relations and what they mean as geometry: one table, from which everything else about them follows.

Opposites and mirror images, GenEval's rule on boxes, the label of a training picture and a loss's mask over offsets are
all read off this table, and so are the places in a picture. It needs no torch: a prompt is read without it.
"""

import functools
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

OVERLAP = 0.1  # GenEval's position_threshold: the share of both sizes by which an offset is shortened
TOWARDS = 0.5  # GenEval's: what is left must point more than so much that way, 1 being straight
BOTH = 0.25  # of a diagonal, both ways: at least 15 degrees away from straight
CLOSE = 0.5  # near: the gap is at most so much of the mean size
HELD = 0.8  # inside: so much of the subject's box lies in the object's
MIDDLE = (0.2, 0.8)  # between: where on the way from one object to the other
ASIDE = 0.5  # and so far from it at most, in parts of that way
TOUCHING = 0.25  # on: the gap is at most so much of the mean size
OFF = 0.4  # a place: what is at the left has its middle in so much of the picture
CENTRE = 0.2  # and what is in the centre at most so far from it, as a share of the picture's sides

Box = tuple[float, float, float, float]  # left, top, right, bottom in one unit, y down

Direction = tuple[int, int, int, int]
NOWHERE: Direction = (0, 0, 0, 0)


@dataclass(frozen=True)
class Relation:
    """What a relation means, with exactly one of these set.

    direction: where the subject stands as seen from the object, each -1, 0 or 1: right, down, away from the viewer, and
    into it; near: at a small distance; on: resting on it; around: on all its sides; between: in the middle of two
    objects; place: where the subject stands in the picture, as a direction from its middle.
    """

    direction: Direction = NOWHERE
    near: bool = False
    on: bool = False
    around: bool = False
    between: bool = False
    place: Direction | None = None

    @property
    def things(self) -> int:
        """How many things stand in the relation: subject and objects."""
        return 3 if self.between else 2 if self.place is None else 1

    @property
    def visible(self) -> bool:
        """Can it be seen from boxes? Who is in front cannot."""
        return (self.place or self.direction)[2] == 0


RELATIONS = {
    "left of": Relation((-1, 0, 0, 0)),
    "right of": Relation((1, 0, 0, 0)),
    "above": Relation((0, -1, 0, 0)),
    "below": Relation((0, 1, 0, 0)),
    "upper left of": Relation((-1, -1, 0, 0)),
    "upper right of": Relation((1, -1, 0, 0)),
    "lower left of": Relation((-1, 1, 0, 0)),
    "lower right of": Relation((1, 1, 0, 0)),
    "in front of": Relation((0, 0, -1, 0)),
    "behind": Relation((0, 0, 1, 0)),
    "inside": Relation((0, 0, 0, 1)),
    "near": Relation(near=True),
    "between": Relation(between=True),
    "on": Relation(on=True),
    "around": Relation(around=True),
    "left": Relation(place=(-1, 0, 0, 0)),
    "right": Relation(place=(1, 0, 0, 0)),
    "top": Relation(place=(0, -1, 0, 0)),
    "bottom": Relation(place=(0, 1, 0, 0)),
    "centre": Relation(place=NOWHERE),
    "upper left": Relation(place=(-1, -1, 0, 0)),
    "upper right": Relation(place=(1, -1, 0, 0)),
    "lower left": Relation(place=(-1, 1, 0, 0)),
    "lower right": Relation(place=(1, 1, 0, 0)),
    "foreground": Relation(place=(0, 0, -1, 0)),
    "background": Relation(place=(0, 0, 1, 0)),
}
DIRECTIONS = {name: relation.direction for name, relation in RELATIONS.items() if any(relation.direction)}
NAME_OF: dict[tuple[int, ...], str] = {direction: name for name, direction in DIRECTIONS.items()}
PLACES = {name: relation.place for name, relation in RELATIONS.items() if relation.place is not None}
PLACE_OF: dict[tuple[int, ...], str] = {place: name for name, place in PLACES.items()}
# "A left of B" says the same as "B right of A". Inside and between have no such word.
OPPOSITE = {"near": "near"} | {
    name: NAME_OF[back]
    for name, direction in DIRECTIONS.items()
    if (back := tuple(-step for step in direction)) in NAME_OF
}

# Ways to mirror a picture, as what becomes of (x, y): left-right, upside down, about the diagonal.
MIRRORS = (lambda x, y: (-x, y), lambda x, y: (x, -y), lambda x, y: (y, x))


def mirrored(name: str, mirror: int) -> str | None:
    """The relation that holds in the mirrored picture, None where it has no name; mirror: an index into MIRRORS."""
    if RELATIONS[name].on:
        return name if mirror == 0 else None
    names, step = (PLACE_OF, PLACES[name]) if name in PLACES else (NAME_OF, DIRECTIONS.get(name))
    if step is None:
        return name  # distance, "around" and "between" look the same in every mirror
    x, y, depth, within = step
    x, y = MIRRORS[mirror](x, y)
    return names[x, y, depth, within]


# --- Where it holds -------------------------------------------------------------------------------------------------


def points(
    name: str,
    x: "float | Tensor",
    y: "float | Tensor",
    width: "float | Tensor" = 0.0,
    height: "float | Tensor" = 0.0,
) -> "bool | Tensor":
    """Does the subject stand in this direction as seen from the object? (GenEval's evaluate_images, relative_position.)

    x, y: from the object's middle to the subject's, in any unit; width, height: the sums of both, in the same unit.
    Numbers give a bool; tensors of one shape give bools of that shape: over a grid of offsets, a loss's mask.
    Raises ValueError for a relation that is no direction in the picture.
    """
    right, down, depth, within = DIRECTIONS.get(name, NOWHERE)
    if depth or within or not (right or down):
        raise ValueError(f'"{name}" is no direction in the picture.')
    least = (BOTH if right and down else TOWARDS) * (x * x + y * y) ** 0.5
    axes = [(step * offset, size) for step, offset, size in ((right, x, width), (down, y, height)) if step]
    ways = [along - OVERLAP * size > least for along, size in axes]
    return ways[0] & ways[-1]


def clear(offset: tuple[float, float]) -> str | None:
    """The one straight direction of an offset (x, y), or None where it is too near a diagonal (within 10 degrees)."""
    x, y = offset
    if min(abs(x), abs(y)) > math.tan(math.radians(35)) * max(abs(x), abs(y)):
        return None
    across = abs(x) > abs(y)
    return NAME_OF[(0 if not across else 1 if x > 0 else -1), (0 if across else 1 if y > 0 else -1), 0, 0]


def holds(name: str, subject: Box, *objects: Box) -> bool | None:
    """Does the relation hold between these boxes? None where boxes cannot tell (in front of, behind, foreground). The
    object of a place is the picture itself.

    Directions by GenEval's rule; the others by rules of our own.
    Raises ValueError for another number of objects than the relation has.
    """
    relation = RELATIONS[name]
    if len(objects) != max(relation.things - 1, 1):
        about = f"{relation.things} things" if relation.things > 1 else "a thing and its picture"
        raise ValueError(f'"{name}" is about {about}, and {1 + len(objects)} boxes are given.')
    if not relation.visible:
        return None
    if relation.place is not None:
        return _placed(relation.place, subject, *objects)
    if relation.near:
        return _near(subject, *objects)
    if relation.on:
        return _on(subject, *objects)
    if relation.around:
        return _inside(objects[0], subject)
    if relation.between:
        return _between(subject, *objects)
    if relation.direction[3]:
        return _inside(subject, *objects)
    (width, height), (other_width, other_height) = _size(subject), _size(objects[0])
    return bool(points(name, *_way(objects[0], subject), width + other_width, height + other_height))


def labels(subject: Box, object: Box) -> set[str]:
    """All relations of two things that hold between their boxes; a picture can satisfy several."""
    return {name for name, r in RELATIONS.items() if r.things == 2 and holds(name, subject, object)}


def _near(subject: Box, object: Box) -> bool:
    mean = (sum(_size(subject)) + sum(_size(object))) / 4
    return math.hypot(*(max(-shared, 0.0) for shared in _shared(subject, object))) <= CLOSE * mean


def _on(subject: Box, object: Box) -> bool:
    """Its middle higher, the boxes touching or nearly so, and the object below it and not beside it."""
    (x, y), (shared_x, shared_y) = _way(object, subject), _shared(subject, object)
    mean = (sum(_size(subject)) + sum(_size(object))) / 4
    below = 2 * abs(x) <= _size(object)[0] or 2 * shared_x >= _size(subject)[0]
    return y < 0 and below and -shared_y <= TOUCHING * mean


def at_place(place: Direction, x: "float | Tensor", y: "float | Tensor") -> "bool | Tensor":
    """Is the middle of something in this part of the picture? x, y: of the middle, in shares of the picture's sides;
    numbers give a bool, tensors bools of their shape."""
    ways = [0.5 + step * (at - 0.5) > 1 - OFF for step, at in zip(place, (x, y), strict=False) if step]
    if not ways:
        ways = [(at - 0.5) * way <= CENTRE for at in (x, y) for way in (1, -1)]
    return functools.reduce(operator.and_, ways)


def _placed(place: Direction, subject: Box, picture: Box) -> bool:
    (x, y), (width, height) = _way(picture, subject), _size(picture)
    return bool(at_place(place, 0.5 + x / width, 0.5 + y / height))


def _inside(subject: Box, object: Box) -> bool:
    area = math.prod(_size(subject))
    common = math.prod(max(shared, 0.0) for shared in _shared(subject, object))
    return area < math.prod(_size(object)) and common >= HELD * area


def _between(subject: Box, first: Box, second: Box) -> bool:
    (x, y), (way_x, way_y) = _way(first, subject), _way(first, second)
    along, across, whole = x * way_x + y * way_y, abs(x * way_y - y * way_x), way_x**2 + way_y**2
    return whole > 0 and MIDDLE[0] * whole <= along <= MIDDLE[1] * whole and across <= ASIDE * whole


def _way(start: Box, end: Box) -> tuple[float, float]:
    """From the middle of one box to that of the other, (x, y)."""
    return (end[0] + end[2] - start[0] - start[2]) / 2, (end[1] + end[3] - start[1] - start[3]) / 2


def _size(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _shared(a: Box, b: Box) -> tuple[float, float]:
    """How far the boxes overlap in x and in y; below 0 it is the gap between them."""
    return min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])


if __name__ == "__main__":  # reads prompts, one a line
    from .prompts.command import main

    main()
