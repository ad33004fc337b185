"""A loss whose maps are of one model, in a sampler of another."""

import comfy.sample
import pytest
import torch
from inside import PROMPT, aim_of, layout_of
from learn_to_steer.nodes.host import sampling
from learn_to_steer.nodes.host.check import check_fits
from learn_to_steer.nodes.host.marks import mark
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.losses import Aim
from learn_to_steer.steering.losses.geometry import GeometryLoss
from learn_to_steer.steering.report import Report
from tiny import tiny

PAIRS = [("Flux", "SD3"), ("SD3", "Flux"), ("Wan", "Qwen-Image"), ("Flux", "Chroma"), ("Qwen-Image", "Wan")]


@pytest.mark.parametrize("read, samples", PAIRS)
@pytest.mark.parametrize("trained", [True, False], ids=["classifier", "geometry"])
def test_another_model_than_the_loss_s_is_refused(read, samples, trained):
    aim = aim_of(layout_of(tiny(read)), (3,), (7,))
    if not trained:
        aim = Aim(GeometryLoss(), aim.words, aim.layout)
    check_fits(tiny(read), aim.layout)
    with pytest.raises(ValueError, match="The loss reads the maps of .*Connect the MODEL that samples to Attention"):
        check_fits(tiny(samples), aim.layout)


def test_a_sampler_of_another_model_is_refused_before_it_begins(demo):
    model, clip, _ = demo
    other = aim_of(layout_of(tiny("SD15")), (3,), (7,))
    assert other.layout != layout_of(model)
    conditioning = mark(clip.encode_from_tokens_scheduled(clip.tokenize(PROMPT)), PROMPT)
    latent, report = torch.zeros(1, 8, 16, 16), Report()
    with pytest.raises(ValueError, match="Connect the MODEL that samples to Attention"):
        comfy.sample.sample(
            sampling.steer(model, other, Steering(), report), latent, 4, 4.0, "euler", "normal",
            conditioning, conditioning, latent, disable_pbar=True,
        )  # fmt: skip
    assert report.seen == []
