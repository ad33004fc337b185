"""Where things should be: against every arrangement of them, counted one by one."""

import itertools

import pytest
import torch
from learn_to_steer.steering.losses.geometry import granted, mask
from learn_to_steer.steering.losses.wanted import APART, DOUBT, asked, wanted
from learn_to_steer.steering.prompts import override
from learn_to_steer.steering.words import Wish, Words

SIDE = 4
PLACES = [(place % SIDE, place // SIDE) for place in range(SIDE**2)]


def words_of(*wishes: str) -> Words:
    """Of things a, b, c, ..."""
    names = sorted({name for wish in wishes for name in wish.split(" | ")[::2]})
    read = override(" ".join(names), "\n".join(wishes)).wishes
    pairs = tuple(tuple(names.index(thing.text) for thing in wish.things) for wish in read)
    return Words("", read, tuple(names), tuple((number,) for number in range(1, len(names) + 1)), pairs)


def likely(things: int, side: int, seed: int = 0, strength: float = 2.0) -> torch.Tensor:
    logits = strength * torch.randn(1, things, side**2, generator=torch.Generator().manual_seed(seed))
    return logits.softmax(-1).view(1, things, side, side)


def counted(places: torch.Tensor, words: Words) -> torch.Tensor:
    """The same by trying every arrangement of all things."""
    side, things = places.shape[-1], places.shape[1]
    sure = (1 - DOUBT) * places[0].flatten(1).double() + DOUBT / side**2
    total = torch.zeros_like(sure)
    for at in itertools.product(range(side**2), repeat=things):
        chance = torch.stack([sure[thing, place] for thing, place in enumerate(at)]).prod()
        for a, b in itertools.combinations(range(things), 2):
            (x, y), (other_x, other_y) = PLACES[at[a]], PLACES[at[b]]
            named = [w.relation for w, pair in zip(words.wishes, words.pairs, strict=True) if pair == (a, b)]
            if named:
                chance = chance * mask(named[0], side)[y - other_y + side - 1, x - other_x + side - 1]
            elif (x - other_x) ** 2 + (y - other_y) ** 2 < (APART * side) ** 2:
                chance = chance * 0
        for thing, place in enumerate(at):
            total[thing, place] += chance
    return (total / total.sum(-1, keepdim=True)).view_as(places[0]).float()


@pytest.mark.parametrize("relation", ["left of", "below", "upper right of", "near"])
@pytest.mark.parametrize("seed", range(3))
def test_one_wish_is_exact(relation, seed):
    words, places = words_of(f"a | {relation} | b"), likely(2, SIDE, seed)
    assert torch.allclose(wanted(places, words)[0], counted(places, words), atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_two_wishes_come_close(seed):
    """The things at both ends are to be apart too, which closes a ring: there it is no longer exact."""
    words, places = words_of("a | left of | b", "b | above | c"), likely(3, SIDE, seed)
    found, exact = wanted(places, words)[0], counted(places, words)
    assert (found - exact).abs().sum((-1, -2)).max() / 2 < 0.1
    assert (found.flatten(1).argmax(1) == exact.flatten(1).argmax(1)).all()


THREE = ("a | left of | b", "b | above | c", "c | right of | d")


@pytest.mark.parametrize("side", [8, 16, 24])
def test_where_things_should_be_grants_the_wishes(side):
    words, places = words_of(*THREE), likely(4, side)
    should = wanted(places, words)
    assert torch.allclose(should.sum((-1, -2)), torch.ones(1, 4)) and (should > 0).all()
    before, after = (granted(one, words).satisfaction for one in (places, should))
    assert before.max() < 0.5 and (after > 2 * before).all()


def test_pictures_of_a_batch_have_nothing_to_do_with_each_other():
    words, both = words_of(*THREE), torch.cat([likely(4, 8, 1), likely(4, 8, 2)])
    assert torch.allclose(wanted(both, words)[1:], wanted(both[1:], words), atol=1e-6)


def test_gradient_steps_grant_all_wishes():
    words = words_of(*THREE)
    logits = likely(4, 16, 3).log().requires_grad_()
    for _ in range(60):
        places = logits.flatten(2).softmax(-1).view_as(logits)
        loss, satisfaction = asked(places, words)
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        logits = (logits - 20.0 * gradient).detach().requires_grad_()
    assert satisfaction.min() > 0.9
    assert places.flatten(2).amax(-1).min() > 0.05  # nothing is smeared over the picture


def test_a_place_is_wanted_beside_the_other_wishes():
    """Its thing goes there, and what stands to it goes along."""
    words, likely_ = words_of("a | left of | b"), likely(2, 16)
    (wish,) = words.wishes
    words = Words("", (*words.wishes, Wish(wish.object, "left")), words.names, words.rows, (*words.pairs, (1,)))
    should = wanted(likely_, words)
    before, after = (granted(one, words).satisfaction[0] for one in (likely_, should))
    assert (after > 2 * before).all() and after[1] > 0.99
    assert should[0, 0, :, :6].sum() > 0.95  # left of what is at the left


def test_between_pulls_by_geometry_alone():
    words = override("a b c", "a | between | b and c").wishes
    words = Words("", words, ("a", "b", "c"), ((1,), (2,), (3,)), ((0, 1, 2),))
    places = likely(3, 8)
    assert torch.equal(asked(places, words).loss, granted(places, words).loss)
