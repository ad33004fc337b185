"""Spatial relations and what they mean as geometry: one table, from which everything else about them follows.

Opposites and mirror images, GenEval's rule on boxes, the label of a training picture and a loss's mask over offsets are
all read off this table.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OVERLAP = 0.1  # GenEval's position_threshold: the share of both sizes by which an offset is shortened
TOWARDS = 0.5  # GenEval's: what is left must point more than so much that way, 1 being straight
BOTH = 0.25  # of a diagonal, both ways: at least 15 degrees away from straight
CLOSE = 0.5  # near: the gap is at most so much of the mean size
HELD = 0.8  # inside: so much of the subject's box lies in the object's
MIDDLE = (0.2, 0.8)  # between: where on the way from one object to the other


Direction = tuple[int, int, int, int]
NOWHERE: Direction = (0, 0, 0, 0)


@dataclass(frozen=True)
class Relation:
    """What a relation means, with exactly one of these set.

    direction: where the subject stands as seen from the object, each -1, 0 or 1: right, down, away from the viewer, and
    into it; near: at a small distance; between: in the middle of two objects.
    """

    direction: Direction = NOWHERE
    near: bool = False
    between: bool = False

    @property
    def things(self) -> int:
        """How many things stand in the relation: subject and objects."""
        return 3 if self.between else 2

    @property
    def visible(self) -> bool:
        """Can it be seen from boxes? Who is in front cannot."""
        return self.direction[2] == 0


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
}
DIRECTIONS = {name: relation.direction for name, relation in RELATIONS.items() if any(relation.direction)}
NAME_OF = {direction: name for name, direction in DIRECTIONS.items()}
# "A left of B" says the same as "B right of A". Inside and between have no such word.
OPPOSITE = {"near": "near"} | {
    name: NAME_OF[back]
    for name, direction in DIRECTIONS.items()
    if (back := tuple(-step for step in direction)) in NAME_OF
}

# Ways to mirror a picture, as what becomes of (x, y): left-right, upside down, about the diagonal.
MIRRORS = (lambda x, y: (-x, y), lambda x, y: (x, -y), lambda x, y: (y, x))


def mirrored(name: str, mirror: int) -> str:
    """The relation that holds in the mirrored picture; mirror: an index into MIRRORS."""
    if name not in DIRECTIONS:
        return name  # distance and "between" look the same in every mirror
    x, y, depth, within = DIRECTIONS[name]
    x, y = MIRRORS[mirror](x, y)
    return NAME_OF[x, y, depth, within]


# --- Where it holds -------------------------------------------------------------------------------------------------


def points(name: str, offset: Tensor, sizes: Tensor | float = 0.0) -> Tensor:
    """Does the subject stand in this direction as seen from the object? (GenEval's evaluate_images, relative_position.)

    offset: from the object's middle to the subject's, (..., 2) in any unit, x and y; sizes: the sum of both widths and
    heights in the same unit, (..., 2). Returns bools (...). Over a grid of offsets this is a loss's mask.
    Raises ValueError for a relation that is no direction in the picture.
    """
    x, y, depth, within = DIRECTIONS.get(name, NOWHERE)
    if depth or within or not (x or y):
        raise ValueError(f'"{name}" is no direction in the picture.')
    left = (offset.abs() - OVERLAP * sizes).clamp_min(0) * offset.sign()
    along = left / offset.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    straight = TOWARDS if not (x and y) else BOTH
    way = along * along.new_tensor([x, y])
    return ((way > straight) | (along.new_tensor([x, y]) == 0)).all(-1)


def clear(offset: tuple[float, float]) -> str | None:
    """The one straight direction of an offset (x, y), or None where it is too near a diagonal (within 10 degrees)."""
    x, y = offset
    if min(abs(x), abs(y)) > math.tan(math.radians(35)) * max(abs(x), abs(y)):
        return None
    across = abs(x) > abs(y)
    return NAME_OF[(0 if not across else 1 if x > 0 else -1), (0 if across else 1 if y > 0 else -1), 0, 0]


def holds(name: str, subject: Tensor, *objects: Tensor) -> bool | None:
    """Does the relation hold between these boxes, (4,) each: left, top, right, bottom in one unit?

    None where boxes cannot tell (in front of, behind). Directions by GenEval's rule; the others by rules of our own.
    Raises ValueError for another number of objects than the relation has.
    """
    relation = RELATIONS[name]
    if len(objects) != relation.things - 1:
        raise ValueError(f'"{name}" is about {relation.things} things, and {1 + len(objects)} boxes are given.')
    if not relation.visible:
        return None
    middle, size = _middle(subject), _size(subject)
    other = objects[0]
    if relation.near:
        gap = (torch.maximum(subject[:2], other[:2]) - torch.minimum(subject[2:], other[2:])).clamp_min(0)
        return bool(gap.norm() <= CLOSE * (size + _size(other)).mean() / 2)
    if relation.direction[3]:
        common = (torch.minimum(subject[2:], other[2:]) - torch.maximum(subject[:2], other[:2])).clamp_min(0)
        smaller = size.prod() < _size(other).prod()
        return bool(smaller and common.prod() >= HELD * size.prod())
    if relation.between:
        way = _middle(objects[1]) - _middle(other)
        share = (middle - _middle(other)) @ way / (way @ way).clamp_min(1e-6)
        aside = (middle - _middle(other) - share * way).norm()
        return bool(MIDDLE[0] <= share <= MIDDLE[1] and aside <= 0.5 * way.norm())
    return bool(points(name, middle - _middle(other), size + _size(other)))


def labels(subject: Tensor, object: Tensor) -> set[str]:
    """All relations of two things that hold between their boxes; a picture can satisfy several."""
    return {name for name, r in RELATIONS.items() if r.things == 2 and holds(name, subject, object)}


def _middle(box: Tensor) -> Tensor:
    return (box[:2] + box[2:]) / 2


def _size(box: Tensor) -> Tensor:
    return box[2:] - box[:2]
