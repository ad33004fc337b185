"""The demo model in the host: ordinary MODEL, CLIP and VAE."""

import zlib
from pathlib import Path

import comfy.sample
import numpy as np
import pytest
import torch
from detector import accuracy, exact, find, scenes
from learn_to_steer.nodes import demo_model
from learn_to_steer.nodes.attention_capture import AttentionCapture, PreviewAttentionMaps
from learn_to_steer.nodes.classifier_loss import UNIVERSAL, L2SClassifierLoss, register_folders
from learn_to_steer.nodes.relation_parse import RelationParse
from learn_to_steer.nodes.steered_ksampler import SteeredKSampler
from learn_to_steer.steering.judge import judge
from safetensors import safe_open

PICTURE = (0, 0, 128, 128)
WEIGHTS = Path(demo_model.WEIGHTS)


def test_both_models_are_under_60_mb_and_under_40_in_a_zip():
    files = [*WEIGHTS.glob("*.safetensors")]
    assert len(files) == 5
    assert sum(path.stat().st_size for path in files) < 60e6
    assert sum(len(zlib.compress(path.read_bytes(), 6)) for path in files) < 40e6


def test_the_autoencoder_keeps_composed_scenes(demo):
    pictures, _ = scenes(np.random.default_rng(99), 16)
    vae = demo[2]
    error = (vae.decode(vae.encode(pictures)) - pictures).square().mean()
    assert -10 * error.log10() > 30  # dB


def test_the_detector_is_exact_on_fresh_scenes():
    pictures, things = scenes(np.random.default_rng(123), 300)
    share = sum(map(exact, find(pictures), things)) / len(things)
    assert share >= 0.98
    assert accuracy() >= 0.98


def test_cross_attention_is_at_16_and_lower(demo):
    seen = set()

    def note(func, q, k, v, heads, *args, **kwargs):
        if k.shape[1] == 77:
            seen.add(q.shape[1])
        return func(q, k, v, heads, *args, **kwargs)

    model, clip, _ = demo
    model = model.clone()
    model.model_options.setdefault("transformer_options", {})["optimized_attention_override"] = note
    cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog"))
    latent = torch.zeros(1, 8, 16, 16)
    comfy.sample.sample(
        model,
        comfy.sample.prepare_noise(latent, 0),
        1,
        1.0,
        "euler",
        "normal",
        cond,
        cond,
        latent,
        disable_pbar=True,
    )
    assert seen == {256, 64}


def test_it_draws_what_is_asked(demo):
    model, clip, vae = demo
    texts = ("a photo of a bus and an apple", "")
    cond, none = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in texts)
    latent = torch.zeros(8, 8, 16, 16)
    samples = comfy.sample.sample(
        model,
        comfy.sample.prepare_noise(latent, 4),
        25,
        4.0,
        "euler",
        "normal",
        cond,
        none,
        latent,
        disable_pbar=True,
    )
    found = find(vae.decode(samples))
    assert sum({"bus", "apple"} <= things.keys() for things in found) >= 6


def test_the_preview_shows_each_word_where_it_is(demo):
    """Of a composed scene: the map of a word is brightest on its thing."""
    from scenes import Thing, render

    model, clip, vae = demo
    cat, bus = Thing("cat", 32, 36, 50), Thing("bus", 94, 90, 50)
    picture = torch.from_numpy(render(np.random.default_rng(1), [cat, bus])).float()[None] / 255
    positive, relations, _ = RelationParse.execute(clip, "a cat left of a bus").result
    (capture,) = AttentionCapture.execute(model, relations).result
    latent = {"samples": vae.encode(picture)}
    overlays, maps = PreviewAttentionMaps.execute(model, positive, capture, latent, picture, 0.4).result
    assert overlays.shape == (2, 128, 128, 3) and maps.shape == (2, 128, 128)
    assert overlays.min() >= 0 and overlays.max() <= 1
    for one, thing in zip(maps, (cat, bus), strict=True):
        y, x = divmod(one.flatten().argmax().item(), 128)
        assert abs(x - thing.x) < 30 and abs(y - thing.y) < 30


@pytest.mark.parametrize("prompt", ["a dog in the lower right corner", "a cake on a teddy bear"])
def test_places_and_on_are_steered(demo, prompt):
    """Through the nodes as an artist joins them, by the usual loss."""
    register_folders()
    model, clip, vae = demo
    positive, relations, _ = RelationParse.execute(clip, prompt).result
    (capture,) = AttentionCapture.execute(model, relations).result
    loss = L2SClassifierLoss.execute(capture, UNIVERSAL)[0]
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    right = []
    for strength in (0.0, 1.0):
        latent = {"samples": torch.zeros(3, 8, 16, 16)}
        samples = SteeredKSampler.execute(
            model, loss, 5, 15, 5.0, "euler", "normal", positive, negative, latent, 1.0, strength=strength
        )[0]
        found = find(vae.decode(samples["samples"]))
        said = [judge([thing.found() for thing in things.values()], relations.wishes, PICTURE) for things in found]
        right.append(sum(bool(verdict.granted) for (verdict,) in said))
    assert right[0] < 2 and right[1] > 1


@pytest.mark.parametrize("part", ["UNET", "CLIP", "VAE"])
def test_missing_and_damaged_weights_are_named(monkeypatch, tmp_path, part):
    path = tmp_path / "broken.safetensors"
    monkeypatch.setattr(demo_model, part, path)
    for content in (None, getattr(demo_model, part).name.encode()):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match="broken.safetensors is missing or damaged"):
            demo_model.load()


def test_every_weights_file_says_how_it_was_made():
    for path in WEIGHTS.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert {"seed", "steps"} <= file.metadata().keys(), path.name
