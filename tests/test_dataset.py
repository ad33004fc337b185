"""Looks at scenes: what their prompts say is right or wrong of the boxes, and where they name what."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learn_to_steer.steering.dataset import STRAIGHT, Scene, held_out, looks, phrase, prompt
from learn_to_steer.steering.judge import Found, judge
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.relations import labels
from PIL import Image

NAMES = ("dog", "elephant", "fire hydrant", "skis", "bus", "cat")
PICTURE = Image.new("RGB", (100, 100))
LEVELS = (0.05, 0.95)


@st.composite
def scenes(draw) -> Scene:
    """Up to five things anywhere; two may have one name."""
    found = []
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=5)):
        left, top = draw(st.integers(0, 70)), draw(st.integers(0, 70))
        found.append(Found(name, (left, top, left + draw(st.integers(5, 30)), top + draw(st.integers(5, 30)))))
    return Scene(PICTURE, tuple(found))


@given(scenes(), st.integers(0, 5))
def test_a_look_says_what_holds_or_only_what_does_not(scene, seed):
    for look in looks(scene, 7, 4, 0.5, LEVELS, seed):
        assert look.scene == 7 and LEVELS[0] <= look.level <= LEVELS[1]
        names = [thing.name for thing in look.things]
        assert len(set(names)) == len(names) >= 2 and len(look.wishes) == len(names) - 1
        every = [thing.name for thing in scene.found]
        assert all(every.count(name) == 1 for name in names)  # of two dogs, which is "a dog"?
        for wish, subject, object in zip(look.wishes, look.things, look.things[1:], strict=False):
            assert (wish.relation in labels(subject.box, object.box)) == look.true
            for thing, at in ((subject, wish.subject), (object, wish.object)):
                assert at.text == thing.name == look.prompt[slice(*at.span)]
        assert all(bool(verdict.granted) == look.true for verdict in judge(scene.found, look.wishes))


@given(scenes())
def test_the_same_seed_gives_the_same_looks(scene):
    def seen(number: int, seed: int):
        return list(looks(scene, number, 3, 0.5, LEVELS, seed))

    assert seen(1, 2) == seen(1, 2)
    noises = [{look.seed for look in seen(*of)} for of in ((1, 2), (1, 3), (2, 2))]
    assert not noises[0] or not (noises[0] & noises[1] or noises[0] & noises[2])


def test_both_kinds_of_prompts_and_all_levels_come():
    scene = Scene(PICTURE, (Found("dog", (0, 40, 20, 60)), Found("cat", (70, 40, 90, 60))))
    seen = list(looks(scene, 0, 2000, 0.3, (0.2, 0.8), 1))
    assert np.mean([not look.true for look in seen]) == pytest.approx(0.3, abs=0.04)
    assert np.mean([look.level > 0.6 for look in seen]) == pytest.approx(0.5, abs=0.04)
    assert {look.wishes[0].relation for look in seen} == set(STRAIGHT)
    assert all(look.true for look in looks(scene, 0, 50, 0.0, LEVELS, 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_written_prompt_is_read_as_it_was_written(name):
    rng = np.random.default_rng(3)
    for relation in STRAIGHT:
        text, wishes = prompt(rng, [name, "chair", "laptop"], [relation, "above"])
        assert [(w.relation, w.subject.span, w.object.span) for w in parse(text).wishes] == [
            (w.relation, w.subject.span, w.object.span) for w in wishes
        ]


def test_names_have_their_article():
    assert [phrase(name) for name in NAMES[:5]] == ["a dog", "an elephant", "a fire hydrant", "skis", "a bus"]


def test_a_scene_s_own_prompt_is_shown_with_what_it_is_worth():
    things = (Found("dog", (0, 40, 20, 60)), Found("cat", (70, 40, 90, 60)))
    for text, true in (("an oil painting of a dog left of a cat", True), ("a dog right of a cat at night", False)):
        seen = list(looks(Scene(PICTURE, things, text), 0, 8, 0.5, LEVELS, 0))
        own = [look for look in seen if look.prompt == text]
        assert len(own) == 4 and all(look.true == true and look.things == things for look in own)
    for text in ("a dog and a cat", "a dog left of a bus", "a dog near a cat, a boat"):
        seen = list(looks(Scene(PICTURE, things, text), 0, 8, 0.5, LEVELS, 0))
        assert len(seen) == 8 and (text.startswith("a dog near")) == any(look.prompt == text for look in seen)


def test_about_a_quarter_of_all_pairs_is_held_out_either_way_round():
    words = [f"thing {number}" for number in range(60)]
    pairs = [(a, b) for a in words for b in words if a < b]
    assert np.mean([held_out(a, b) for a, b in pairs]) == pytest.approx(0.25, abs=0.04)
    assert all(held_out(a, b) == held_out(b.upper(), a) for a, b in pairs[:200])
