"""Words bound to regions inside the attention, in several families: what is hidden, where and when, and that nothing
else changes."""

import comfy.sample
import pytest
import torch
from inside import PROMPT, layout_of
from learn_to_steer.nodes.host.binding import HIDDEN, added, bind, seen
from learn_to_steer.nodes.host.marks import mark
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.nodes.host.words import find_words
from learn_to_steer.nodes.regions import RegionsFromRelations
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.losses import Aim
from learn_to_steer.steering.losses.geometry import GeometryLoss
from learn_to_steer.steering.plan import cells, plan
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.report import Report
from learn_to_steer.steering.words import Words
from tiny import FAMILIES, changed, latent, positive, random, skip_where_absent, tiny

SOME = ("SD15", "PixArt alpha", "Flux", "Z-Image", "Wan", "Qwen-Image")
STEPS = 2


@pytest.fixture(scope="module", params=SOME)
def family(request) -> str:
    skip_where_absent(request.param)
    return request.param


def words_of(family: str) -> Words:
    """PROMPT's two words: the row that `changed` changes, and the next but one."""
    column = FAMILIES[family].column
    return Words(PROMPT, parse(PROMPT).wishes, ("dog", "cat"), ((column,), (column + 2,)), ((0, 1),))


def sampled(family: str, model, cond=None, first=0, noise=1, **options):
    start = torch.zeros(FAMILIES[family].latent)
    drawn = comfy.sample.prepare_noise(start, noise)
    cond = mark(positive(family) if cond is None else cond, PROMPT)
    return comfy.sample.sample(
        model, drawn, STEPS, 2.0, "euler", "simple", cond, positive(family), start, start_step=first, seed=1,
        disable_pbar=True, **options,
    )  # fmt: skip


def recording(family: str, calls: list):
    """The MODEL with another pack's override, which notes each call's sigma, q, k and mask."""

    def record(function, q, k, v, heads, mask=None, *args, **kwargs):
        options = kwargs.get("transformer_options") or {}
        calls.append((float(options["sigmas"][0]) if "sigmas" in options else None, q.clone(), k.clone(), mask))
        return function(q, k, v, heads, mask, *args, **kwargs)

    model = tiny(family).clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = record
    return model


def changed_at(before, after) -> int:
    """Which row of q or k, whose heads may stand apart, changed most."""
    moved = (before - after).square()
    return moved.sum([axis for axis in range(moved.ndim) if axis != moved.ndim - 2]).argmax().item()


def test_only_the_words_columns_are_hidden_and_only_outside_their_places(family):
    """Where text and picture lie is found anew: which key moves with the word's row, which query with a pixel."""
    words, places = words_of(family), plan(words_of(family))
    calls: list = []
    model = bind(recording(family, calls), words, places, 0.5, 1.0)

    def first(cond=None, corner=0.0):
        calls.clear()
        noise = latent(family)
        noise[..., 0, 0] += corner
        cond = mark(positive(family) if cond is None else cond, PROMPT)
        start = torch.zeros_like(noise)
        comfy.sample.sample(model, noise, 1, 1.0, "euler", "simple", cond, cond, start, seed=1, disable_pbar=True)
        return next(call for call in calls if call[3] is not None and call[3].min() <= HIDDEN)

    _, q, k, mask = first()
    column = changed_at(k, first(changed(family))[2])
    scores = mask.expand(mask.shape[0], mask.shape[1], q.shape[-2], k.shape[-2])[0, 0]
    begins = column - FAMILIES[family].column
    text = slice(begins, begins + FAMILIES[family].columns)
    hidden = scores <= HIDDEN
    picture = torch.zeros_like(hidden)
    rows = int(hidden[:, text].any(1).sum())
    row = 0 if rows == len(hidden) else changed_at(q, first(corner=3.0)[1])  # the picture alone, or among others
    picture[row : row + rows, text] = True
    assert not (hidden & ~picture).any()  # the rest of the attention is as it was
    # "A dog above a cat": the upper half sees the dog and what is before it.
    upper, lower = hidden[row : row + rows // 2, text], hidden[row + rows - rows // 2 : row + rows, text]
    dog, cat = (at[0] for at in words.rows)
    assert not upper[:, : dog + 1].any() and upper[:, dog + 1 :].all()
    assert not lower[:, cat].any() and lower[:, [dog, dog + 1, cat + 1]].all()


def test_off_and_outside_its_steps_nothing_changes_by_a_bit(family):
    model, words = tiny(family), words_of(family)
    places = plan(words)
    plain = sampled(family, model)
    for end, strength in ((0.0, 1.0), (0.5, 0.0)):
        assert not bind(model, words, places, end, strength).wrappers  # a plain clone
    bound = bind(model, words, places, 0.3, 1.0)
    assert torch.equal(sampled(family, model, first=1), sampled(family, bound, first=1))
    assert not torch.equal(plain, sampled(family, bound))
    assert torch.equal(plain, sampled(family, model)), "something stays behind"


def test_only_the_prompt_s_own_pass_is_bound():
    """Not the negative prompt's, nor that of another text beside it."""
    calls: list = []
    words = words_of("SD15")
    sampled("SD15", bind(recording("SD15", calls), words, plan(words), 0.5, 1.0))
    masks = [mask for _, _, k, mask in calls if mask is not None]
    assert masks and all(sorted(bool(one.any()) for one in mask) == [False, True] for mask in masks)
    sigmas = sorted({sigma for sigma, _, _, mask in calls if mask is not None}, reverse=True)
    assert len(sigmas) == 1  # the first of two steps


def test_strength_leaves_a_share():
    words = words_of("SD15")
    calls: list = []
    sampled("SD15", bind(recording("SD15", calls), words, plan(words), 0.5, 0.75))
    (least,) = {float(mask.min()) for _, _, _, mask in calls if mask is not None}
    assert least == pytest.approx(torch.tensor(0.25).log().item())


def test_what_is_seen_where():
    words = Words("", (), ("dog", "cat"), ((2, 3), (5,)), ())
    found = seen(words, ((0, 0, 0.5, 1), (0.5, 0, 0.75, 1)), 7, 1, 4).int().tolist()
    assert found == [
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 0, 1],  # no word's place: all but the words
    ]
    with pytest.raises(ValueError, match="Token position 5 is beyond"):
        seen(words, ((0, 0, 0.5, 1), (0.5, 0, 1, 1)), 5, 1, 4)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 1, 3, 5), (1, 1, 1, 5)])
def test_masks_that_are_there_already_stay(shape):
    scores = random(2, 1, 3, 5)
    mask = random(*shape, seed=2)
    whole = mask if mask.ndim == 4 else mask[:, None] if mask.ndim == 3 else mask
    assert torch.equal(added(mask, scores), scores + whole)
    kept = added(mask > 0, scores)
    assert torch.equal(kept == HIDDEN, (~(whole > 0)).expand_as(scores))


def test_steering_reads_the_maps_unbound(demo):
    """The first step's maps are those of the plain run, and both act in one run."""
    model, clip, _ = demo
    text = "a dog left of a cat"
    words = find_words(clip, text, parse(text).wishes)
    aim = Aim(GeometryLoss(), words, layout_of(model))
    cond = mark(clip.encode_from_tokens_scheduled(clip.tokenize(text)), text)

    def run(model, strength=1.0):
        report = Report()
        model = steer(model, aim, Steering(strength, end=0.5), report) if strength else model
        start = torch.zeros(1, 8, 16, 16)
        noise = comfy.sample.prepare_noise(start, 1)
        samples = comfy.sample.sample(
            model, noise, STEPS, 5.0, "euler", "normal", cond, cond, start, seed=1, disable_pbar=True
        )
        return samples, report

    bound = bind(model, words, plan(words), 0.5, 1.0)
    (alone, _), (steered, plain), (both, report) = run(bound, 0.0), run(model), run(bound)
    assert torch.equal(report.seen[0].maps, plain.seen[0].maps)
    assert report.gradient_steps and not report.failed
    assert not torch.equal(both, alone) and not torch.equal(both, steered)


def test_the_node_shows_its_plan(demo):
    model, clip, _ = demo
    text = "a dog left of a cat"
    words = find_words(clip, text, parse(text).wishes)
    bound, regions, picture, said = RegionsFromRelations.execute(model, words).result
    assert bound is not model and bound.wrappers and not model.wrappers
    assert regions.shape == (2, 512, 512) and torch.equal(regions[0], cells((0, 0, 0.5, 1), 512, 512).float())
    assert picture.shape == (1, 512, 512, 3)
    assert said == "dog: 0% to 50% across, 0% to 100% down\ncat: 50% to 100% across, 0% to 100% down"
    nothing = RegionsFromRelations.execute(model, words.only(lambda wish: False)).result
    assert not nothing[0].wrappers and "No place or relation" in nothing[3]


def bound_to_dog_above_cat(model=None):
    words = words_of("SD15")
    return bind(model or tiny("SD15"), words, plan(words), 0.5, 1.0)


def test_another_text_s_conditioning_is_refused():
    start = torch.zeros(FAMILIES["SD15"].latent)
    with pytest.raises(ValueError, match=f'not encoded from "{PROMPT}"'):
        comfy.sample.sample(
            bound_to_dog_above_cat(), start, 1, 1.0, "euler", "simple", positive("SD15"), positive("SD15"), start,
            seed=1, disable_pbar=True,
        )  # fmt: skip


def test_attention_that_is_another_pack_s_is_refused():
    model = tiny("SD15").clone()
    model.set_model_attn2_replace(lambda q, k, v, options: q, "input", 1)
    with pytest.raises(ValueError, match="IP-Adapter"):
        sampled("SD15", bound_to_dog_above_cat(model))


def test_several_frames_are_refused():
    words = words_of("Wan")
    start = torch.zeros(1, 16, 3, 12, 10)
    cond = mark(positive("Wan"), PROMPT)
    with pytest.raises(ValueError, match="3 frames"):
        comfy.sample.sample(
            bind(tiny("Wan"), words, plan(words), 0.5, 1.0), start, 1, 1.0, "euler", "simple", cond, cond, start,
            seed=1, disable_pbar=True,
        )  # fmt: skip


def test_a_model_of_no_known_family_is_refused():
    class Foreign(torch.nn.Module):
        pass

    model = tiny("SD15").clone()
    model.add_object_patch("diffusion_model", Foreign())
    with pytest.raises(ValueError, match="Foreign cannot be read"):
        bound_to_dog_above_cat(model)


@pytest.mark.parametrize("name", ["end", "strength"])
def test_values_beyond_are_named(demo, name):
    words = words_of("SD15")
    with pytest.raises(ValueError, match=f"{name} is 1.5"):
        bind(tiny("SD15"), words, plan(words), **{"end": 0.5, "strength": 1.0, name: 1.5})
