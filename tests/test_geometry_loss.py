"""The loss without training: it reads where maps are bright, and its gradient moves things to where they are wished."""

import pytest
import torch
from learn_to_steer.steering.losses import Moment
from learn_to_steer.steering.losses.geometry import GeometryLoss, mask, offsets, places
from learn_to_steer.steering.relations import OPPOSITE, PLACES, RELATIONS, mirrored
from learn_to_steer.steering.words import Phrase, Wish, Words

LOSS = GeometryLoss()
SIDE = 16
# Where subject, object and second object are when the relation holds, as shares of the side, x and y.
GRANTED = {
    "left of": ((0.2, 0.5), (0.8, 0.5)),
    "right of": ((0.8, 0.5), (0.2, 0.5)),
    "above": ((0.5, 0.2), (0.5, 0.8)),
    "below": ((0.5, 0.8), (0.5, 0.2)),
    "upper left of": ((0.2, 0.2), (0.8, 0.8)),
    "upper right of": ((0.8, 0.2), (0.2, 0.8)),
    "lower left of": ((0.2, 0.8), (0.8, 0.2)),
    "lower right of": ((0.8, 0.8), (0.2, 0.2)),
    "near": ((0.4, 0.5), (0.7, 0.5)),
    "on": ((0.5, 0.4), (0.55, 0.65)),
    "left": ((0.2, 0.7),),
    "right": ((0.8, 0.3),),
    "top": ((0.5, 0.2),),
    "bottom": ((0.6, 0.8),),
    "centre": ((0.45, 0.55),),
    "upper left": ((0.2, 0.2),),
    "upper right": ((0.8, 0.2),),
    "lower left": ((0.2, 0.8),),
    "lower right": ((0.8, 0.8),),
    "between": ((0.5, 0.5), (0.15, 0.5), (0.85, 0.5)),
}


def blobs(*middles: tuple[float, float]) -> torch.Tensor:
    """Maps (1, words, 2, 16, 16), bright at the middles, of different strength."""
    cells = (torch.arange(SIDE) + 0.5) / SIDE
    maps = [
        torch.exp(-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / 0.006) * 10.0**-word + 1e-5
        for word, (x, y) in enumerate(middles)
    ]
    return torch.stack(maps)[None, :, None].repeat(1, 1, 2, 1, 1)


def words_of(relation: str) -> Words:
    things = RELATIONS[relation].things
    phrases = [Phrase("dog", (0, 3)), Phrase("cat", (4, 7)), Phrase("bus", (8, 11))]
    wishes = (Wish(phrases[0], relation, *phrases[1:things]),)
    return Words("", wishes, ("dog", "cat", "bus")[:things], ((1,), (2,), (3,))[:things], (tuple(range(things)),))


def satisfaction(relation: str, maps: torch.Tensor) -> float:
    return LOSS.score(maps, words_of(relation), Moment(0.5)).satisfaction.item()


def test_it_serves_all_that_can_be_seen_but_inside():
    assert set(LOSS.relations) == set(GRANTED) == set(RELATIONS) - {
        "in front of", "behind", "inside", "around", "foreground", "background",
    }  # fmt: skip
    assert LOSS.layout is None and LOSS.modules == ()


@pytest.mark.parametrize("relation", GRANTED)
def test_a_granted_wish_is_satisfied_and_others_are_not(relation):
    maps = blobs(*GRANTED[relation])
    assert satisfaction(relation, maps) > 0.9
    if relation in OPPOSITE and relation != "near":
        assert satisfaction(OPPOSITE[relation], maps) < 0.01
    far = blobs((0.1, 0.1), (0.9, 0.9), (0.9, 0.9))[:, : maps.shape[1]]
    if relation in ("near", "on", "between"):
        assert satisfaction(relation, far) < 0.1
    if relation in PLACES:
        assert satisfaction(relation, blobs((0.5, 0.5) if relation != "centre" else (0.1, 0.5))) < 0.1


@pytest.mark.parametrize("relation", GRANTED)
def test_its_gradient_moves_things_to_where_they_are_wished(relation):
    """Two or three things that move: gradient steps on their middles grant the wish from a start where it is not."""
    things = len(GRANTED[relation])
    start = torch.tensor([(0.5, 0.5), (0.45, 0.55), (0.6, 0.4)])[:things]
    if relation in ("near", "on"):
        start = torch.tensor([(0.2, 0.25), (0.8, 0.7)])
    if relation == "centre":
        start = torch.tensor([(0.15, 0.2)])
    middles, words = start.clone().requires_grad_(), words_of(relation)
    cells = (torch.arange(SIDE) + 0.5) / SIDE

    def score():
        far = (cells - middles[:, 0, None, None]) ** 2 + (cells[:, None] - middles[:, 1, None, None]) ** 2
        return LOSS.score((torch.exp(-far / 0.02) + 1e-3)[None, :, None], words, Moment(0.5))

    before = score().satisfaction.item()
    for _ in range(150):
        (gradient,) = torch.autograd.grad(score().loss.sum(), middles)
        with torch.no_grad():
            middles -= 0.01 * gradient / gradient.norm().clamp_min(1e-9)
            middles.clamp_(0.1, 0.9)
    assert before < 0.5 < score().satisfaction.item()


def test_masks_follow_the_table_of_relations():
    for name in GRANTED:
        if name == "between":
            continue
        assert 0 < mask(name, SIDE).mean() < 0.5
        for mirror, turn in enumerate((lambda m: m.flip(-1), lambda m: m.flip(-2), lambda m: m.mT)):
            if image := mirrored(name, mirror):
                assert torch.equal(turn(mask(name, SIDE)), mask(image, SIDE))
        if name in OPPOSITE:
            assert torch.equal(mask(name, SIDE).flip(-1, -2), mask(OPPOSITE[name], SIDE))


def test_places_and_offsets_are_distributions():
    torch.manual_seed(0)
    likely = places(torch.rand(2, 3, 4, SIDE, SIDE))
    torch.testing.assert_close(likely.sum((-1, -2)), torch.ones(2, 3))
    way = offsets(likely[:, 0], likely[:, 1])
    torch.testing.assert_close(way.sum((-1, -2)), torch.ones(2))
    one = torch.zeros(1, SIDE, SIDE)
    one[0, 3, 5] = 1
    other = torch.zeros(1, SIDE, SIDE)
    other[0, 10, 2] = 1
    assert divmod(offsets(one, other).flatten().argmax().item(), 2 * SIDE - 1) == (15 + 3 - 10, 15 + 5 - 2)
