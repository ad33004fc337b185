"""Choose Layers on the demo model's own pictures, with boxes and without."""

import re

import comfy.sample
import pytest
import torch
from learn_to_steer.nodes.attention_capture import AttentionCapture
from learn_to_steer.nodes.choose_layers import ChooseLayers
from learn_to_steer.nodes.host.families import USUAL_LAYERS
from learn_to_steer.nodes.relation_parse import RelationParse

PROMPT = "a giraffe above an airplane"


@pytest.fixture(scope="module")
def scene(demo):
    model, clip, vae = demo
    with torch.inference_mode():
        positive, words, _ = RelationParse.execute(clip, PROMPT).result
        negative, latent = clip.encode_from_tokens_scheduled(clip.tokenize("")), torch.zeros(2, 8, 16, 16)
        noise = comfy.sample.prepare_noise(latent, 1)
        samples = comfy.sample.sample(
            model, noise, 10, 4.0, "euler", "normal", positive, negative, latent, seed=1, disable_pbar=True
        )
        return model, positive, words, {"samples": samples}, vae.decode(samples)


def boxes_of(images):
    """Where the demo's own detector finds things, as the host's detectors say it."""
    from detector import find

    return [
        [
            {"x": box[0], "y": box[1], "width": box[2] - box[0], "height": box[3] - box[1], "label": thing.kind}
            for thing in things.values()
            for box in [thing.found().box]
        ]
        for things in find(images)
    ]


def test_layers_are_chosen_that_the_capture_takes(scene):
    model, positive, words, samples, images = scene
    layers, chart, notes = ChooseLayers.execute(model, positive, words, samples, boxes_of(images), images).result
    assert re.fullmatch(r"\d+-\d+", layers) and "by the boxes" in notes and chart.shape == (1, 320, 640, 3)
    (capture,) = AttentionCapture.execute(model, words, layers=layers).result
    assert f"{capture.layout().first}-{capture.layout().last}" == layers
    score = float(re.search(r": ([\d.]+) by", notes)[1])
    assert score >= 0.5  # the demo model's maps do lie on its things


def test_without_boxes_it_says_so(scene):
    model, positive, words, samples, _ = scene
    assert "no boxes given" in ChooseLayers.execute(model, positive, words, samples).result[2]


def test_what_cannot_be_measured_is_said(scene):
    model, positive, words, samples, images = scene
    with pytest.raises(ValueError, match="connect images too"):
        ChooseLayers.execute(model, positive, words, samples, boxes_of(images))
    with pytest.raises(ValueError, match="in none of the pictures was a thing found"):
        ChooseLayers.execute(model, positive, words, samples, [[], []], images)


def test_usual_layers_are_the_models_own():
    assert all(1 <= first <= last <= layers for (_, layers), (first, last) in USUAL_LAYERS.items())
