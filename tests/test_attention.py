import math

import pytest
import torch
import torch.nn.functional as F
from learn_to_steer.steering.attention import noise_level, pooling, stack_layers, word_maps


def test_word_maps_are_the_attention_computed_apart():
    torch.manual_seed(0)
    q, k = torch.randn(2, 12, 8), torch.randn(2, 7, 8)
    maps = word_maps(q, k, 2, pooling([(1,), (3, 4)], 7))
    for head in range(2):
        part = slice(head * 4, head * 4 + 4)
        attention = torch.einsum("bid,bjd->bij", q[..., part], k[..., part]).div(2.0).softmax(-1)
        torch.testing.assert_close(maps[:, head, 0], attention[..., 1])
        torch.testing.assert_close(maps[:, head, 1], attention[..., 3:5].mean(-1))


def test_one_pooling_matrix_per_picture():
    torch.manual_seed(0)
    q, k = torch.randn(2, 4, 8), torch.randn(2, 7, 8)
    each = torch.cat([pooling([(1,)], 7), pooling([(2,)], 7)])
    both = word_maps(q, k, 2, each)
    torch.testing.assert_close(both[0], word_maps(q, k, 2, pooling([(1,)], 7))[0])
    torch.testing.assert_close(both[1], word_maps(q, k, 2, pooling([(2,)], 7))[1])


def test_pooling_names_the_short_conditioning():
    with pytest.raises(ValueError, match="position 80 is beyond .* 0 to 76"):
        pooling([(80,)], 77)


@pytest.mark.parametrize(("heads", "channels"), [("averaged", 2), ("kept", 6)])
def test_stacked_layers_have_one_size_and_mean_one(heads, channels):
    torch.manual_seed(0)
    layers = [(torch.rand(3, 2, 5, 64), (8, 8)), (torch.rand(3, 4, 5, 32 * 16), (32, 16))]
    maps = stack_layers(layers, heads, 16)
    assert maps.shape == (3, 5, channels, 16, 16)
    torch.testing.assert_close(maps.mean((-1, -2)), torch.ones(3, 5, channels))


def test_stacked_layers_keep_the_place():
    place = torch.zeros(1, 1, 1, 8, 8)
    place[..., 2, 6] = 1
    maps = stack_layers([(place.flatten(-2), (8, 8))], "averaged", 16)
    assert divmod(maps.flatten().argmax().item(), 16) in [(r, c) for r in (4, 5) for c in (12, 13)]
    expected = F.interpolate(place[:, 0], (16, 16), mode="bilinear")
    torch.testing.assert_close(maps[0], expected / expected.mean())


def test_noise_level_is_the_share_of_a_right_angle():
    assert noise_level(1.0, 0.0) == 0
    assert noise_level(0.0, 1.0) == 1
    assert math.isclose(noise_level(1.0, 1.0), 0.5)
    assert math.isclose(noise_level(0.3, 0.7), noise_level(1.0, 0.7 / 0.3))
