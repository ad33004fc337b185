"""Relations as geometry: the table and what follows from it, GenEval's rule, and verdicts on pictures."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_to_steer.steering.judge import Found, judge
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.relations import (
    DIRECTIONS,
    MIRRORS,
    OPPOSITE,
    PLACES,
    RELATIONS,
    clear,
    holds,
    labels,
    mirrored,
    points,
)
from learn_to_steer.steering.words import Phrase, Wish

ROOT = Path(__file__).resolve().parent.parent
STRAIGHT = ("left of", "right of", "above", "below")
OF_TWO = [name for name, relation in RELATIONS.items() if relation.things == 2]


def square(x: float, y: float, size: float) -> tuple[float, float, float, float]:
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def random_box(rng: random.Random) -> tuple[float, float, float, float]:
    """In whole pixels, so that sums and mirror images are exact."""
    left, top = rng.randrange(80), rng.randrange(80)
    return (left, top, left + rng.randint(1, 60), top + rng.randint(1, 60))


def pairs(count: int, seed: int) -> list[tuple]:
    """Boxes anywhere; every fourth of one size and every fourth within the other, so that all relations come up."""
    rng, found = random.Random(seed), []
    for number in range(count):
        a, b = random_box(rng), random_box(rng)
        if number % 4 == 1:
            b = (b[0], b[1], b[0] + a[2] - a[0], b[1] + a[3] - a[1])
        if number % 4 == 2:
            a = (b[0] + 1, b[1], (b[0] + b[2] + 2) // 2, b[3] - (b[3] - b[1]) // 3)
        found.append((a, b))
    return found


# --- The table ------------------------------------------------------------------------------------------------------


def test_every_relation_means_exactly_one_thing():
    for relation in RELATIONS.values():
        assert [
            any(relation.direction), relation.near, relation.on, relation.around, relation.between,
            relation.place is not None,
        ].count(True) == 1  # fmt: skip
    assert len(set(RELATIONS.values())) == len(RELATIONS)
    assert [name for name, relation in RELATIONS.items() if relation.things == 3] == ["between"]
    hidden = [name for name, relation in RELATIONS.items() if not relation.visible]
    assert hidden == ["in front of", "behind", "foreground", "background"]


def test_every_direction_but_into_has_its_opposite():
    assert OPPOSITE.keys() == RELATIONS.keys() - {"inside", "between", "on", "around"} - PLACES.keys()
    for name, opposite in OPPOSITE.items():
        assert OPPOSITE[opposite] == name
        assert (name == opposite) == (name == "near")
        if name in DIRECTIONS:
            assert [-step for step in DIRECTIONS[name]] == list(DIRECTIONS[opposite])


@pytest.mark.parametrize("name", OPPOSITE)
def test_what_holds_one_way_holds_as_its_opposite_the_other_way(name):
    for a, b in pairs(2000, 1):
        assert holds(name, a, b) == holds(OPPOSITE[name], b, a), (a, b)


def mirror_of(mirror: int, box: tuple) -> tuple:
    corners = MIRRORS[mirror](box[0], box[1]), MIRRORS[mirror](box[2], box[3])
    (left, right), (top, bottom) = (sorted(along) for along in zip(*corners, strict=True))
    return (left, top, right, bottom)


@pytest.mark.parametrize(
    ("mirror", "becomes"),
    [
        (0, {"left of": "right of", "above": "above", "upper left of": "upper right of", "behind": "behind"}),
        (0, {"on": "on", "lower left": "lower right", "centre": "centre"}),
        (1, {"left of": "left of", "above": "below", "upper left of": "lower left of", "inside": "inside"}),
        (1, {"on": None, "top": "bottom", "background": "background"}),
        (2, {"left of": "above", "below": "right of", "upper left of": "upper left of", "near": "near"}),
        (2, {"around": "around", "right": "bottom"}),
    ],
)
def test_mirrors_are_left_right_and_upside_down_and_about_the_diagonal(mirror, becomes):
    assert {name: mirrored(name, mirror) for name in becomes} == becomes
    back = [(name, mirrored(image, mirror)) for name in RELATIONS if (image := mirrored(name, mirror))]
    assert all(name == again for name, again in back)


@pytest.mark.parametrize("mirror", range(len(MIRRORS)))
def test_in_the_mirror_holds_the_mirrored_relation(mirror):
    seen = set()
    for a, b in pairs(4000, 2):
        shown = labels(a, b)
        images = {mirrored(name, mirror) for name in shown} - {None}
        assert images - labels(mirror_of(mirror, a), mirror_of(mirror, b)) == set(), (a, b)
        seen |= shown
    assert seen == {name for name in OF_TWO if RELATIONS[name].visible}


@pytest.mark.parametrize("mirror", range(len(MIRRORS)))
def test_between_holds_in_every_mirror(mirror):
    rng, seen = random.Random(3), 0
    for _ in range(4000):
        boxes = [random_box(rng) for _ in range(3)]
        between = holds("between", *boxes)
        assert holds("between", *(mirror_of(mirror, box) for box in boxes)) == between
        seen += between
    assert 100 < seen < 3900


PICTURE = (0, 0, 200, 100)


@pytest.mark.parametrize(
    ("place", "x", "y"),
    [
        ("left", 40, 50), ("right", 160, 90), ("top", 100, 10), ("bottom", 10, 90), ("centre", 110, 45),
        ("upper left", 30, 20), ("upper right", 170, 30), ("lower left", 10, 70), ("lower right", 190, 80),
    ],
)  # fmt: skip
def test_places_are_parts_of_the_picture(place, x, y):
    assert holds(place, square(x, y, 20), PICTURE)
    straight = {"left", "right", "top", "bottom"} - set(
        place.replace("upper", "top").replace("lower", "bottom").split()
    )
    opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top", "centre": "upper left"}
    assert not holds(opposite.get(place, "centre"), square(x, y, 20), PICTURE)
    if place not in opposite:
        assert not any(holds(other, square(x, y, 20), PICTURE) for other in straight)
    with pytest.raises(ValueError, match="is about a thing and its picture, and 1 boxes"):
        holds(place, square(x, y, 20))


@pytest.mark.parametrize(
    ("subject", "granted"),
    [
        (square(50, 40, 20), True),  # it stands on it
        (square(50, 52, 20), True),  # and in it
        (square(50, 25, 20), False),  # it floats above
        (square(50, 70, 20), False),  # it is below its middle
        (square(95, 45, 20), False),  # it is beside it
    ],
)
def test_what_is_on_something_touches_it_from_above(subject, granted):
    assert holds("on", subject, (20, 50, 80, 80)) is granted


def test_what_is_around_something_has_it_inside():
    assert holds("around", (0, 0, 100, 100), square(50, 50, 30))
    assert not holds("around", square(50, 50, 30), (0, 0, 100, 100))


def test_a_place_is_judged_in_its_picture():
    wish, found = Wish(Phrase("dog", (0, 3)), "left"), [Found("dog", square(20, 20, 10))]
    (right,), (wrong,), (unknown,) = (judge(found, [wish], frame) for frame in (PICTURE, (0, 0, 30, 30), None))
    assert (right.granted, right.reason) == (True, "dog left")
    assert (wrong.granted, wrong.reason) == (False, "dog not left")
    assert (unknown.there, unknown.granted) == (True, None)


# --- GenEval's rule -------------------------------------------------------------------------------------------------


def geneval(subject: tuple, object: tuple) -> set[str]:
    """What its evaluate_images calls the relative position, written down anew from its arithmetic, axis by axis."""
    a, b = np.array(subject, float).reshape(2, 2), np.array(object, float).reshape(2, 2)
    offset = a.mean(0) - b.mean(0)
    sizes = np.ptp(a, axis=0) + np.ptp(b, axis=0)
    rest = np.where(np.abs(offset) > 0.1 * sizes, np.abs(offset) - 0.1 * sizes, 0.0) * np.sign(offset)
    if not rest.any():
        return set()
    x, y = rest / np.sqrt((offset**2).sum())
    answers = {"left of": x < -0.5, "right of": x > 0.5, "above": y < -0.5, "below": y > 0.5}
    return {name for name, holding in answers.items() if holding}


@pytest.mark.parametrize("number", range(8))
def test_directions_are_geneval_s(number):
    """1,000 pairs a number; boxes of odd thirds, for which no offset lies on the border."""
    rng = random.Random(number)
    for _ in range(1000):
        a, b = (tuple(edge * 1.7 / 3 + rng.random() for edge in random_box(rng)[:2]) for _ in range(2))
        a = (*a, a[0] + rng.uniform(1, 60), a[1] + rng.uniform(1, 60))
        b = (*b, b[0] + rng.uniform(1, 60), b[1] + rng.uniform(1, 60))
        assert {name for name in STRAIGHT if holds(name, a, b)} == geneval(a, b), (a, b)


@pytest.mark.parametrize(
    ("x", "y", "size", "wanted"),
    [
        (24, 64, 40, {"left of"}),
        (104, 64, 40, {"right of"}),
        (64, 20, 40, {"above"}),
        (64, 110, 40, {"below"}),
        (14, 14, 40, {"left of", "above"}),  # a diagonal satisfies two
        (60, 60, 40, set()),  # too close satisfies none
        (64, 64, 40, set()),  # in one place
        (56, 64, 40, set()),  # 8 px off, as much as a tenth of both sizes
        (47, 64, 40, {"left of"}),  # 17 px off, and 9 px of them left: just over a half
        (49, 64, 40, set()),  # 15 px off, and 7 px of them left: just under
    ],
)
def test_what_holds_beside_a_thing_in_the_middle(x, y, size, wanted):
    subject, object = square(x, y, size), square(64, 64, 40)
    assert {name for name in STRAIGHT if holds(name, subject, object)} == wanted == geneval(subject, object)


@pytest.mark.parametrize("name", [name for name, (x, y, *_) in DIRECTIONS.items() if x or y])
def test_a_mask_over_offsets_says_the_same_as_one_offset_after_the_other(name):
    ramp = torch.arange(-7, 8, dtype=torch.float64)
    x, y = ramp.expand(15, 15), ramp[:, None].expand(15, 15)
    for width, height in ((0.0, 0.0), (4.0, 9.0)):
        mask = points(name, x, y, width, height)
        assert mask.dtype == torch.bool and mask.shape == (15, 15) and mask.any() and not mask[7, 7]
        alone = [[points(name, float(a), float(b), width, height) for a in ramp] for b in ramp]
        assert mask.tolist() == alone


@pytest.mark.parametrize("name", ["inside", "in front of", "behind", "near", "between", "beside"])
def test_only_directions_in_the_picture_are_pointed_at(name):
    with pytest.raises(ValueError, match=f'^"{name}" is no direction in the picture.$'):
        points(name, 1.0, 0.0)


# --- Rules of our own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "wanted"),
    [(10, False), (14, False), (17, True), (45, True), (73, True), (76, False), (80, False), (-45, False)],
)
def test_diagonals_are_at_least_15_degrees_from_straight(degrees, wanted):
    x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    assert points("lower right of", x, y) == points("upper left of", -x, -y) == wanted
    assert points("upper right of", x, -y) == points("lower left of", -x, y) == wanted


def test_a_diagonal_is_shortened_too():
    middle = square(64, 64, 40)
    assert {"lower right of", "right of", "below"} <= labels(square(100, 100, 40), middle)
    assert not any("lower" in name for name in labels(square(100, 72, 40), middle))  # 8 px down, a tenth of both


@pytest.mark.parametrize(
    ("x", "y", "size", "wanted"),
    [
        (64, 64, 10, True),  # on it
        (94, 64, 20, True),  # touching
        (108, 64, 20, True),  # a gap of 14, where half of the mean size is 15
        (110, 64, 20, False),
        (103, 103, 20, True),  # 9 both ways: 12.7
        (105, 105, 20, False),  # 11 both ways: 15.6
    ],
)
def test_near(x, y, size, wanted):
    assert holds("near", square(x, y, size), square(64, 64, 40)) == wanted


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ((50, 50, 60, 60), True),
        ((44, 44, 84, 84), False),  # the same box
        ((40, 50, 60, 60), True),  # four fifths
        ((39, 50, 60, 60), False),
        ((0, 0, 128, 128), False),  # around it
        ((100, 100, 110, 110), False),  # outside
        ((30, 30, 40, 40), False),  # outside both ways
    ],
)
def test_inside(box, wanted):
    assert holds("inside", box, (44, 44, 84, 84)) == wanted


@pytest.mark.parametrize(
    ("x", "y", "wanted"),
    [
        (60, 50, True),
        (30, 50, True),  # a quarter of the way
        (24, 50, False),
        (88, 50, True),
        (92, 50, False),
        (60, 98, True),  # aside by less than half the way
        (60, 102, False),
        (0, 50, False),
        (120, 50, False),
    ],
)
def test_between_is_about_three_things(x, y, wanted):
    first, second = square(10, 50, 20), square(110, 50, 30)
    assert holds("between", square(x, y, 10), first, second) == wanted
    assert holds("between", square(x, y, 10), second, first) == wanted
    assert not holds("between", square(x, y, 10), first, first)


def test_what_is_in_front_cannot_be_told_from_boxes():
    a, b = square(20, 20, 10), square(60, 60, 10)
    assert holds("in front of", a, b) is None and holds("behind", a, b) is None
    assert not {"in front of", "behind"} & labels(a, b)


@pytest.mark.parametrize(
    ("name", "count", "sentence"),
    [
        ("left of", 1, '"left of" is about 2 things, and 1 boxes are given.'),
        ("near", 3, '"near" is about 2 things, and 3 boxes are given.'),
        ("in front of", 3, '"in front of" is about 2 things, and 3 boxes are given.'),
        ("between", 2, '"between" is about 3 things, and 2 boxes are given.'),
    ],
)
def test_a_wrong_number_of_boxes_is_an_error(name, count, sentence):
    with pytest.raises(ValueError) as error:
        holds(name, *[square(20, 20, 10)] * count)
    assert str(error.value) == sentence


def test_a_clear_direction_holds_and_is_10_degrees_from_a_diagonal():
    for degrees in np.arange(0.5, 360):
        x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        name = clear((x, y))
        assert (name is None) == (35 < degrees % 90 < 55), degrees
        assert name is None or points(name, x, y)
    assert [clear(offset) for offset in ((-1, 0), (1, 0), (0, -1), (0, 1))] == list(STRAIGHT)


def test_geometry_needs_no_torch():
    code = "import sys, steering.judge; sys.exit(bool({'torch', 'numpy', 'comfy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# --- Verdicts -------------------------------------------------------------------------------------------------------


def verdict(prompt: str, *found: Found) -> tuple[bool, bool | None, str]:
    (one,) = judge(found, parse(prompt).wishes)
    return one.there, one.granted, one.reason


LEFT, RIGHT, LOW = square(20, 64, 20), square(100, 64, 20), square(20, 120, 20)


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a dog left of a cat", (True, True, "dog left of cat")),
        ("a dog right of a cat", (True, False, "dog left of cat")),
        ("a bird above a cat", (True, False, "bird left of and below cat")),
        ("a dog behind a cat", (True, None, 'whether it is "behind" cannot be told from boxes')),
        ("a dog left of a cow", (False, False, "no cow")),
        ("a horse above a cow", (False, False, "no horse and no cow")),
        ("a horse behind a cat", (False, False, "no horse")),
        ("a bus between a dog and a cat", (True, True, "bus between dog and cat")),
        ("a dog between a bus and a cow", (False, False, "no cow")),
        ("a dog near a cat", (True, False, "dog not near cat")),
        ("a dog between a bus and a cat", (True, False, "dog not between bus and cat")),
        ("a dog left of a dog", (False, False, "no second dog")),
    ],
)
def test_verdicts_and_their_reasons(prompt, wanted):
    found = Found("dog", LEFT), Found("cat", RIGHT), Found("bird", LOW), Found("bus", square(60, 64, 20))
    assert verdict(prompt, *found) == wanted


def test_there_is_one_verdict_a_wish_in_their_order():
    wishes = parse("a dog left of a cat. a cat above a cow").wishes
    verdicts = judge([Found("cat", RIGHT), Found("dog", LEFT)], wishes)
    assert [one.wish for one in verdicts] == list(wishes)
    assert [one.granted for one in verdicts] == [True, False]
    assert judge([Found("dog", LEFT)], ()) == []


def test_things_in_one_place_stand_no_way():
    assert verdict("a dog left of a cat", Found("dog", LEFT), Found("cat", LEFT))[:2] == (True, False)


def test_two_things_of_one_name_are_two_findings():
    prompt = "a dog left of a dog"
    assert verdict(prompt, Found("dog", LEFT, 0.9), Found("dog", RIGHT, 0.8))[:2] == (True, True)
    assert verdict(prompt, Found("dog", LEFT, 0.8), Found("dog", RIGHT, 0.9))[:2] == (True, False)
    assert verdict(prompt, Found("dog", LEFT))[:2] == (False, False)


def test_of_several_with_one_name_the_surest_counts():
    found = Found("dog", RIGHT, 0.4), Found("dog", LEFT, 0.6), Found("dog", RIGHT, 0.5), Found("cat", LOW, 0.1)
    assert verdict("a cat below a dog", *found) == (True, True, "cat below dog")
    assert verdict("a cat left of a dog", *found)[1] is False


@pytest.mark.parametrize("name", ["Teddy Bear", "teddy bear", "TEDDY BEAR"])
def test_names_are_known_in_any_case(name):
    for typed in ("teddy bear", "Teddy  Bear"):
        wish = Wish(Phrase(typed, (0, len(typed))), "left of", Phrase("Cat", (20, 23)))
        (one,) = judge([Found(name, LEFT), Found("cat", RIGHT)], [wish])
        assert (one.there, one.granted) == (True, True)
        assert one.reason == f"{typed} left of Cat"
