"""Maps and their gradient for every family of the table, on tiny models with random weights.

FAMILIES.md beside the table is what these tests verified: `make families` writes it, the last test compares it.
"""

import importlib
from pathlib import Path

import comfy.ldm.modules.attention
import comfy.sample
import comfy.samplers
import comfyui_version
import pytest
import torch
from call_orders import COPIES, QwenImage21Transformer2DModel, SenseNovaU15
from inside import CARD, PROMPT, aim_of, inside, layout_of, middle_sigma
from learn_to_steer.nodes.host import families, steered_model
from learn_to_steer.nodes.host.capture import capture, reading
from learn_to_steer.nodes.host.gradient import differentiable
from learn_to_steer.nodes.host.marks import mark
from learn_to_steer.nodes.host.noise import sigma_at
from learn_to_steer.nodes.host.recorder import Ready, see
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.steering.dataset import Look
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.losses import Aim
from learn_to_steer.steering.losses.geometry import GeometryLoss
from learn_to_steer.steering.maps import MapLayout, pooling, shapes, stack_layers
from learn_to_steer.steering.report import Report
from PIL import Image
from tiny import FAMILIES, changed, latent, positive, random, skip_where_absent, tiny

VERIFIED: dict[str, dict] = {}  # what the tests below found out, by family
ORDERS: set[str] = set()  # copies of call orders that were read


@pytest.fixture(scope="module", params=FAMILIES)  # all tests of a family one after another
def family(request) -> str:
    skip_where_absent(request.param)
    VERIFIED.setdefault(request.param, {})
    return request.param


def words_of(family: str):
    """Two words: the row that `changed` changes, and two others."""
    column = FAMILIES[family].column
    return pooling([(column,), (column + 2, column + 3)])


def every_layer(model, heads="averaged", softmax="text") -> MapLayout:
    return layout_of(model, "all", heads, 8, softmax)


def maps_of(family: str, cond, x, layout=every_layer, words=None):
    model = tiny(family)
    words = words_of(family) if words is None else words

    def read(inner, entry, options):
        return capture(inner, entry, x.to(CARD), middle_sigma(inner), options, words, layout(model))

    return inside(model, cond, latent(family), read)


def recorded(family: str, cond, x):
    """Every attention call of a plain forward pass: (q, k, mask), heads apart, and the size of a UNet's level."""
    calls = []

    def record(function, *args, **kwargs):
        names = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape")
        given = dict(zip(names, args, strict=False)) | kwargs
        q, k = given["q"], given["k"]
        if not given.get("skip_reshape"):
            q, k = (t.reshape(*t.shape[:2], given["heads"], -1).transpose(1, 2) for t in (q, k))
        options = kwargs.get("transformer_options") or {}
        mask = None if given.get("mask") is None else given["mask"].cpu()
        calls.append((q.clone().cpu(), k.clone().cpu(), mask, options.get("activations_shape")))
        return function(*args, **kwargs)

    def run(inner, entry, options):
        options["transformer_options"]["optimized_attention_override"] = record
        asked = families.family_of(inner.diffusion_model).bypasses
        with pytest.MonkeyPatch.context() as patch:
            if asked:
                module = importlib.import_module(asked)
                original = module.optimized_attention
                patch.setattr(module, "optimized_attention", lambda *a, **kw: record(original, *a, **kw))
            comfy.samplers.calc_cond_batch(inner, [[entry]], x.to(CARD), middle_sigma(inner), options)

    inside(tiny(family), cond, latent(family), run)
    crossing = [c for c in calls if c[0].shape[2] != c[1].shape[2]]
    if crossing:
        return crossing
    longest = max(c[0].shape[2] for c in calls)
    return [c for c in calls if c[0].shape[2] == longest]


def most_changed(before, after) -> int:
    return (before - after).square().sum((0, 1, 3)).argmax().item()


@pytest.mark.parametrize("softmax", ["text", "whole"])
def test_maps_are_the_attention_computed_apart(family, softmax):
    """Where text and picture lie is found anew here: which key moves with row 3, which query with which pixel."""
    x, case = latent(family), FAMILIES[family]
    calls = recorded(family, positive(family), x)
    column = most_changed(calls[0][1], recorded(family, changed(family), x)[0][1])
    corners = []
    for corner in ((0, 0), (-1, -1), (0, -1)):
        moved = x.clone()
        moved[..., corner[0], corner[1]] += 3.0
        corners.append(most_changed(calls[0][0], recorded(family, positive(family), moved)[0][0]))
    first, last, width = corners[0], corners[1], corners[2] - corners[0] + 1
    text = column - case.column
    layers = []
    for q, k, mask, level in calls:
        rows = q[:, :, first : last + 1] if level is None else q
        grid = ((last + 1 - first) // width, width) if level is None else tuple(level[2:])
        scores = rows.double() @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).double().transpose(-1, -2)
        scores = scores * q.shape[-1] ** -0.5
        if mask is not None:
            mask = mask.reshape(1, 1, -1, mask.shape[-1])
            mask = mask[:, :, first : last + 1] if mask.shape[2] > 1 else mask
            scores = scores.masked_fill(~mask, -1e30) if mask.dtype == torch.bool else scores + mask
        if softmax == "text":
            maps = scores[..., text : text + case.columns].softmax(-1)
        else:
            maps = scores.softmax(-1)[..., text : text + case.columns]
        words = words_of(family).double()
        maps = words[:, None] @ maps[..., : words.shape[-1]].transpose(-1, -2)
        layers.append((maps, grid))
    maps = maps_of(family, positive(family), x, lambda model: every_layer(model, "kept", softmax))
    expected = stack_layers(layers, "kept", 8)
    assert maps.shape == expected.shape
    torch.testing.assert_close(shapes(maps).double(), shapes(expected), rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(maps.mean((-1, -2)).double(), expected.mean((-1, -2)), rtol=2e-3, atol=0)
    kind = "cross" if calls[0][1].shape[2] == case.columns else "joint"
    first = first if calls[0][3] is None else 0  # a UNet's queries are the picture
    VERIFIED[family]["maps"] = (kind, text, first)


def first_layer(model) -> MapLayout:
    """Later layers see every change through the picture."""
    return MapLayout("any", 1, 1, "averaged", 1, 4)


def test_a_changed_row_moves_its_word_s_map(family):
    x = latent(family)
    before, after = (shapes(maps_of(family, cond, x, first_layer)) for cond in (positive(family), changed(family)))
    moved = (before - after).abs().amax((0, 2, 3, 4))
    assert moved[0] > 2 * moved[1]
    VERIFIED[family]["row"] = True


def test_a_changed_corner_moves_its_cell(family):
    x = latent(family)
    moved = x.clone()
    moved[..., : x.shape[-2] // 4, -(x.shape[-1] // 4) :] += 3.0
    words = pooling([(column,) for column in range(14)])  # one word's map is a matter of chance
    before, after = (shapes(maps_of(family, positive(family), each, first_layer, words)) for each in (x, moved))
    change = (before - after).abs().sum((0, 1, 2))
    assert change[0, 3] > 2 * change.median()
    VERIFIED[family]["corner"] = True


@pytest.mark.parametrize("save_memory", [False, True], ids=["kept", "save memory"])
def test_gradient_equals_finite_differences(family, save_memory):
    x, model = latent(family).to(CARD), tiny(family)
    layout, words = every_layer(model), words_of(family)
    target = random(1, 2, layout.channels, 8, 8, seed=9).to(CARD)

    def measure(inner, entry, options):
        sigma = middle_sigma(inner)
        with differentiable(inner.diffusion_model):
            leaf = x.clone().requires_grad_(True)
            maps = capture(inner, entry, leaf, sigma, options, words, layout, save_memory)
            (gradient,) = torch.autograd.grad((shapes(maps) * target.clone()).sum(), leaf)
        step = 2e-3 / gradient.norm()
        there, back = (
            (shapes(capture(inner, entry, x + s * gradient, sigma, options, words, layout)) * target).double().sum()
            for s in (step, -step)
        )
        assert gradient.norm() > 1e-3
        return ((there - back) / (2 * step) / gradient.square().sum()).item()

    assert inside(model, positive(family), x, measure) == pytest.approx(1, rel=0.01)
    VERIFIED[family]["gradient" if not save_memory else "save memory"] = True


def sampled(family: str, model, steps=2):
    start = torch.zeros(FAMILIES[family].latent)
    noise = comfy.sample.prepare_noise(start, 1)
    cond = mark(positive(family), PROMPT)
    return comfy.sample.sample(
        model, noise, steps, 2.0, "euler", "simple", cond, positive(family), start, seed=1, disable_pbar=True
    )  # fmt: skip


def aim_of_tiny(family: str, model) -> Aim:
    column = FAMILIES[family].column
    return aim_of(every_layer(model), (column,), (column + 2,))


def test_steered_steps_that_move_nothing_leave_the_picture_bit_identical(family):
    model, report = tiny(family), Report()
    off = sampled(family, model)
    assert torch.equal(off, sampled(family, steer(model, aim_of_tiny(family, model), Steering(0.0, end=1.0))))
    satisfied = Steering(end=1.0, target=1e-9)
    assert torch.equal(off, sampled(family, steer(model, aim_of_tiny(family, model), satisfied, report)))
    assert report.seen and report.gradient_steps == 0
    VERIFIED[family]["unchanged"] = True


def test_a_steered_run_lowers_the_loss(family):
    """Random weights know no pictures; but the gradient must lower the loss, under the host's own sampler."""
    model, report = tiny(family), Report()
    settings = Steering(end=1.0, strength=1.0, refinements=5, target=0.99)
    assert sampled(family, steer(model, aim_of_tiny(family, model), settings, report)).isfinite().all()
    assert report.gradient_steps > 0
    first = report.seen[0]
    assert first.after.satisfaction.item() > first.before.satisfaction.item()
    VERIFIED[family]["steered"] = True


@pytest.mark.parametrize("save_memory", [False, True], ids=["kept", "save memory"])
@pytest.mark.parametrize(("name", "writes"), [("SDXL", False), ("Flux", True)])
def test_a_run_watches_for_writing_from_the_first_look_that_needs_it(name, writes, save_memory, monkeypatch):
    """And its picture is the one that is watched all along."""
    model, asked = tiny(name), []
    settings = Steering(end=1.0, target=0.9999, refinements=2, save_memory=save_memory)

    def watching(*modules, writing):
        asked.append(writing)
        return differentiable(*modules, writing=writing)

    def picture():
        report = Report()
        samples = sampled(name, steer(model, aim_of_tiny(name, model), settings, report))
        assert report.gradient_steps > 0 and not report.failed
        return samples

    monkeypatch.setattr(steered_model, "differentiable", watching)
    samples = picture()
    assert asked == [False, *[writes] * (2 if writes else 1)]
    monkeypatch.setattr(steered_model, "differentiable", lambda *modules, writing: differentiable(*modules))
    assert torch.equal(samples, picture())


def test_geometry_alone_lowers_its_loss_and_does_nothing_at_strength_0(family):
    """It needs no classifier; on maps that mean nothing its gradient must lower its loss all the same."""
    model, report = tiny(family), Report()
    trained = aim_of_tiny(family, model)
    aim = Aim(GeometryLoss(), trained.words, trained.layout)
    off = sampled(family, model, 1)
    assert torch.equal(off, sampled(family, steer(model, aim, Steering(0.0, end=1.0)), 1))
    settings = Steering(end=1.0, refinements=5, target=0.99)
    assert sampled(family, steer(model, aim, settings, report), 1).isfinite().all()
    assert report.gradient_steps > 0 and not report.failed
    (step,) = report.seen
    assert step.after.loss.item() < step.before.loss.item()
    VERIFIED[family]["geometry"] = True


def test_pictures_of_a_batch_are_moved_as_each_alone(family):
    """A gradient step has its length a picture, whatever the latent's dimensions and the batch."""
    model = tiny(family)

    def moved(x):  # what refine gives the sampler, in the place of the sampler
        aim, report = aim_of_tiny(family, model), Report()
        steered = steer(model, aim, Steering(end=1.0, target=0.99), report)
        cond = mark(positive(family), PROMPT)
        samples = comfy.sample.sample(
            steered, x, 1, 1.0, "euler", "simple", cond, cond, torch.zeros_like(x), seed=1, disable_pbar=True
        )  # fmt: skip
        assert samples.isfinite().all() and not report.failed
        (step,) = report.seen
        assert step.spent.tolist() == [1] * len(x)
        return samples, step.after.satisfaction

    pictures = [random(*FAMILIES[family].latent, seed=seed) for seed in (1, 2, 3)]
    together, satisfied = moved(torch.cat(pictures))
    for number in (0, 2):
        moves, alone = moved(pictures[number])
        torch.testing.assert_close(together[number : number + 1], moves, rtol=1e-2, atol=1e-2 * float(moves.std()))
        torch.testing.assert_close(satisfied[number : number + 1], alone, rtol=1e-2, atol=1e-4)


NEVER_PADDED = ("OmniGen2", "Boogu")  # the host cannot attend with the masks that it would make for them


def looks_at(family: str) -> list[Ready]:
    """At three pictures, each under its own prompt, at its own noise level."""
    column, ready = FAMILIES[family].column, []

    def own(value, number):
        """Another one for each look."""
        if isinstance(value, list):
            return [own(one, number) for one in value]
        if not torch.is_tensor(value) or not value.is_floating_point():
            return value
        return value + 0.1 * random(*value.shape, seed=20 + number)

    for number in range(3):
        tensor, values = (positive, changed, positive)[number](family)[0]
        look = Look(number, "", (), (), True, 0.3 + 0.2 * number, seed=number)
        if number and "attention_mask" in values and family not in NEVER_PADDED:  # prompts of other lengths
            values["attention_mask"][:, 15 - 3 * number :] = 0
        values = {name: value if "mask" in name else own(value, number) for name, value in values.items()}
        text = (own(tensor, number), values)
        rows = ((column,), (column + 2, column + 3), (column + 1,))[: 3 - number % 2]
        ready.append(Ready(look, Image.new("RGB", (8, 8)), latent(family, seed=30 + number), rows, text))
    return ready


def test_what_is_recorded_of_a_batch_is_what_steering_sees_of_each(family):
    model, ready = tiny(family), looks_at(family)
    layout = every_layer(model)
    recorded, latents = see(model, ready, layout)
    torch.testing.assert_close(latents, torch.cat([one.latent for one in ready]), rtol=1e-3, atol=1e-4)
    for one, look in zip(recorded, ready, strict=True):
        noise = comfy.sample.prepare_noise(look.latent, look.look.seed)

        def steered(inner, entry, options, look=look, noise=noise):
            sigma = torch.tensor([sigma_at(model, look.look.level)])
            x = inner.model_sampling.noise_scaling(sigma, noise, inner.process_latent_in(look.latent))
            return capture(inner, entry, x, sigma, options, pooling(look.rows), layout)

        (maps,) = inside(model, [list(look.text)], look.latent, steered)
        assert one.ready is look and one.maps.shape == maps.shape
        torch.testing.assert_close(one.maps, maps, rtol=1e-3, atol=1e-6)
        assert one.level == pytest.approx(look.look.level, abs=1e-3)
    VERIFIED[family]["recorded"] = True


# --- Families of newer hosts, by copies of the order in which they ask for attention ----------------------------------

SHORT, LONG = 9, 43  # rows of text, where the picture has 30
ORDER_CASES = [
    (name, rows, prefix)
    for name, (cls, *_) in COPIES.items()
    for rows in (SHORT, LONG)
    for prefix in ((False, True) if cls is QwenImage21Transformer2DModel else (True,))
]


@pytest.mark.parametrize(("name", "rows", "prefix"), ORDER_CASES)
def test_a_copy_of_a_newer_family_s_call_order_is_read(name, rows, prefix):
    """Maps equal those of the one call of each layer that the sizes tell; their gradient equals finite differences."""
    cls, shape, grid = COPIES[name]
    if cls is SenseNovaU15 and not hasattr(comfy.ldm.modules.attention, "TORCH_HAS_GQA"):
        pytest.skip("This host's attention takes no fewer heads of keys than of queries.")
    unet, picture = cls().requires_grad_(False), grid[0] * grid[1]
    unet.prefix_pass = prefix
    context, words = random(1, rows, 8, seed=2), pooling([(3,), (5, 6)])
    layout = MapLayout("any", 1, 2, "kept", 2 * 4, 8, softmax="text")

    def maps_at(x):
        with reading(unet, words, layout, {}) as read:
            unet(x, None, context=context, transformer_options=read.options["transformer_options"])
        return shapes(stack_layers(read.maps, "kept", 8))

    calls = []

    def record(function, q, k, v, heads, *args, **kwargs):
        if not kwargs.get("skip_reshape"):
            q_, k_ = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))
        else:
            q_, k_ = q, k.repeat_interleave(q.shape[1] // k.shape[1], 1)
        if (q.shape[-2], k.shape[-2]) == (picture, rows + picture):
            attention = (q_.double() @ k_.double().transpose(-1, -2) * q_.shape[-1] ** -0.5)[..., :rows].softmax(-1)
            calls.append((words.double()[:, None] @ attention[..., : words.shape[-1]].transpose(-1, -2), grid))
        return function(q, k, v, heads, *args, **kwargs)

    x = random(*shape, seed=5)
    unet(x, None, context=context, transformer_options={"optimized_attention_override": record})
    assert len(calls) == 2
    torch.testing.assert_close(maps_at(x).double(), shapes(stack_layers(calls, "kept", 8)), rtol=1e-4, atol=1e-5)
    with differentiable(unet):
        leaf, target = x.clone().requires_grad_(), random(1, 2, 8, 8, 8, seed=9)
        (gradient,) = torch.autograd.grad((maps_at(leaf) * target).sum(), leaf)
        step = 2e-3 * x.norm() * gradient / gradient.norm()
        difference = ((maps_at(x + step) - maps_at(x - step)).double() * target).sum() / 2
    assert (difference / (gradient * step).sum()).item() == pytest.approx(1, rel=0.02)
    ORDERS.add(name)


def test_references_that_a_copy_cannot_tell_from_the_picture_are_refused():
    unet, x, words = QwenImage21Transformer2DModel(), random(1, 4, 6, 5), pooling([(3,)])
    with (
        pytest.raises(ValueError, match="given reference pictures"),
        reading(unet, words, MapLayout("any", 1, 2, "averaged", 2, 8), {}) as read,
    ):
        unet(x, None, context=random(1, 9, 8), ref_latents=[x], **read.options)


# --- What was verified, as a table ------------------------------------------------------------------------------------

CHECKS = ("row", "corner", "gradient", "save memory", "unchanged", "steered", "geometry", "recorded")
TABLE = Path(families.__file__).with_name("FAMILIES.md")
HEAD = """# Families that can be read and steered

Written by `make families` from tests/host/test_families.py, which ran every line of the first table in ComfyUI
{version} on a tiny model with random weights, made by the host's own classes; the test suite compares it. What these
models draw was not tested: none of their checkpoints can be had where the tests run.

| column | what was shown |
|---|---|
| attention | `cross`: the picture asks the text; `joint`: it asks picture and text at once |
| text at, picture at | where they begin among keys and queries, found by moving a text row and a pixel |
| maps | equal softmax(q kᵀ) computed apart, every layer and head, over the text and over the whole row |
| row, corner | a changed text row moves its word's map; a changed corner of the latent moves its cell |
| gradient | with respect to the latent equals finite differences within 1% |
| save memory | the same with the blocks computed again in the backward pass |
| unchanged | strength 0, and steered steps that move nothing, leave the picture bit-identical |
| steered | gradient steps in the host's sampler lower the loss, of a classifier with random weights |
| geometry | the same of the loss that needs no classifier; strength 0 leaves the picture bit-identical there too |
| recorded | maps that are recorded, of several pictures and prompts in a pass, are those that steering sees of each |

| family | class in the host | attention | text at | picture at | maps | {checks} |
|---|---|---|---|---|---|{dashes}|
"""
COPIED = """
Of newer hosts, **not run on the real classes**: tests/host/call_orders.py copies the order in which they ask for
attention, with short and long text. Maps equal the attention computed apart, and gradients finite differences.

| family | class in the host |
|---|---|
"""


def table() -> str:
    lines = []
    for name, found in VERIFIED.items():
        kind, text, image = found["maps"]
        marks = " | ".join("yes" if check in found else "no" for check in CHECKS)
        lines.append(f"| {name} | {FAMILIES[name].config} | {kind} | {text} | {image} | yes | {marks} |")
    version = comfyui_version.__version__
    head = HEAD.format(version=version, checks=" | ".join(CHECKS), dashes="|".join(["---"] * len(CHECKS)))
    copies = [f"| {name} | {cls.__name__} |" for name, (cls, *_) in COPIES.items() if name in ORDERS]
    return head + "\n".join(lines) + "\n" + COPIED + "\n".join(copies) + "\n"


def test_the_documented_table_is_what_was_verified(request):
    complete = set(VERIFIED) == set(FAMILIES) and set(COPIES) == ORDERS
    if not complete or not all(CHECKS[-1] in found for found in VERIFIED.values()):
        pytest.skip("only some of the tests above ran, or on an older host")
    if request.config.getoption("--write-families"):
        TABLE.write_text(table())
    assert TABLE.read_text() == table(), "Run `make families` and read what changed."
