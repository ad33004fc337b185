"""Preview Attention Maps: pictures and latents that belong together, prompts that act at some times only."""

import pytest
import torch
from learn_to_steer.nodes.attention_capture import AttentionCapture, PreviewAttentionMaps
from learn_to_steer.nodes.relation_parse import RelationParse
from tiny import random

import nodes as host_nodes

PROMPT = "a giraffe above an airplane"


@pytest.fixture
def preview(demo):
    """preview(positive -> positive, pictures, latents, noise): the node's maps."""
    model, clip, _ = demo
    positive, relations, _ = RelationParse.execute(clip, PROMPT).result
    (capture,) = AttentionCapture.execute(model, relations).result

    def shown(through=lambda positive: positive, pictures: int = 1, latents: int = 1, noise: float = 0.5):
        latent = {"samples": random(1, 8, 16, 16).repeat(latents, 1, 1, 1)}
        image = torch.zeros(pictures, 128, 128, 3)
        return PreviewAttentionMaps.execute(model, through(positive), capture, latent, image, noise).result[1]

    return shown


def timed(start: float, end: float):
    return lambda positive: host_nodes.ConditioningSetTimestepRange().set_range(positive, start, end)[0]


@pytest.mark.parametrize("pictures, latents", [(1, 2), (2, 1), (3, 2)])
def test_other_numbers_of_pictures_than_latents_are_named(preview, pictures, latents):
    with pytest.raises(
        ValueError, match=f"{latents} latent.s. in samples and {pictures} picture.s. in images.*VAE Dec"
    ):
        preview(pictures=pictures, latents=latents)


@pytest.mark.parametrize("start, end, advice", [(0.7, 1.0, "less"), (0.0, 0.2, "more")])
def test_a_prompt_that_acts_at_other_times_is_named(preview, start, end, advice):
    with pytest.raises(ValueError, match=f'"{PROMPT}" does not act at noise 0.5.*Set noise to 0.* or {advice}'):
        preview(timed(start, end))


def test_the_advice_for_a_timed_prompt_is_followed_by_maps(preview):
    for times in ((0.7, 1.0), (0.0, 0.2), (0.4, 0.45)):
        with pytest.raises(ValueError) as refused:
            preview(timed(*times))
        noise = float(str(refused.value).split("Set noise to ")[1].split()[0])
        assert preview(timed(*times), noise=noise).isfinite().all()


def test_the_entry_that_acts_is_read(preview):
    """Of the same prompt in two, the one for this noise; a prompt that acts all the time is read as ever."""
    both = preview(lambda positive: timed(0.9, 1.0)(positive) + timed(0.0, 0.9)(positive))
    assert torch.equal(both, preview())
