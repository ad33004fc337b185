"""Places planned from relations: all wishes hold between them, or a sentence says which one cannot."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_to_steer.steering.plan import CELLS, cells, plan
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.relations import PLACES, RELATIONS, holds
from learn_to_steer.steering.words import Phrase, Wish, Words

TWO = [name for name, relation in RELATIONS.items() if relation.things == 2]


def words_of(wishes: list[tuple[str, tuple[int, ...]]], things: int) -> Words:
    names = tuple(f"thing {number}" for number in range(things))
    phrases = [Phrase(name, (0, 1)) for name in names]
    said = tuple(Wish(phrases[at[0]], name, *(phrases[one] for one in at[1:])) for name, at in wishes)
    return Words("", said, names, tuple((number,) for number in range(things)), tuple(at for _, at in wishes))


def of_prompt(text: str) -> Words:
    wishes = parse(text).wishes
    phrases = list(dict.fromkeys(phrase for wish in wishes for phrase in wish.things))
    pairs = tuple(tuple(map(phrases.index, wish.things)) for wish in wishes)
    rows = tuple((number,) for number in range(len(phrases)))
    return Words(text, wishes, tuple(phrase.text for phrase in phrases), rows, pairs)


def check(words: Words, places) -> None:
    assert len(places) == len(words.rows)
    for left, top, right, bottom in places:
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    for wish, pair in zip(words.wishes, words.pairs, strict=True):
        boxes = [places[one] for one in pair] + ([(0, 0, 1, 1)] if len(pair) == 1 else [])
        assert holds(wish.relation, *boxes) is not False, str(wish)


@st.composite
def any_wishes(draw):
    things = draw(st.integers(2, 5))
    wishes = []
    for _ in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(list(RELATIONS)))
        if RELATIONS[name].things <= things:
            at = draw(st.permutations(range(things)))[: RELATIONS[name].things]
            wishes.append((name, tuple(at)))
    return words_of(wishes, things)


@settings(max_examples=60, deadline=None)
@given(any_wishes())
def test_all_wishes_hold_or_one_is_named(words):
    try:
        places = plan(words)
    except ValueError as error:
        assert any(str(wish) in str(error) for wish in words.wishes)
    else:
        check(words, places)
        assert places == plan(words)


@st.composite
def true_wishes(draw):
    """Some of what holds in a picture of things of one size that do not overlap."""
    grid = list(itertools.product(range(CELLS), repeat=2))
    at = draw(st.lists(st.sampled_from(grid), min_size=2, max_size=5, unique=True))
    boxes = [(x, y, x + 1, y + 1) for x, y in at]
    true = [
        (name, (a, b))
        for a, b in itertools.permutations(range(len(at)), 2)
        for name in TWO
        if holds(name, boxes[a], boxes[b])
    ]
    true += [
        ("between", three)
        for three in itertools.permutations(range(len(at)), 3)
        if holds("between", *(boxes[one] for one in three))
    ]
    true += [
        (name, (one,))
        for name, one in itertools.product(PLACES, range(len(at)))
        if holds(name, boxes[one], (0, 0, CELLS, CELLS))
    ]
    wishes = draw(st.lists(st.sampled_from(true), max_size=6, unique=True)) if true else []
    return words_of(wishes, len(at))


@settings(max_examples=60, deadline=None)
@given(true_wishes())
def test_what_holds_in_a_picture_is_planned(words):
    check(words, plan(words))


@pytest.mark.parametrize(
    "prompt", ["a dog left of a cat", "a cat below a dog", "a dog left of a cat and above a bus", "a dog near a cat"]
)
def test_places_are_large_and_overlap_little(prompt):
    places = plan(of_prompt(prompt))
    sizes = [(right - left) * (bottom - top) for left, top, right, bottom in places]
    assert sum(sizes) > 0.9 and min(sizes) > 0.5 / len(places)
    for one, other in itertools.combinations(places, 2):
        shared = [max(min(one[a + 2], other[a + 2]) - max(one[a], other[a]), 0) for a in (0, 1)]
        assert math.prod(shared) < 0.02


def test_one_relation_halves_the_picture():
    assert plan(of_prompt("a dog left of a cat")) == ((0, 0, 0.5, 1), (0.5, 0, 1, 1))
    assert plan(of_prompt("a dog above a cat")) == ((0, 0, 1, 0.5), (0, 0.5, 1, 1))


def test_what_is_inside_lies_inside():
    words = words_of([("inside", (0, 2)), ("inside", (1, 2)), ("left of", (0, 1)), ("above", (2, 3))], 4)
    check(words, plan(words))


@pytest.mark.parametrize(
    "wishes",
    [
        [("left of", (0, 1)), ("left of", (1, 0))],
        [("left of", (0, 1)), ("left of", (1, 2)), ("left of", (2, 0))],
        [("left of", (0, 1)), ("right of", (0, 1))],
        [("inside", (0, 1)), ("inside", (1, 0))],
        [("left of", (0, 0))],
        [("left", (0,)), ("right of", (1, 0)), ("upper left", (1,)), ("centre", (0,))],
        [("top", (0,)), ("bottom", (0,))],
        [("left of", (number, (number + 1) % 5)) for number in range(5)],
    ],
)
def test_a_contradiction_is_said(wishes):
    words = words_of(wishes, max(max(at) for _, at in wishes) + 1)
    with pytest.raises(ValueError, match="no places for all things") as error:
        plan(words)
    assert f'"{words.wishes[-1]}" cannot hold' in str(error.value)


def test_what_is_around_something_has_it_inside():
    words = words_of([("around", (0, 1)), ("left", (0,))], 2)
    check(words, plan(words))


def test_nothing_wished_is_nothing_planned():
    assert plan(words_of([], 0)) == ()


def test_cells_of_a_place():
    assert cells((0, 0, 0.5, 1), 2, 4).tolist() == [[True, True, False, False]] * 2
    assert cells((0.4, 0.4, 0.41, 0.41), 2, 2).sum() == 1
