"""Own generations: prompts that are read back as written, and which pictures become scenes."""

import pytest
from learn_to_steer.steering.dataset import STRAIGHT, looks
from learn_to_steer.steering.generated import scenes, written
from learn_to_steer.steering.judge import Found
from learn_to_steer.steering.prompts import parse
from PIL import Image

DOG, CAT = Found("dog", (10, 40, 50, 80)), Found("cat", (70, 40, 110, 80))
TEXT = "a photo of a dog left of a cat"


def test_prompts_follow_from_the_seed_and_are_read_back():
    made = written(["dog", " hot  dog", "cat", "cat", ""], 60, 1)
    assert made == written(["dog", "hot dog", "cat"], 60, 1) != written(["dog", "hot dog", "cat"], 60, 2)
    wishes = [parse(text).wishes[0] for text, _, _ in made]
    assert {wish.relation for wish in wishes} == set(STRAIGHT)
    assert [(w.subject.text, w.object.text) for w in wishes] == [(a, b) for _, a, b in made]
    with pytest.raises(ValueError, match="at least two different names"):
        written(["dog", "dog"], 1, 1)


def test_pictures_with_each_thing_once_become_scenes():
    pictures = [Image.new("RGB", (128, 128), colour) for colour in ("red", "green", "blue", "white")]
    found = [[DOG, CAT], [DOG], [DOG, DOG, CAT], [DOG, CAT]]
    made = scenes(pictures, found, [TEXT, TEXT, TEXT, "a dog"])
    assert made.count == 1 and made.at(0).found == (DOG, CAT) and made.at(0).prompt == TEXT
    for said in ("1 of 4 pictures", "1 without all", "1 with several", "1 of a prompt without a relation"):
        assert said in made.notes
    assert made.key != scenes(pictures[1:2], found[:1], [TEXT]).key
    both = scenes(pictures[:2], found[:1] * 2, [TEXT, "a dog above a cat"])
    assert both.notes == "2 of 2 pictures; 1 are as their prompt says."
    assert [look.true for number in (0, 1) for look in looks(both.at(number), number, 2, 0, (0, 1), 0)][1::2] == [1, 0]
    over = [DOG, Found("cat", (70, -4, 131, 80))]
    assert scenes(pictures[:1], [over], [TEXT]).at(0).found == (DOG, Found("cat", (70, 0, 128, 80)))
    with pytest.raises(ValueError, match="None of 1 picture.s. can be used. Left out: 1 without all"):
        scenes(pictures[:1], [[]], [TEXT])
