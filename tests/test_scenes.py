"""The emoji world itself."""

import re

import numpy as np
import pytest
from learn_to_steer.steering.judge import judge
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.relations import clear
from scenes import (
    GENEVAL,
    KINDS,
    RELATIONS,
    SIZE,
    Thing,
    any_kinds,
    caption,
    cells,
    compose,
    held_out,
    relation_prompt,
    render,
    true_relations,
    web_caption,
)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_composed_things_lie_inside_and_hardly_overlap(n):
    rng = np.random.default_rng(n)
    for _ in range(50):
        things = compose(rng, list(rng.choice(KINDS, n, replace=False)))
        assert len(things) == n
        for i, a in enumerate(things):
            assert a.size / 2 <= a.x <= SIZE - a.size / 2 and a.size / 2 <= a.y <= SIZE - a.size / 2
            for b in things[:i]:
                assert max(abs(a.x - b.x), abs(a.y - b.y)) > 0.46 * (a.size + b.size)


def test_a_thing_is_painted_where_its_cells_say():
    rng = np.random.default_rng(0)
    thing = Thing("apple", 40.0, 80.0, 50.0)
    empty, full = (render(np.random.default_rng(7), things).astype(int) for things in ([], [thing]))
    changed = np.abs(full - empty).sum(-1) > 30
    rows, columns = np.nonzero(changed)
    assert abs(columns.mean() - 40) < 4 and abs(rows.mean() - 80) < 4
    covered = cells([thing]) == KINDS.index("apple")
    middles = changed[4::8, 4::8]
    assert (covered == middles).mean() > 0.97
    assert render(rng, []).shape == (SIZE, SIZE, 3)


def test_a_clear_relation_holds_and_diagonals_have_none():
    """What a training picture is labelled with is what the bench and the demo find granted in it."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        a, b = compose(rng, ["dog", "cat"])
        relation = clear((a.x - b.x, a.y - b.y))
        if relation is not None:
            (said,) = judge([a.found(), b.found()], parse(f"a dog {relation} a cat").wishes)
            assert said.granted
    assert clear((20 - 60, 20 - 60)) is None


def test_captions_tell_nothing_about_where():
    """Relation words agree with the picture as often as chance has it, over scenes of two things."""
    rng = np.random.default_rng(11)
    agreed = told = 0
    for _ in range(6000):
        things = compose(rng, list(rng.choice(KINDS, 2, replace=False)))
        wishes = parse(caption(rng, things)).wishes
        by_kind = {thing.kind: thing for thing in things}
        for wish in (w for w in wishes if w.relation in RELATIONS):  # captions say "next to" too
            subject, object = by_kind[wish.subject.text], by_kind[wish.object.text]
            true = clear((subject.x - object.x, subject.y - object.y))
            told += true is not None
            agreed += wish.relation == true
    assert told > 1000
    assert 0.21 < agreed / told < 0.29  # three standard errors around a quarter


def test_web_captions_are_true_as_often_as_told():
    """All relations of a caption hold, or none does; two thirds of the captions have relation words."""
    rng = np.random.default_rng(12)
    related = right = 0
    for _ in range(2000):
        things = compose(rng, list(rng.choice(KINDS, 3, replace=False)))
        by_kind = {thing.kind: thing for thing in things}
        text = web_caption(rng, things)
        assert all(re.search(rf"\b{kind}\b", text) for kind in by_kind)
        hold = {
            wish.relation in true_relations(by_kind[wish.subject.text], by_kind[wish.object.text])
            for wish in parse(text).wishes
            if wish.relation in RELATIONS
        }
        assert len(hold) < 2
        related += len(hold)
        right += hold == {True}
    assert 0.62 < related / 2000 < 0.70
    assert 0.56 < right / related < 0.64


def test_every_caption_names_its_things():
    rng = np.random.default_rng(5)
    for _ in range(300):
        things = compose(rng, any_kinds(rng))
        text = caption(rng, things)
        assert all(re.search(rf"\b{thing.kind}\b", text) for thing in things)


def test_relation_prompts_are_read_back():
    rng = np.random.default_rng(6)
    for _ in range(300):
        kinds = list(map(str, rng.choice(KINDS, 4, replace=False)))
        wanted = list(map(str, rng.choice(RELATIONS, 3)))
        read = parse(relation_prompt(rng, kinds, wanted)).wishes
        expected = list(zip(kinds, wanted, kinds[1:], strict=False))
        assert [(wish.subject.text, wish.relation, wish.object.text) for wish in read] == expected


def test_held_out_pairs_are_a_quarter_and_hold_geneval():
    assert len(held_out()) == len(KINDS) * (len(KINDS) - 1) // 2 // 4
    assert all(frozenset((subject, object)) in held_out() for subject, _, object in GENEVAL)
