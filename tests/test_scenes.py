"""The emoji world itself."""

import re

import numpy as np
import pytest
from learn_to_steer.steering.prompts import parse
from scenes import (
    GENEVAL,
    KINDS,
    RELATIONS,
    SIZE,
    Thing,
    any_kinds,
    caption,
    cells,
    clear_relation,
    compose,
    held_out,
    holds,
    relation_prompt,
    render,
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


def test_what_holds_is_geneval_s_rule():
    middle = Thing("dog", 64, 64, 40)
    assert holds("left of", Thing("cat", 24, 64, 40), middle)
    assert not holds("right of", Thing("cat", 24, 64, 40), middle)
    assert holds("above", Thing("cat", 64, 20, 40), middle)
    # a diagonal can satisfy two; too close satisfies none
    diagonal = Thing("cat", 14, 14, 40)
    assert holds("left of", diagonal, middle) and holds("above", diagonal, middle)
    assert not any(holds(relation, Thing("cat", 60, 60, 40), middle) for relation in RELATIONS)


def test_a_clear_relation_holds_and_diagonals_have_none():
    rng = np.random.default_rng(3)
    for _ in range(200):
        a, b = compose(rng, ["dog", "cat"])
        relation = clear_relation(a, b)
        assert relation is None or holds(relation, a, b)
    assert clear_relation(Thing("dog", 20, 20, 40), Thing("cat", 60, 60, 40)) is None


def test_captions_tell_nothing_about_where():
    """Relation words agree with the picture as often as chance has it, over scenes of two things."""
    rng = np.random.default_rng(11)
    agreed = told = 0
    for _ in range(6000):
        things = compose(rng, list(rng.choice(KINDS, 2, replace=False)))
        relations = parse(caption(rng, [thing.kind for thing in things])).wishes
        by_kind = {thing.kind: thing for thing in things}
        for relation in (r for r in relations if r.label in RELATIONS):  # captions say "next to" too
            true = clear_relation(by_kind[relation.subject.text], by_kind[relation.object.text])
            told += true is not None
            agreed += relation.label == true
    assert told > 1000
    assert 0.21 < agreed / told < 0.29  # three standard errors around a quarter


def test_every_caption_names_its_things():
    rng = np.random.default_rng(5)
    for _ in range(300):
        kinds = any_kinds(rng)
        text = caption(rng, kinds)
        assert all(re.search(rf"\b{kind}\b", text) for kind in kinds)


def test_relation_prompts_are_read_back():
    rng = np.random.default_rng(6)
    for _ in range(300):
        kinds = list(map(str, rng.choice(KINDS, 4, replace=False)))
        wanted = list(map(str, rng.choice(RELATIONS, 3)))
        read = parse(relation_prompt(rng, kinds, wanted)).wishes
        expected = list(zip(kinds, wanted, kinds[1:], strict=False))
        assert [(r.subject.text, r.label, r.object.text) for r in read] == expected


def test_held_out_pairs_are_a_quarter_and_hold_geneval():
    assert len(held_out()) == len(KINDS) * (len(KINDS) - 1) // 2 // 4
    assert all(frozenset((subject, object)) in held_out() for subject, _, object in GENEVAL)
