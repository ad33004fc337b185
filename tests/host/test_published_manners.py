"""Whole runs through the host's samplers against the authors' own: how their codes move the latent, number by number.

PUBLISHED_DATA as in test_published_classifiers; a clone alone has none of these numbers.
"""

import math

import comfy.samplers
import pytest
import torch
from learn_to_steer.nodes.host.capture import capture, model_layers
from learn_to_steer.nodes.host.gradient import differentiable
from learn_to_steer.nodes.host.marks import mark
from learn_to_steer.nodes.host.noise import raw_scale, signal_and_noise
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.steering.guidance import NOISE, NOISE_STEP, PUBLISHED, RAW, UNIT, Steering, refine
from learn_to_steer.steering.losses import Aim, Moment, Score
from learn_to_steer.steering.losses.infsplign import CLI, JOB, InfSplignLoss
from learn_to_steer.steering.losses.published import relation_of
from learn_to_steer.steering.maps import MapSettings, noise_level, pooling
from learn_to_steer.steering.report import Report
from learn_to_steer.steering.words import Phrase, Wish, Words
from safetensors.torch import load_file
from test_published_classifiers import close, given, reading, told  # noqa: F401
from tiny import tiny

CFG = 7.5


def words_of(prompt: str, relations: list, rows: dict[str, list[int]]) -> Words:
    """relations: (subject, relation, object) each, in the authors' words."""
    names = list(dict.fromkeys(name for a, _, b in relations for name in (a, b)))
    wishes = tuple(Wish(Phrase(a, (0, 0)), relation_of(r), Phrase(b, (0, 0))) for a, r, b in relations)
    pairs = tuple((names.index(a), names.index(b)) for a, _, b in relations)
    return Words(prompt, wishes, tuple(names), tuple(tuple(rows[name]) for name in names), pairs)


def run(case, aim: Aim, steering: Steering, steps: list[int], sampler: str, negative: torch.Tensor, **options):
    """From the case's latent through these steps of the model's schedule: the latent, in the files' scale."""
    model, sigmas = case.model, case.model.model.model_sampling.sigmas[steps].clone()
    positive = mark(case.conditioning, aim.words.prompt)
    report = Report()
    guider = comfy.samplers.CFGGuider(steer(model, aim, steering, report))
    guider.set_conds(positive, [[negative, {}]])
    guider.set_cfg(CFG)
    start = model.model.process_latent_out(case.tensors["latent"] * math.hypot(1.0, sigmas[0]))
    method = comfy.samplers.ksampler(sampler, options)
    made = guider.sample(torch.zeros_like(start), start, method, sigmas, disable_pbar=True)
    assert report.gradient_steps and not report.failed, report.text()
    return model.model.process_latent_in(made) / math.hypot(1.0, sigmas[-1])


@pytest.mark.parametrize("after", [1, 2])
def test_the_authors_pipeline(reading, after):  # noqa: F811
    """Their DDIM is Euler in the host's scale; two updates in each of the first two steps."""
    case = reading("official_sd")
    words = words_of(case.facts["prompt"], [["teddy bear", "above", "lamp"]], case.facts["token_positions"])
    aim = Aim(case.loss, words, MapSettings().layout(model_layers(case.model), case.loss.layout))
    steering = Steering(end=1.0 if after == 1 else 0.67, refinements=2, target=0.9999, manner=PUBLISHED)
    with torch.inference_mode():
        made = run(case, aim, steering, [981, 961, 941, 921][: after + 2], "euler", case.tensors["uncond_context"])
    start = case.tensors["latent"]
    close("displacement", f"step {after}", made - start, case.tensors[f"pipeline/latent_after_step{after}"] - start)


@pytest.mark.parametrize("what", ["two_relations", "early_stop"])
def test_relations_in_turns_and_the_stop(reading, what):  # noqa: F811
    case = reading("official_sd")
    facts, rows = case.facts["cases"][what], case.facts["token_positions"]
    relations = facts.get("relations", [["teddy bear", "above", "lamp"]])
    words, start, scale = words_of("", relations, rows), case.tensors["latent"], case.scale("i0")
    layout = MapSettings().layout(model_layers(case.model), case.loss.layout)
    updates, target = (4, 0.9999) if what == "two_relations" else (9, math.exp(-facts["loss_target"]))
    steering = Steering(refinements=updates, target=target, manner=PUBLISHED)

    def moved(inner, entry, options):
        sigma = case.sigma("i0")

        def score(x: torch.Tensor) -> Score:
            maps = capture(inner, entry, x, torch.tensor([sigma]), options, pooling(words.rows), layout)
            return case.loss.score(maps, words, Moment(noise_level(*signal_and_noise(inner, sigma))))

        with differentiable(inner.diffusion_model, case.classifier):
            return refine(start * scale, score, scale, steering, 0, raw_scale(inner, sigma, False))

    refined = case.inside(moved)
    key = "two_relations/latent_after_4" if what == "two_relations" else "early_stop/latent"
    close("displacement", what, refined.latent / scale - start, case.tensors[key] - start)
    assert refined.spent.item() == (4 if what == "two_relations" else 2)


@pytest.mark.parametrize("after", [1, 2])
def test_infsplign_s_pipeline(reading, after):  # noqa: F811
    """DDPM with their noise; the predicted noise is moved by 1000 times the gradient in every step."""
    case, tensors = reading("official_sd"), load_file(given("infsplign_unet.safetensors"))
    facts = told("infsplign_unet.json")
    assert facts["cases"]["job/above"]["params"]["alpha"] == JOB.slope
    rows = dict(zip(facts["words"], ([at] for at in facts["cases"]["job/above"]["token_positions"]), strict=True))
    loss = InfSplignLoss(model_layers(case.model), published=True)
    aim = Aim(
        loss,
        words_of(facts["prompt"], [["bear", "above", "lamp"]], rows),
        MapSettings().layout(model_layers(case.model), loss.layout),
    )
    steps = facts["cases"]["job/above"]["timesteps"]
    noises = iter([tensors["noise/step0"], tensors["noise/step1"]])
    with torch.inference_mode():
        made = run(
            case, aim, Steering(end=1.0, target=0.9999, manner=NOISE), steps[: after + 1], "ddpm",
            case.tensors["uncond_context"], noise_sampler=lambda *sigmas: next(noises),
        )  # fmt: skip
    start, expected = case.tensors["latent"], tensors[f"job/above/step{after - 1}/latent_after"]
    close("displacement", f"step {after}", made - start, expected - start)


@pytest.mark.parametrize("which", ["cli/above", "job/left", "job/above", "job/near"])
def test_infsplign_in_the_unet(reading, which):  # noqa: F811
    """Its maps, loss and gradient at the first step of their run, and the noise that it makes of a prediction."""
    case, tensors = reading("official_sd"), load_file(given("infsplign_unet.safetensors"))
    facts = told("infsplign_unet.json")["cases"][which]
    relation = {"to the left of": "left of"}.get(facts["relation"], facts["relation"])
    subject, object = facts["token_positions"]
    wish = Wish(Phrase("bear", (0, 0)), relation, Phrase("lamp", (0, 0)))
    words = Words("", (wish,), ("bear", "lamp"), ((subject,), (object,)), ((0, 1),))
    loss = InfSplignLoss(model_layers(case.model), True, {"cli": CLI, "job": JOB}[which.partition("/")[0]])
    layout = MapSettings().layout(model_layers(case.model), loss.layout)
    sigma = float(case.model.model.model_sampling.sigmas[facts["timesteps"][0]])
    larger = math.hypot(1.0, sigma)

    def look(inner, entry, options):
        with differentiable(inner.diffusion_model):
            leaf = (case.tensors["latent"] * larger).requires_grad_(True)
            maps = capture(inner, entry, leaf, torch.tensor([sigma]), options, pooling(words.rows), layout)
            value = loss.score(maps, words, Moment(1.0)).loss
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return (
            maps.detach(),
            loss.by_layer(maps[:, 0], maps[:, 1], relation)[0].detach(),
            value.detach(),
            gradient * larger,
        )

    maps, by_layer, value, gradient = case.inside(look)
    for layer in range(6) if which == "job/above" else ():
        close("maps", f"{which} layer {layer}", maps[0, :, layer].permute(1, 2, 0), tensors[f"maps64/{layer}"])
    close("loss", which, value[0], tensors[f"{which}/step0/loss"])
    close("loss", f"{which} by layer", by_layer[0], tensors[f"{which}/step0/per_layer"])
    close("gradient", which, gradient, tensors[f"{which}/step0/grad"])
    guided = tensors["step0/eps_cfg"] + NOISE_STEP * gradient
    close("gradient", f"{which} guided", guided, tensors[f"{which}/step0/guided_eps"])


@torch.inference_mode(False)
@torch.enable_grad()
def test_raw_steps_are_as_long_as_the_gradient_and_the_best_is_kept():
    def score(x: torch.Tensor) -> Score:
        loss = x.flatten(1).square().sum(1, keepdim=True)
        return Score(loss, (-loss).exp())

    x = torch.full((1, 1, 2, 2), 0.3)
    raw = refine(x, score, 7.0, Steering(0.02, refinements=1, manner=RAW, target=0.99), 0, 2.0)
    torch.testing.assert_close(raw.latent, x - 0.02 * 5 * 2 * 2 * x)
    unit = refine(x, score, 7.0, Steering(0.02, refinements=1, target=0.99))
    torch.testing.assert_close(unit.latent, x - 0.1 * 0.02 * 7 * torch.ones_like(x))
    far = refine(x, score, 1.0, Steering(1.0, refinements=3, manner=RAW, target=0.99), 0, 2.0)
    assert torch.equal(far.latent, x) and far.spent == 3  # each step overshoots
    blind = refine(x, score, 1.0, Steering(1.0, refinements=1, manner=PUBLISHED, target=0.99), 0, 2.0)
    torch.testing.assert_close(blind.latent, x - 5 * 2 * 2 * x)
    assert Steering().manner == UNIT


def test_a_gradient_is_as_long_as_in_the_latent_that_was_published():
    eps, flow = tiny("SD15").model, tiny("Flux").model
    assert raw_scale(eps, 2.0, False) == pytest.approx(5.0)
    assert raw_scale(eps, 2.0, True) == pytest.approx(2 * 5**0.5)
    assert (raw_scale(flow, 0.7, False), raw_scale(flow, 0.7, True)) == (1.0, 0.7)
