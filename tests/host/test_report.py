"""A report belongs to the run of its picture, counts the steps as people do, and gives its reasons."""

import comfy.sample
import comfy.samplers
import node_helpers
import pytest
import torch
from comfy_extras.nodes_custom_sampler import Guider_DualCFG
from learn_to_steer.nodes.host.running import leading_to
from learn_to_steer.nodes.host.samplers import part_of
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.nodes.steered_ksampler import SteeredKSampler, SteerModel
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.report import Origin, Report
from test_steering import plain, scene, steered  # noqa: F401

SETTINGS = dict(strength=1.0, start=0.0, end=0.6, refinements=1, target=0.9, sharing="together")


def graph(seed: int, steered: bool = True, passes: int = 1) -> dict:
    """An API graph of Steer Model, samplers one after the other, and a Steering Report."""
    nodes = {"demo": ("Demo", {}), "steer": ("L2S_SteerModel", {"model": ["demo", 0]})}
    for number in range(passes):
        before = f"ks{number - 1}" if number else "demo"
        model = ["steer" if steered else "demo", 0]
        nodes[f"ks{number}"] = ("KSampler", {"model": model, "seed": seed, "latent": [before, 2]})
    nodes["img"] = ("VAEDecode", {"samples": [f"ks{passes - 1}", 0]})
    nodes["rep"] = ("L2S_SteeringReport", {"run": ["steer", 1], "images": ["img", 0]})
    return {node: {"class_type": name, "inputs": inputs} for node, (name, inputs) in nodes.items()}


def finished(report: Report, words, made: dict, node: str, run: range, note: str = "") -> None:
    report.begin(words, Steering(), run, 10, Origin(node, leading_to(node, made)))
    report.notes.append(note)
    report.end()


def behind(report: Report, made: dict) -> str:
    return report.behind(leading_to("rep", made, "images")).text()


def test_a_report_is_of_the_run_that_made_the_picture(scene):  # noqa: F811
    report, words = Report(runs={}), scene[3].words
    finished(report, words, graph(1), "ks0", range(10), "of seed 1")
    assert behind(report, graph(1)) == "of seed 1"
    # Another sampler's model since, the same one's; other inputs since, with kept outputs.
    assert behind(report, graph(1, steered=False)).startswith("Not steered: no run of this Steer Model is known")
    finished(report, words, graph(2), "ks0", range(10), "of seed 2")
    assert behind(report, graph(2)) == "of seed 2"
    assert behind(report, graph(1)).startswith("Not steered: no run of this Steer Model is known")


def test_a_picture_of_two_passes_has_both_in_its_report(scene):  # noqa: F811
    report, words, made = Report(runs={}), scene[3].words, graph(1, passes=2)
    finished(report, words, made, "ks0", range(6), "first")
    finished(report, words, made, "ks1", range(6, 10), "second")
    assert behind(report, made) == "first\nsecond"
    finished(report, words, graph(1, passes=3), "ks1", range(6, 10), "second again")
    assert behind(report, made) == "first\nsecond again"


def test_where_several_samplers_lead_to_the_pictures_the_report_says_so(scene):  # noqa: F811
    report, words, made = Report(runs={}), scene[3].words, graph(1)
    made["other"] = {"class_type": "KSampler", "inputs": {"model": ["steer", 0], "seed": 7}}
    made["img"] = {"class_type": "Batch", "inputs": {"one": ["ks0", 0], "two": ["other", 0]}}
    finished(report, words, made, "ks0", range(10), "one")
    finished(report, words, made, "other", range(10), "two")
    assert behind(report, made).startswith("It cannot be known which run")


def test_where_the_host_does_not_tell_its_node_no_run_is_shown_for_the_picture(scene):  # noqa: F811
    report = Report(runs={})
    report.begin(scene[3].words, Steering(), range(10))
    report.notes.append("of some run")
    report.end()
    assert behind(report, graph(1)).startswith("Not steered: no run of this Steer Model is known")
    assert report.behind(None).text() == "of some run"  # scripts


def test_a_run_that_was_cancelled_leaves_no_report_of_the_run_before(scene):  # noqa: F811
    report, words, made = Report(runs={}), scene[3].words, graph(1)
    finished(report, words, made, "ks0", range(10), "before")
    report.begin(words, Steering(), range(10), 10, Origin("ks0", leading_to("ks0", made)))
    assert behind(report, made).startswith("Not steered: no run")


def test_a_slice_of_a_schedule_is_a_part_of_it():
    sigmas = torch.linspace(1, 0, 11)
    assert part_of(sigmas, continues=False) == (0, 10)
    assert part_of(sigmas[:7], continues=False) == (0, 10)
    assert part_of(sigmas[6:], continues=True) == (6, 10)
    assert part_of(sigmas[6:], continues=False) == (0, 4)  # denoise 0.4
    assert part_of(sigmas[4:][2:5], continues=True) == (6, 10)
    ended = sigmas.clone()[:7]
    ended[-1] = 0
    assert part_of(ended, continues=False) == (0, 10)
    assert part_of(sigmas[:7].clone(), continues=False) == (0, 6)
    assert part_of(torch.cat([sigmas, sigmas])[:7], continues=False) == (0, 6)  # no schedule
    assert part_of(sigmas.flip(0)[:3], continues=False) == (0, 2)
    assert part_of(sigmas[::2], continues=False) == (0, 5)


def test_a_run_in_two_passes_is_the_run_in_one(scene):  # noqa: F811
    model, positive, negative, aim = scene
    whole, split = Report(), Report(runs={})
    steered(scene, steps=10, report=whole, end=0.6, refinements=1)
    latent = torch.zeros(1, 8, 16, 16)
    noise = comfy.sample.prepare_noise(latent, 3)
    model = steer(model, aim, Steering(end=0.6), split)

    def run(noise, latent, **part):
        return comfy.sample.sample(
            model, noise, 10, 4.0, "euler", "normal", positive, negative, latent, seed=3, disable_pbar=True, **part
        )

    between = run(noise, latent, start_step=0, last_step=5)
    assert split.text() and max(seen.step for seen in split.seen) < 5
    run(torch.zeros_like(noise), between, disable_noise=True, start_step=5, last_step=10)
    assert (split.steps, split.steered) == (10, range(6))
    assert {seen.step for seen in split.seen} <= set(range(6))
    assert max(seen.step for seen in split.seen) == 5 and min(seen.step for seen in split.seen) == 0


OFF = [
    ({"strength": 0.0}, "Not steered: strength is 0."),
    ({"refinements": 0}, "Not steered: refinements is 0."),
    ({"start": 0.5, "end": 0.5}, "Not steered: start and end leave no step."),
    ({"start": 0.0, "end": 0.01}, "Not steered: none of its steps lies between start and end."),
]


@pytest.mark.parametrize(("off", "why"), OFF)
def test_what_turns_steering_off_is_said(scene, off, why):  # noqa: F811
    model, positive, negative, aim = scene
    latent = {"samples": torch.zeros(1, 8, 16, 16)}
    settings = SETTINGS | off
    of_sampler = SteeredKSampler.execute(
        model, aim, 3, 4, 4.0, "euler", "normal", positive, negative, latent, 1.0, **settings
    ).result
    assert of_sampler[1] == why
    patched, run = SteerModel.execute(model, aim, **settings).result
    plain((patched, *scene[1:]), steps=4)
    assert run.text() == why


def of(scene, positive, **settings) -> str:  # noqa: F811
    report = Report()
    steered((scene[0], positive, *scene[2:]), steps=4, report=report, **settings)
    return report.text()


def test_a_prompt_that_acts_only_later_is_said(scene):  # noqa: F811
    late = node_helpers.conditioning_set_values(scene[1], {"start_percent": 0.7, "end_percent": 1.0})
    assert "the prompt acts at none of the steered steps" in of(scene, late, end=0.5)


def test_a_prompt_that_is_zeroed_out_is_said_and_not_steered(scene):  # noqa: F811
    gone = [[torch.zeros_like(text), values] for text, values in scene[1]]
    assert (
        of(scene, gone)
        == "Not steered: the positive conditioning is zeroed out, so that the prompt's words are not in it."
    )


def test_a_prompt_in_two_areas_is_said(scene):  # noqa: F811
    left, right = (
        node_helpers.conditioning_set_values(scene[1], {"area": (16, 8, 0, x), "set_area_to_bounds": False})
        for x in (0, 8)
    )
    text = of(scene, left + right)
    assert "step 1: " in text and "The prompt stands 2 times in the positive conditioning" in text


def test_a_prompt_at_two_times_is_steered_at_both_without_a_word(scene):  # noqa: F811
    parts = ({"start_percent": 0.0, "end_percent": 0.4}, {"start_percent": 0.4, "end_percent": 1.0})
    both = [entry for part in parts for entry in node_helpers.conditioning_set_values(scene[1], part)]
    assert "times in the positive" not in of(scene, both)


def test_a_dual_guider_s_refusal_names_its_own_input(scene):  # noqa: F811
    model, positive, negative, aim = scene
    guider = Guider_DualCFG(steer(model, aim, Steering()))
    guider.set_conds(negative, positive, negative)
    guider.set_cfg(4.0, 4.0)
    latent = torch.zeros(1, 8, 16, 16)
    with pytest.raises(ValueError, match="at cond1 of the Guider_DualCFG was not encoded .*positive to cond1"):
        guider.sample(latent, latent, comfy.samplers.sampler_object("euler"), torch.tensor([1.0, 0.0]))
