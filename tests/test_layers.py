"""Layers chosen by measurement."""

import pytest
import torch
from learn_to_steer.steering.layers import WIDEST, measure, on_grid

SIDE = 16


def made(good: set[int], layers: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of two words in three pictures, right in the good layers and noise in the others, and where things are."""
    draw = torch.Generator().manual_seed(1)
    things = torch.zeros(3, 2, SIDE, SIDE)
    for picture in range(3):
        for word, (x, y) in enumerate([(2 + picture, 3), (10, 11 - picture)]):
            things[picture, word, y : y + 4, x : x + 4] = 1
    maps = 0.5 + 0.5 * torch.rand(3, 2, layers, SIDE, SIDE, generator=draw)
    for layer in good:
        maps[:, :, layer - 1] += 3 * things
    return maps, things


def test_the_layers_that_look_at_the_things_are_chosen():
    maps, things = made({7, 8, 9})
    found = measure(maps, things)
    assert 7 <= found.first <= found.last <= 9 and found.score > 0.8
    assert found.scores.topk(3).indices.sort().values.tolist() == [6, 7, 8]
    assert found.scores[0] < 0.2


def test_of_ranges_that_are_as_good_the_one_that_ends_first_is_chosen():
    maps, things = made(set(range(5, 14)))
    assert measure(maps, things).last <= 5 + WIDEST


def test_without_boxes_layers_are_chosen_that_agree():
    """Noise agrees with nothing."""
    maps, _ = made({7, 8, 9, 10, 11})
    assert 7 <= measure(maps).first <= measure(maps).last <= 11


def test_words_whose_thing_is_nowhere_do_not_count():
    maps, things = made({7, 8, 9})
    things[0, 0] = 0
    assert 7 <= measure(maps, things).first <= 9
    with pytest.raises(ValueError, match="in none of the pictures was a thing found"):
        measure(maps, torch.zeros_like(things))


def test_a_box_covers_its_share_of_each_cell():
    grid = on_grid((0, 4, 10, 16), 16, 16, 4)
    assert grid[0].sum() == 0 and torch.equal(grid[1:], torch.tensor([1, 1, 0.5, 0]).expand(3, 4))
