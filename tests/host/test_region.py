"""A prompt that acts inside a mask: its maps are read there, and nothing else is moved."""

import comfy.sample
import pytest
import torch
from learn_to_steer.nodes.attention_capture import AttentionCapture
from learn_to_steer.nodes.classifier_loss import L2SClassifierLoss, register_folders
from learn_to_steer.nodes.host import sampling, steered_model
from learn_to_steer.nodes.host.region import cropped, maps_within, region_of, within
from learn_to_steer.nodes.relation_parse import RelationParse
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.report import Report

import nodes as host_nodes

register_folders()


def combined(*parts):
    return host_nodes.ConditioningCombine().combine(*parts)[0]


def masked(conditioning, columns: slice, bounds="default"):
    mask = torch.zeros(1, 128, 256)
    mask[..., columns] = 1
    return host_nodes.ConditioningSetMask().append(conditioning, mask, bounds, 1.0)[0]


def moves(demo, monkeypatch, positive, aim) -> tuple[list[torch.Tensor], Report]:
    """What each steered step moved in a latent of 16x32 cells."""
    model, clip, _ = demo
    seen, report, take = [], Report(), steered_model.SteeredModel._take

    def noted(self, x, moved, sigma):
        seen.append((moved - x).abs().sum(1)[0])
        return take(self, x, moved, sigma)

    latent = torch.zeros(1, 8, 16, 32)
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    steered = sampling.steer(model, aim, Steering(end=1.0, target=0.99), report)
    with monkeypatch.context() as patched:
        patched.setattr(steered_model.SteeredModel, "_take", noted)
        comfy.sample.sample(
            steered,
            comfy.sample.prepare_noise(latent, 2),
            6,
            4.0,
            "euler",
            "normal",
            positive,
            negative,
            latent,
            seed=2,
            disable_pbar=True,
        )
    return seen, report


@pytest.fixture(scope="module")
def scene(demo):
    with torch.inference_mode():
        model, clip, _ = demo
        ours, words, _ = RelationParse.execute(clip, "a giraffe above an airplane").result
        others, *_ = RelationParse.execute(clip, "a cat left of a bus").result
        (capture,) = AttentionCapture.execute(model, words).result
        aim, _ = L2SClassifierLoss.execute(capture, "emoji_world.safetensors").result
        return ours, others, aim


def test_only_the_mask_s_own_part_of_the_latent_is_moved(demo, monkeypatch, scene):
    ours, others, aim = scene
    positive = combined(masked(ours, slice(0, 128)), masked(others, slice(128, 256)))
    moved, report = moves(demo, monkeypatch, positive, aim)
    assert moved and report.gradient_steps == len(moved)
    for step in moved:
        assert step[:, :16].max() > 0 and step[:, 16:].max() == 0
    assert all(seen.maps[..., 8:].max() == 0 for seen in report.seen)  # shown where they are


def test_a_mask_s_bounds_are_an_area_and_a_mask_of_all_is_none(demo, monkeypatch, scene):
    ours, others, aim = scene
    for bounds in ("default", "mask bounds"):
        entry = masked(ours, slice(0, 256), bounds)
        everywhere, _ = moves(demo, monkeypatch, entry, aim)
        plain, _ = moves(demo, monkeypatch, ours, aim)
        assert all(torch.equal(a, b) for a, b in zip(everywhere, plain, strict=True))


def test_maps_are_cut_out_and_stretched_as_those_of_an_area():
    mask = torch.zeros(1, 16, 32)
    mask[:, :, 16:] = 0.4  # weaker than another node's 1, yet all there is
    region = region_of({"mask": mask})
    assert region is not None and region[:, 16:].min() == 1 and region[:, :16].max() == 0
    maps = torch.ones(1, 2, 3, 16, 16)
    maps[..., 4, 2] = 100  # of the other region
    maps[..., 8, 13] = 9
    inside = cropped(maps_within(maps, region), region)
    assert inside.shape == maps.shape and inside.max() < 10
    row, column = divmod(int(inside[0, 0, 0].argmax()), 16)
    assert row == 8 and column in (10, 11)
    latent, around = torch.ones(1, 8, 16, 32), torch.zeros(1, 8, 16, 32)
    assert within(latent, around, region).sum() == 8 * 16 * 16
    assert region_of({}) is None and region_of({"mask": mask, "area": (16, 16, 0, 16)}) is None
