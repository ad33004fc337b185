"""The prompt's mark on its conditioning, on its way through the host's own conditioning nodes."""

import re
from types import SimpleNamespace

import comfy.sample
import pytest
import torch
from learn_to_steer.nodes.attention_capture import AttentionCapture, PreviewAttentionMaps
from learn_to_steer.nodes.classifier_loss import L2SClassifierLoss, register_folders
from learn_to_steer.nodes.host import sampling
from learn_to_steer.nodes.host.marks import encoded_from, gone, mark
from learn_to_steer.nodes.relation_parse import RelationParse
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.report import Report
from learn_to_steer.steering.words import Words

import nodes as host_nodes

PROMPT = "a giraffe above an airplane"
OTHER = "a cat left of a bus"
STEPS = 10
register_folders()


@pytest.fixture(scope="module")
def world(demo):
    with torch.inference_mode():
        model, clip, _ = demo
        return model, clip, [scene(model, clip, prompt) for prompt in (PROMPT, OTHER)]


def scene(model, clip, prompt: str, **more):
    """(positive, Aim) of a prompt, made by the nodes."""
    positive, relations, _ = RelationParse.execute(clip, prompt, **more).result
    (capture,) = AttentionCapture.execute(model, relations).result
    aim, _ = L2SClassifierLoss.execute(capture, "emoji_world.safetensors").result
    return positive, aim


def steer(world, positive, aim) -> Report:
    model, clip, _ = world
    report, latent = Report(), torch.zeros(1, 8, 16, 16)
    patched = sampling.steer(model, aim, Steering(end=1.0, strength=0.5), report)
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    comfy.sample.sample(
        patched, comfy.sample.prepare_noise(latent, 3), STEPS, 4.0, "euler", "normal", positive, negative, latent,
        seed=3, disable_pbar=True,
    )  # fmt: skip
    return report


def first_read(report: Report) -> float:
    """How surely the wish was read as granted before anything moved."""
    return report.seen[0].before.satisfaction.item()


def call(node: str, *args, **kwargs):
    cls = host_nodes.NODE_CLASS_MAPPINGS[node]
    return getattr(cls(), cls.FUNCTION)(*args, **kwargs)[0]


def test_combined_either_way_round_the_own_entry_is_read(world):
    (ours, aim), (others, other_aim) = world[2]
    alone = first_read(steer(world, ours, aim))
    other_alone = first_read(steer(world, others, other_aim))
    assert alone != other_alone
    for combined in (
        call("ConditioningCombine", ours, others),
        call("ConditioningCombine", others, ours),
    ):
        assert first_read(steer(world, combined, aim)) == alone
        assert first_read(steer(world, combined, other_aim)) == other_alone


@pytest.mark.parametrize(
    "through",
    [
        lambda ours, others: call("ConditioningAverage", ours, others, 0.7),
        lambda ours, others: call("ConditioningConcat", ours, others),
        lambda ours, others: call("ConditioningSetArea", ours, 64, 64, 0, 0, 1.0),
        lambda ours, others: call("ConditioningSetAreaPercentage", ours, 0.5, 1.0, 0.0, 0.0, 1.0),
        lambda ours, others: call("ConditioningSetAreaStrength", ours, 0.5),
        lambda ours, others: call("ConditioningSetMask", ours, torch.ones(1, 16, 16), "default", 1.0),
        lambda ours, others: call("ConditioningSetTimestepRange", ours, 0.0, 1.0),
        lambda ours, others: call("unCLIPConditioning", ours, None, 0.0, 0.0),
    ],
    ids=["average", "concat", "area", "area-percentage", "strength", "mask", "range", "unclip"],
)
def test_nodes_in_between_keep_the_steering(world, through):
    (ours, aim), (others, _) = world[2]
    report = steer(world, through(ours, others), aim)
    assert report.gradient_steps > 0 and not report.failed


@pytest.mark.parametrize("weight, steered", [(0.0, False), (0.2, False), (0.7, True), (1.0, True)])
def test_a_prompt_that_is_averaged_away_is_not_steered_and_the_reason_is_said(world, weight, steered):
    (ours, aim), (others, _) = world[2]
    report = steer(world, call("ConditioningAverage", ours, others, weight), aim)
    if steered:
        assert report.gradient_steps > 0 and not report.notes
    else:
        assert not report.seen and report.failed
        assert re.match('Not steered: in the positive conditioning, the rows of "[a-z]+" are mostly', report.text())


def test_an_average_that_leaves_the_words_alone_is_steered(world):
    """As that of weights, or of a node that scales a CONDITIONING."""
    (ours, aim), _ = world[2]
    louder = [[rows * 1.5, values] for rows, values in ours]
    assert steer(world, louder, aim).gradient_steps > 0


def test_rows_that_were_added_where_the_words_move_are_refused():
    rows, words = (
        torch.randn(1, 6, 4),
        Words(PROMPT, parse(PROMPT).wishes, ("giraffe", "airplane"), ((2,), (5,)), ((0, 1),)),
    )
    for one_sequence in (True, False):
        ((_, values),) = mark([[rows, {}]], PROMPT, one_sequence)
        assert gone(values | {"cross_attn": rows}, words) is None
        longer = values | {"cross_attn": torch.cat([rows, rows], 1)}
        if one_sequence:
            assert gone(longer, words) is None
        else:
            with pytest.raises(ValueError, match="has 12 text rows, 6 when Relation Parse encoded it"):
                gone(longer, words)


def test_controlnets_keep_the_mark(world):
    (ours, _), _ = world[2]
    control = SimpleNamespace()
    control.copy = lambda: control
    control.set_cond_hint = lambda *args, **kwargs: control
    control.set_previous_controlnet = lambda previous: None
    image = torch.zeros(1, 8, 8, 3)
    assert encoded_from([entry for _, entry in call("ControlNetApply", ours, control, image, 1.0)], PROMPT)
    both = host_nodes.ControlNetApplyAdvanced().apply_controlnet(ours, ours, control, image, 1.0, 0.0, 1.0)
    assert encoded_from([entry for _, entry in both[0]], PROMPT)


def test_an_entry_limited_to_some_steps_is_steered_in_these(world):
    (ours, aim), (others, _) = world[2]
    late = call("ConditioningSetTimestepRange", ours, 0.3, 1.0)
    early = call("ConditioningSetTimestepRange", others, 0.0, 0.3)
    for positive in (
        call("ConditioningCombine", early, late),
        call("ConditioningCombine", late, early),
    ):
        steps = [seen.step for seen in steer(world, positive, aim).seen]
        assert steps and min(steps) > 0


def test_another_text_is_refused_before_sampling(world):
    (_, aim), (others, _) = world[2]
    model, clip, _ = world
    plain = clip.encode_from_tokens_scheduled(clip.tokenize(PROMPT))
    for positive in (others, plain):
        with pytest.raises(
            ValueError,
            match=f'was not encoded from "{PROMPT}".*Relation Parse.s conditioning input',
        ):
            steer(world, positive, aim)


def test_preview_reads_its_own_entry(world, demo):
    model, clip, vae = demo
    (ours, _), (others, _) = world[2]
    _, relations, _ = RelationParse.execute(clip, PROMPT).result
    (capture,) = AttentionCapture.execute(model, relations).result
    latent, image = {"samples": torch.zeros(1, 8, 16, 16)}, torch.zeros(1, 128, 128, 3)
    maps = [
        PreviewAttentionMaps.execute(model, positive, capture, latent, image).result[1]
        for positive in (ours, call("ConditioningCombine", others, ours))
    ]
    assert torch.equal(*maps)
    with pytest.raises(ValueError, match=f'was not encoded from "{PROMPT}"'):
        PreviewAttentionMaps.execute(model, others, capture, latent, image)


def test_what_another_node_encoded_is_passed_on(world):
    model, clip, ((ours, _), _) = world
    plain = clip.encode_from_tokens_scheduled(clip.tokenize(PROMPT))
    positive, aim = scene(model, clip, PROMPT, conditioning=plain)
    assert positive[0][0] is plain[0][0] and "learn_to_steer" not in plain[0][1]
    assert first_read(steer(world, positive, aim)) == first_read(steer(world, ours, aim))


def test_what_another_text_made_is_refused_where_it_shows(world):
    clip = world[1]
    longer = clip.encode_from_tokens_scheduled(clip.tokenize("very " * 100))
    with pytest.raises(ValueError, match="The CONDITIONING has 154 text rows, but .* makes 77 of this prompt"):
        RelationParse.execute(clip, PROMPT, conditioning=longer)


def test_positions_by_hand(world):
    model, clip, ((ours, aim), _) = world
    by_hand, same = scene(model, clip, PROMPT, corrections="giraffe@2 | above | airplane@5")
    assert same.words.rows == aim.words.rows == ((2,), (5,))
    assert first_read(steer(world, by_hand, same)) == first_read(steer(world, ours, aim))
    with pytest.raises(ValueError, match="Token position 77 is beyond the conditioning.* 0 to 76"):
        RelationParse.execute(clip, PROMPT, corrections="giraffe@77 | above | airplane")


@pytest.mark.parametrize("prompt", ["", "masterpiece, best quality, 8k", "a giraffe"])
def test_no_relation_is_no_error(world, prompt):
    model, clip, _ = world
    positive, aim = scene(model, clip, prompt)
    assert aim.words.wishes == ()
    assert steer(world, positive, aim).seen == []


def test_phrases_in_a_later_chunk_are_steered(world):
    model, clip, _ = world
    prompt = "sharp, " * 50 + PROMPT
    positive, aim = scene(model, clip, prompt)
    assert positive[0][0].shape[1] == 154
    assert all(row > 77 for rows in aim.words.rows for row in rows)
    assert steer(world, positive, aim).gradient_steps > 0


def test_relations_that_the_classifier_does_not_know_are_named(world):
    model, clip, _ = world
    prompt = "a giraffe above an airplane, a cup between a lamp and a cat"
    _, relations, understood = RelationParse.execute(clip, prompt).result
    assert understood.splitlines() == ["giraffe | above | airplane", "cup | between | lamp and cat"]
    assert relations.pairs == ((0, 1), (2, 3, 4))
    (capture,) = AttentionCapture.execute(model, relations).result
    aim, notes = L2SClassifierLoss.execute(capture, "emoji_world.safetensors").result
    assert [str(wish) for wish in aim.words.wishes] == ["giraffe | above | airplane"]
    assert aim.words.pairs == ((0, 1),)
    assert notes.startswith('"cup | between | lamp and cat" is not steered')
