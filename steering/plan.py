"""Places for all things of a prompt, such that all its wishes hold: boxes that are planned before there is a picture.

First a search on a coarse grid, complete there: every thing has a square of cells, and what a wish leaves of the places
of one thing for another is a set of bits. Then the squares grow into boxes while all wishes go on to hold. Nothing is
drawn by chance.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from .relations import RELATIONS, Box, holds
from .words import Wish, Words

CELLS = 8  # along a side of the grid
SEARCHED = 3000  # tries after which the search gives up
STEPS = (1 / 8, 1 / 16, 1 / 32)  # by which an edge moves, of the picture's side
CROWDED = (2.0, 40.0)  # what overlapping costs, first little, that all have their share, then much
ROUNDS = 12  # in which every edge is tried, for each of both at most
LEAST = 1 / 16  # a place's shortest side
PICTURE = (0.0, 0.0, 1.0, 1.0)

Square = tuple[int, int, int]  # column and row of its upper left cell, cells along its side


def plan(words: Words) -> tuple[Box, ...]:
    """A place for each of the words, (left, top, right, bottom) in shares of the picture's sides: all wishes hold
    between them (relations.holds), they are large, and overlap little where nothing is to be inside another.

    Raises ValueError when there are no such places, naming the wish that cannot hold beside those before it.
    """
    wishes = [_as_inside(wish.relation, pair) for wish, pair in zip(words.wishes, words.pairs, strict=True)]
    found = _squares(len(words.rows), wishes)
    if found is None:
        raise ValueError(_contradiction(words.wishes, len(words.rows), wishes))
    return tuple(_grown(found, wishes))


Wishes = Sequence[tuple[str, tuple[int, ...]]]  # relation, and its things by number


def _as_inside(relation: str, pair: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """What is around something has it inside."""
    return ("inside", pair[::-1]) if RELATIONS[relation].around else (relation, pair)


def _contradiction(said: Sequence[Wish], things: int, wishes: Wishes) -> str:
    count = next(n for n in range(1, len(wishes) + 1) if _squares(things, wishes[:n]) is None)
    (*before, last) = (f'"{wish}"' for wish in said[:count])
    beside = f" beside {' and '.join(before)}" if before else ""
    return f"There are no places for all things: {last} cannot hold{beside}. Change one of them in the prompt."


# --- The search -----------------------------------------------------------------------------------------------------


def _squares(things: int, wishes: Wishes) -> list[Square] | None:
    """A square for each thing, such that all wishes hold and only what is inside another overlaps; where that cannot
    be, others may overlap too. None when there are none."""
    if any(len(set(pair)) < len(pair) for _, pair in wishes):
        return None  # a thing beside itself
    holders = _holders(things, wishes)
    if any(thing in holders[thing] for thing in range(things)):
        return None  # inside itself
    sides = _sides(things, wishes, holders)
    if max(sides, default=1) > CELLS:
        return None
    wanted = [wish for wish in wishes if RELATIONS[wish[0]].visible]
    related = {frozenset((a, b)) for a in range(things) for b in holders[a]}
    apart = [("apart", (a, b)) for a, b in itertools.combinations(range(things), 2) if {a, b} not in related]
    for asked in (wanted + apart, wanted):
        at = _Search(sides, asked).run()
        if at is not None:
            return [(place % CELLS, place // CELLS, side) for place, side in zip(at, sides, strict=True)]
    return None


def _holders(things: int, wishes: Wishes) -> list[set[int]]:
    """What each thing is inside of, directly or not."""
    holders: list[set[int]] = [set() for _ in range(things)]
    for _ in range(things):
        for relation, pair in wishes:
            if RELATIONS[relation].direction[3]:
                holders[pair[0]] |= {pair[1]} | holders[pair[1]]
    return holders


def _sides(things: int, wishes: Wishes, holders: list[set[int]]) -> list[int]:
    """Cells along each thing's side: room for all that is inside it, side by side."""
    sides = [1] * things
    for thing in sorted(range(things), key=lambda one: -len(holders[one])):
        inside = {pair[0] for relation, pair in wishes if RELATIONS[relation].direction[3] and pair[1] == thing}
        if inside:
            sides[thing] = max(sum(sides[one] for one in inside), max(sides[one] for one in inside) + 1)
    return sides


class _Search:
    """Places as bits: bit row * CELLS + column is set where a thing's upper left cell may be."""

    def __init__(self, sides: list[int], wishes: Wishes):
        self.sides, self.tries = sides, 0
        self.ones = [(r, pair[0]) for r, pair in wishes if len(pair) == 1]
        self.pairs = [(r, pair) for r, pair in wishes if len(pair) == 2]
        self.threes = [(r, triple) for r, triple in wishes if len(triple) == 3]

    def run(self) -> list[int] | None:
        """The place of each thing, or None."""
        whole = [_room(side) for side in self.sides]
        for place, thing in self.ones:
            picture = 0, 0, CELLS, CELLS
            whole[thing] = sum(1 << at for at in _bits(whole[thing]) if holds(place, self._box(thing, at), picture))
        return self._placed(whole, set()) if all(whole) else None

    def _placed(self, free: list[int], done: set[int]) -> list[int] | None:
        self.tries += 1
        narrowed = self._narrowed(list(free)) if self.tries <= SEARCHED else None
        if narrowed is None:
            return None
        left = [thing for thing in range(len(free)) if thing not in done]
        if not left:
            return [bits.bit_length() - 1 for bits in narrowed]
        thing = min(left, key=lambda one: narrowed[one].bit_count())
        for place in _from_the_middle(narrowed[thing], self.sides[thing]):
            narrowed[thing] = 1 << place
            found = self._placed(narrowed, done | {thing})
            if found is not None:
                return found
        return None

    def _narrowed(self, free: list[int]) -> list[int] | None:
        """Without places that a wish forbids whatever the other thing's place; None when a thing has none left."""
        changed = True
        while changed:
            changed = False
            for relation, (a, b) in self.pairs:
                for one, other, way in ((a, b, 0), (b, a, 1)):
                    table = _table(relation, self.sides[a], self.sides[b])[way]
                    left = 0
                    for place in _bits(free[other]):
                        left |= table[place]
                    if free[one] & left != free[one]:
                        free[one] &= left
                        changed = True
                        if not free[one]:
                            return None
        for relation, triple in self.threes:
            known = [thing for thing in triple if free[thing].bit_count() == 1]
            if len(known) >= 2:
                last = next((thing for thing in triple if thing not in known), triple[0])
                free[last] = sum(
                    1 << place
                    for place in _bits(free[last])
                    if holds(relation, *(self._box(t, place if t == last else _only(free[t])) for t in triple))
                )
                if not free[last]:
                    return None
        return free

    def _box(self, thing: int, place: int) -> Box:
        return _box((place % CELLS, place // CELLS, self.sides[thing]))


def _only(bits: int) -> int:
    return bits.bit_length() - 1


def _bits(bits: int) -> Iterator[int]:
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1


def _room(side: int) -> int:
    steps = range(CELLS + 1 - side)
    return sum(1 << (row * CELLS + column) for row in steps for column in steps)


def _from_the_middle(bits: int, side: int) -> list[int]:
    middle = (CELLS - side) / 2
    return sorted(_bits(bits), key=lambda at: math.hypot(at % CELLS - middle, at // CELLS - middle))


@cache
def _table(relation: str, side: int, other: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each place of the object, the subject's that the relation allows; and the other way round."""
    allowed = {}
    for x, y in itertools.product(range(1 - CELLS, CELLS), repeat=2):
        subject, object = _box((x, y, side)), _box((0, 0, other))
        allowed[x, y] = _apart(subject, object) if relation == "apart" else holds(relation, subject, object)
    subjects, objects = [0] * CELLS**2, [0] * CELLS**2
    for a, b in itertools.product(_bits(_room(side)), _bits(_room(other))):
        if allowed[a % CELLS - b % CELLS, a // CELLS - b // CELLS]:
            subjects[b] |= 1 << a
            objects[a] |= 1 << b
    return tuple(subjects), tuple(objects)


def _apart(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


def _box(square: Square) -> Box:
    column, row, side = square
    return column, row, column + side, row + side


# --- The growth -----------------------------------------------------------------------------------------------------


def _grown(squares: list[Square], wishes: Wishes) -> list[Box]:
    """Boxes in shares of the picture's sides: the squares as large as they can be all at once, in the middle, and then
    each edge on its own. With places in the picture the squares stay where they are."""
    start = [_box(square) for square in squares]
    if not start:
        return []
    if any(len(pair) == 1 for _, pair in wishes):
        start += [(0, 0, CELLS, CELLS)]
    low = [min(box[axis] for box in start) for axis in (0, 1)]
    high = [max(box[axis + 2] for box in start) for axis in (0, 1)]
    scale = 1 / max(high[axis] - low[axis] for axis in (0, 1))
    shift = [0.5 - scale * (low[axis] + high[axis]) / 2 for axis in (0, 1)]
    x, y = shift
    boxes = [
        (scale * left + x, scale * top + y, scale * right + x, scale * bottom + y)
        for left, top, right, bottom in start[: len(squares)]
    ]
    holders = _holders(len(boxes), wishes)
    asked = [
        [wish for wish in wishes if thing in wish[1] and RELATIONS[wish[0]].visible] for thing in range(len(boxes))
    ]
    for crowded in CROWDED:
        for step in STEPS:
            for _ in range(ROUNDS):
                if not any([_moved(boxes, thing, step, crowded, asked[thing], holders) for thing in range(len(boxes))]):
                    break
    return boxes


def _moved(boxes: list[Box], thing: int, step: float, crowded: float, wishes: Wishes, holders: list[set[int]]) -> bool:
    """Move the edges of one box where that is better; whether any was."""
    moved = False
    for move in MOVES:
        before = boxes[thing]
        left, top, right, bottom = (
            min(max(edge + step * way, 0.0), 1.0) for edge, way in zip(before, move, strict=True)
        )
        after = left, top, right, bottom
        if min(right - left, bottom - top) < LEAST:
            continue
        worth = _worth(boxes, thing, crowded, holders)
        boxes[thing] = after
        better = _worth(boxes, thing, crowded, holders) > worth + 1e-9
        if better and all(_holds(relation, [boxes[one] for one in pair]) for relation, pair in wishes):
            moved = True
        else:
            boxes[thing] = before
    return moved


def _holds(relation: str, boxes: Sequence[Box]) -> bool | None:
    return holds(relation, *boxes) if len(boxes) > 1 else holds(relation, *boxes, PICTURE)


MOVES = (
    *((-1, 0, 0, 0), (0, -1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)),  # an edge outwards
    *((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, -1, 0), (0, 0, 0, -1)),  # inwards
    *((1, 0, 1, 0), (-1, 0, -1, 0), (0, 1, 0, 1), (0, -1, 0, -1)),  # the box
)


def _worth(boxes: list[Box], thing: int, crowded: float, holders: list[set[int]]) -> float:
    """How large and free a box is; one inside another leaves it half."""
    left, top, right, bottom = boxes[thing]
    width, height = right - left, bottom - top
    shared = sum(
        max(min(right, box[2]) - max(left, box[0]), 0.0) * max(min(bottom, box[3]) - max(top, box[1]), 0.0)
        for other, box in enumerate(boxes)
        if other != thing and other not in holders[thing] and thing not in holders[other]
    )
    shared += sum(max(width * height - math.prod(_size(boxes[holder])) / 2, 0.0) for holder in holders[thing])
    aside = math.hypot(left + right - 1, top + bottom - 1)
    return math.log(width * height) - crowded * shared - 0.01 * aside


def _size(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def cells(place: Box, height: int, width: int) -> Tensor:
    """The cells of a grid whose middles lie in a place, and the nearest one always, (height, width) bool."""
    left, top, right, bottom = place
    spans = []
    for start, end, count in ((top, bottom, height), (left, right, width)):
        middles = (torch.arange(count) + 0.5) / count
        within = (middles >= start) & (middles < end)
        within[((middles - (start + end) / 2).abs()).argmin()] = True
        spans.append(within)
    return spans[0][:, None] & spans[1]
