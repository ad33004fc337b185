import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from learn_to_steer.steering.maps import (
    MapLayout,
    MapSettings,
    ModelLayers,
    noise_level,
    pooling,
    shapes,
    stack_layers,
    word_maps,
)


def test_word_maps_are_the_attention_computed_apart():
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 12, 4), torch.randn(2, 2, 7, 4)
    maps = word_maps(q, k, pooling([(1,), (3, 4)]))
    attention = torch.einsum("bhid,bhjd->bhij", q, k).div(2.0).softmax(-1)
    torch.testing.assert_close(maps[:, :, 0], attention[..., 1])
    torch.testing.assert_close(maps[:, :, 1], attention[..., 3:5].mean(-1))


@pytest.mark.parametrize("softmax", ["text", "whole"])
def test_text_among_other_columns_and_fewer_key_heads_and_a_mask(softmax):
    torch.manual_seed(0)
    q, k = torch.randn(1, 4, 6, 8), torch.randn(1, 2, 9, 8)
    mask = torch.ones(1, 1, 1, 9, dtype=torch.bool)
    mask[..., 4] = False
    maps = word_maps(q, k, pooling([(0,), (2,)]), (3, 7), softmax, scale=0.5, mask=mask)
    scores = 0.5 * torch.einsum("bhid,bhjd->bhij", q, k.repeat_interleave(2, 1))
    scores = scores.masked_fill(~mask, -math.inf)
    whole = scores.softmax(-1)[..., 3:7]
    expected = scores[..., 3:7].softmax(-1) if softmax == "text" else whole
    torch.testing.assert_close(maps, expected[..., [0, 2]].transpose(-1, -2))
    with pytest.raises(ValueError, match="position 4 is beyond .* 0 to 3"):
        word_maps(q, k, pooling([(4,)]), (3, 7))


def test_one_pooling_matrix_per_picture():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 4, 8), torch.randn(2, 1, 7, 8)
    each = torch.cat([pooling([(1,)], 7), pooling([(2,)], 7)])
    both = word_maps(q, k, each)
    torch.testing.assert_close(both[0], word_maps(q, k, pooling([(1,)], 7))[0])
    torch.testing.assert_close(both[1], word_maps(q, k, pooling([(2,)], 7))[1])


def test_pooling_names_the_short_conditioning():
    with pytest.raises(ValueError, match="position 80 is beyond .* 0 to 76"):
        pooling([(80,)], 77)


@pytest.mark.parametrize(("heads", "channels"), [("averaged", 2), ("kept", 6)])
def test_stacked_layers_have_one_size_and_their_own_strength(heads, channels):
    torch.manual_seed(0)
    layers = [(torch.rand(3, 2, 5, 64), (8, 8)), (7 * torch.rand(3, 4, 5, 32 * 16), (32, 16))]
    maps = stack_layers(layers, heads, 16)
    assert maps.shape == (3, 5, channels, 16, 16)
    assert maps[:, :, -1].mean() > 5 * maps[:, :, 0].mean()
    torch.testing.assert_close(shapes(maps).mean((-1, -2)), torch.ones(3, 5, channels))
    torch.testing.assert_close(shapes(maps), shapes(3 * maps))


def test_stacked_layers_keep_the_place():
    place = torch.zeros(1, 1, 1, 8, 8)
    place[..., 2, 6] = 1
    maps = stack_layers([(place.flatten(-2), (8, 8))], "averaged", 16)
    assert divmod(maps.flatten().argmax().item(), 16) in [(r, c) for r in (4, 5) for c in (12, 13)]
    torch.testing.assert_close(maps[0], F.interpolate(place[:, 0], (16, 16), mode="bilinear"))


def test_stacked_as_published_smaller_layers_come_first_and_shrink_to_the_middle_of_their_cells():
    torch.manual_seed(0)
    sides = (32, 8, 16, 64, 8)  # of a UNet's layers, down and up again
    layers = [(torch.rand(1, 2, 3, side * side), (side, side)) for side in sides]
    maps = stack_layers(layers, "kept", 16, published=True)
    assert maps.shape == (1, 3, 10, 16, 16)
    order = [1, 4, 2, 0, 3]
    for place, layer in enumerate(order):
        of_layer = layers[layer][0].unflatten(-1, (sides[layer],) * 2)[0].transpose(0, 1)  # (words, heads, h, w)
        mine = maps[0, :, 2 * place : 2 * place + 2]
        if sides[layer] == 64:
            of_layer = of_layer.unfold(-2, 4, 4).unfold(-2, 4, 4)[..., 1:3, 1:3].mean((-1, -2))  # 2x2 of each 4x4
        elif sides[layer] == 32:
            of_layer = F.avg_pool2d(of_layer, 2)
        elif sides[layer] == 8:
            of_layer = F.interpolate(of_layer, (16, 16), mode="bilinear")
        torch.testing.assert_close(mine, of_layer)


MODEL = ModelLayers("Toy", (2, 4, 4, 2), (1, 3))
WANTED = MapLayout("Toy", 2, 4, "kept", 10, 8, "whole")


def test_settings_on_auto_follow_the_loss_and_else_the_model():
    assert MapSettings().layout(MODEL, WANTED) == WANTED
    assert MapSettings().layout(MODEL) == MapLayout("Toy", 1, 3, "averaged", 3, 16, "text")
    by_hand = MapSettings("2-4", "kept", 8, "whole")
    assert by_hand.layout(MODEL) == by_hand.layout(MODEL, WANTED) == WANTED
    assert MapSettings("all").layout(MODEL) == MapLayout("Toy", 1, 4, "averaged", 4, 16, "text")
    assert MapSettings("3").layout(MODEL).channels == 1
    stacked = replace(WANTED, published=True)
    assert MapSettings().layout(MODEL, stacked) == stacked and str(stacked).endswith("stacked as published")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (MapSettings(layers="1-4"), "layers is 1-4 in Attention Capture, .* trained with 2-4. Set layers to auto"),
        (MapSettings(heads="averaged"), "heads is averaged in Attention Capture, .* with kept. Set heads to auto"),
        (MapSettings(resolution=16), "resolution is 16 in Attention Capture, .* with 8. Set resolution to 0"),
        (MapSettings(softmax="text"), "softmax is text in Attention Capture, .* with whole. Set softmax to auto"),
    ],
)
def test_a_setting_by_hand_that_disagrees_with_the_loss_is_named(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        setting.layout(MODEL, WANTED)


def test_a_loss_of_another_model_is_refused():
    with pytest.raises(ValueError, match="trained on the maps of Toy, .* this model gives Other"):
        MapSettings().layout(ModelLayers("Other", MODEL.heads, (1, 3)), WANTED)
    with pytest.raises(ValueError, match="trained on 10 maps a word, and this model gives 12"):
        MapSettings().layout(ModelLayers("Toy", (2, 4, 4, 4), (1, 3)), WANTED)
    with pytest.raises(ValueError, match="trained on layers 2 to 4, and this model has 3"):
        MapSettings().layout(ModelLayers("Toy", (2, 4, 4), (1, 3)), WANTED)


@pytest.mark.parametrize("layers", ["0-2", "3-9", "4-2", "some", ""])
def test_layers_that_the_model_does_not_have_are_refused(layers):
    with pytest.raises(ValueError, match="layers is "):
        MapSettings(layers).layout(MODEL)


def test_noise_level_is_the_share_of_a_right_angle():
    assert noise_level(1.0, 0.0) == 0
    assert noise_level(0.0, 1.0) == 1
    assert math.isclose(noise_level(1.0, 1.0), 0.5)
    assert math.isclose(noise_level(0.3, 0.7), noise_level(1.0, 0.7 / 0.3))
