"""Verdicts, the best and the failing of a batch, and which of a detector's names is which word of the prompt."""

import pytest
from learn_to_steer.steering import judge
from learn_to_steer.steering.judge import Found, Verdict
from learn_to_steer.steering.pictures import FAINT, LEAST, RIGHT, WRONG, judged
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.words import Phrase
from PIL import Image, ImageColor

(DOG_LEFT,) = parse("a dog left of a cat").wishes


def thing(name: str, x: float, y: float = 50, confidence: float = 0.9) -> Found:
    return Found(name, (x - 10, y - 10, x + 10, y + 10), confidence)


@pytest.mark.parametrize(
    "name, phrase, fit",
    [
        ("dog", "dog", 2),
        ("Dog", "DOG", 2),
        ("dining  table", "dining table", 2),
        ("dog", "dogs", 2),
        ("horse", "horses", 2),
        ("bus", "buses", 2),
        ("wine glass", "wine glasses", 2),
        ("person", "people", 2),
        ("sheep", "sheep", 2),
        ("skis", "skis", 2),
        ("berry", "berries", 2),
        ("scissors", "scissors", 2),
        ("dogs", "dog", 2),
        ("car", "red sports car", 1),
        ("car", "two old cars", 1),
        ("cup", "cup of tea", 1),
        ("sports car", "red sports cars", 1),
        ("teddy bear", "brown teddy bear", 1),
        ("bear", "teddy bear", 0),
        ("dog", "two hot dogs", 0),
        ("tea", "cup of tea", 0),
        ("car", "red scar", 0),
        ("sports car", "car", 0),
        ("dog", "puppy", 0),
        ("dog", "", 0),
    ],
)
def test_a_detector_s_name_is_known_in_the_prompt(name, phrase, fit):
    assert judge.fits(name, Phrase(phrase, (0, len(phrase)))) == fit


def test_the_name_that_fits_best_counts_before_the_surest():
    (wish,) = parse("a red car left of a dog").wishes
    (verdict,) = judge.judge(
        [thing("car", 90, confidence=0.9), thing("red car", 10, confidence=0.5), thing("dog", 50)], [wish]
    )
    assert verdict.granted and verdict.confidence == 0.5
    (wish,) = parse("a teddy bear left of a bear").wishes
    (verdict,) = judge.judge([thing("bear", 50)], [wish])
    assert verdict.reason == "no teddy bear"


def test_two_things_of_a_kind_are_two_findings():
    (wish,) = parse("a red car left of a blue car").wishes
    assert judge.judge([thing("car", 10)], [wish])[0].reason == "no second blue car"
    assert judge.judge([thing("car", 10), thing("car", 90, confidence=0.5)], [wish])[0].granted


def test_what_no_box_is_called_like_is_told_once():
    wishes = parse("a dog left of a sofa and above a couch, a dog near a sofa").wishes
    pictures = [[thing("dog", 10)], [thing("couch", 10)]]
    assert judge.unknown(pictures, wishes) == ["sofa"]
    assert judge.unknown([[], []], wishes) == ["dog", "sofa", "couch"]


def verdicts(*granted: bool | None, confidence: float = 0.5) -> list[Verdict]:
    return [Verdict(DOG_LEFT, None, one, "so", (), confidence) for one in granted]


def test_the_best_has_most_wishes_granted_then_is_surest_then_comes_first():
    one, two = verdicts(True, False, confidence=1.0), verdicts(True, True, confidence=0.1)
    assert judge.best([one, two]) == 1
    surer = verdicts(True, True, confidence=0.2)
    assert judge.best([two, surer, surer]) == 1
    assert judge.best([verdicts(None), verdicts(None)]) == 0


def test_what_cannot_be_told_is_no_failure():
    assert judge.failing([verdicts(True, None), verdicts(False, True), verdicts(None), verdicts(True, False)]) == [1, 3]


def test_a_look_grants_from_its_target_on_and_tells_what_it_does_not_serve():
    yes, no, untold = judge.read([DOG_LEFT] * 3, [0.5, 0.49, None], 0.5)
    assert (yes.granted, no.granted, untold.granted) == (True, False, None)
    assert (yes.confidence, yes.there, yes.reason) == (0.5, None, "dog left of cat is read with 0.50")
    assert untold.reason == 'this loss cannot tell whether it is "left of"'


def test_all_is_told_in_a_line_a_picture():
    found = [thing("dog", 10), thing("cat", 90)]
    said = [judge.judge(found, [DOG_LEFT]), judge.judge(found[:1], [DOG_LEFT])]
    told = "1 of 2 right; best: picture 1; wrong: 2.\npicture 1: right: dog left of cat\npicture 2: wrong: no cat"
    assert judge.text(said) == told
    assert judge.text(said[:1]).startswith("1 of 1 right; best: picture 1.\n")


def test_boxes_are_drawn_green_where_right_red_where_wrong_and_grey_where_unwished():
    wishes = parse("a dog left of a cat, a bus above a cat").wishes
    found = [thing("dog", 20, 80), thing("cat", 80, 80), thing("bus", 110, 60), thing("car", 40, 20)]
    picture = Image.new("RGB", (128, 96), "black")
    shown = judged(picture, found, judge.judge(found, wishes))
    scale, size = LEAST // 128, LEAST // 22
    assert shown.width == LEAST and shown.height > 96 * scale
    for one, colour in zip(found, (RIGHT, WRONG, WRONG, FAINT), strict=True):
        right, bottom = (round(scale * side) for side in one.box[2:])
        assert shown.getpixel((right - 1, bottom - 1)) == ImageColor.getrgb(colour), one.name
    lines = [shown.getpixel((size, 96 * scale + round(size * (0.8 + 1.6 * n)))) for n in range(2)]
    assert lines == [ImageColor.getrgb(RIGHT), ImageColor.getrgb(WRONG)]
