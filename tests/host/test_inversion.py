"""Inversions against the authors' own code, number by number, and what is recorded on the way back.

PUBLISHED_DATA as in test_published_classifiers; tests/published has RF inversion, whose path needs no model.
"""

import math
from types import SimpleNamespace

import comfy.model_base
import comfy.samplers
import pytest
import torch
from inside import inside
from learn_to_steer.nodes.host import inversion, recorder
from learn_to_steer.nodes.host.capture import capture, model_layers
from learn_to_steer.nodes.host.inversion import (
    DDIM,
    PLAIN,
    RF,
    check_noising,
    ddim_back,
    ddim_there,
    looked_at,
    psnr,
    rf_back,
    rf_picture_left,
    rf_sigmas,
)
from learn_to_steer.nodes.host.recorder import Wanted, record, see
from learn_to_steer.steering.maps import MapSettings, noise_level, pooling
from safetensors.torch import load_file
from test_families import every_layer, looks_at
from test_published_classifiers import given, model_of, told
from test_recorder import SCENES
from tiny import tiny

TOLERANCE = 1e-4
SHIFTS = {"flux_schnell": (comfy.model_base.ModelType.FLOW, 1.0), "flux_dev": (comfy.model_base.ModelType.FLUX, 0.63)}


def off(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def predictor(inner, entry, options):
    """The model's clean latent of (B, C, h, w) at a sigma."""
    return lambda x, sigma: comfy.samplers.calc_cond_batch(inner, [[entry]], x, x.new_full((len(x),), sigma), options)[
        0
    ]


# --- As published -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIFTS)
def test_rf_inversion_as_published(name):
    tensors, case = load_file(given("inversion.safetensors")), told("inversion.json")["cases"][name]
    kind, shift = SHIFTS[name]
    sampling = comfy.model_base.model_sampling(SimpleNamespace(sampling_settings={"shift": shift}), kind)
    sigmas = rf_sigmas(sampling, case["steps"])
    assert sigmas == pytest.approx(case["sigmas"], abs=1e-5)
    assert rf_picture_left(sigmas) == pytest.approx(case["share_of_image_left_in_inverted"], abs=1e-6)
    picture, noise = (tensors[f"{name}/{which}_packed"] for which in ("x0", "noise"))
    way = list(rf_back(sampling, picture, noise, case["steps"]))
    compared = 0
    for step, (sigma, latent) in enumerate(way):
        assert sigma == pytest.approx(case["sigmas"][step], abs=1e-5)
        if (theirs := tensors.get(f"{name}/latent_before_step{step}")) is not None:
            assert off(latent, theirs) <= TOLERANCE
            compared += 1
    assert compared and len(way) == case["steps"]


@pytest.mark.parametrize(("name", "steps", "rounds"), [("sd/50x5", 50, 5), ("sd/10x5", 10, 5)])
def test_fixed_point_ddim_as_published(name, steps, rounds):
    model, context = model_of("official_sd"), load_file(given("official_sd.safetensors"))["context"]
    tensors = load_file(given("inversion.safetensors"))
    sigmas = model.model.model_sampling.sigmas

    def run(*args):
        predict = predictor(*args)
        there = list(ddim_there(predict, tensors["sd/x0"], sigmas, steps, rounds))
        return there, list(ddim_back(predict, there[-1][1], sigmas, steps))

    there, back = inside(model, [[context, {}]], tensors["sd/x0"], run)
    compared = {f"after{step}": of for step, of in enumerate(there)} | {"inverted": there[-1]}
    compared |= {f"reconstruction_before_step{step}": of for step, of in enumerate(back[:-1])}
    for key, (sigma, x) in compared.items():
        if (theirs := tensors.get(f"{name}/{key}")) is not None:
            assert off(x / math.hypot(1, sigma), theirs) <= TOLERANCE, key
    # Rounding alone moves what comes back of 50 steps by 2.2e-4.
    assert off(back[-1][1], tensors[f"{name}/reconstruction"]) <= (5e-4 if steps == 50 else TOLERANCE)


def test_the_steps_that_are_looked_at_are_the_published_ones():
    assert looked_at(50) == (5, 10, 15, 20, 25, 49) and looked_at(4) == (1, 3)
    assert looked_at(20) == (2, 4, 6, 8, 10, 19)


# --- By itself --------------------------------------------------------------------------------------------------------


def test_at_the_fixed_point_ddim_comes_back_exactly():
    sigmas = torch.linspace(0.03, 14, 1000)
    picture = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))

    def predict(x, sigma):  # the best guess where pictures are of variance 1/4
        return x * 0.25 / (0.25 + sigma**2)

    def came_back(rounds):
        *_, (_, noise) = ddim_there(predict, picture, sigmas, 20, rounds)
        *_, (_, latent) = ddim_back(predict, noise, sigmas, 20)
        return off(latent, picture)

    assert came_back(60) < 1e-5 < came_back(5) < came_back(1) / 3


def test_psnr_is_of_what_the_vae_kept():
    picture = torch.rand(20, 12, 3, generator=torch.Generator().manual_seed(1))
    assert psnr(picture[2:18, 2:10] + 0.1, picture) == pytest.approx(20, abs=1e-3)
    assert psnr(picture, picture) == 100


def flow(model):
    """The same model as a flow model, as the host's own nodes make one of another: it draws nothing any more."""
    changed = model.clone()
    settings = SimpleNamespace(sampling_settings={"shift": 1.0})
    sampling = comfy.model_base.model_sampling(settings, comfy.model_base.ModelType.FLOW)
    changed.add_object_patch("model_sampling", sampling)
    return changed


def test_an_inversion_is_only_for_its_kind_of_model(demo):
    model = demo[0]
    for noising in (PLAIN, DDIM):
        check_noising(noising, model)
    with pytest.raises(ValueError, match='"RF inversion", which is for flow models; .* "DDIM inversion" or "plain"'):
        check_noising(RF, model)
    for noising in (PLAIN, RF):
        check_noising(noising, flow(model))
    with pytest.raises(
        ValueError, match='for models that predict noise or v.*; this is a flow model. .*"RF inversion"'
    ):
        check_noising(DDIM, flow(model))
    with pytest.raises(ValueError, match="this is neither"):
        check_noising(RF, tiny("Cosmos 1"))


@pytest.mark.parametrize(("family", "noising"), [("Flux", RF), ("SD15", DDIM)])
def test_maps_are_read_on_the_way_back(family, noising):
    """Of three pictures under three prompts in one pass, those of each alone on its own way."""
    model, ready, steps = tiny(family), looks_at(family), 4
    layout = every_layer(model)
    seen, came_back = see(model, ready, layout, noising, steps)
    assert [one.ready for one in seen] == [look for look in ready for _ in looked_at(steps)]
    for number, look in enumerate(ready):
        of_look = [one for one in seen if one.ready is look]

        def alone(inner, entry, options, number=number, look=look, of_look=of_look):
            sampling, latent = inner.model_sampling, inner.process_latent_in(look.latent)
            if noising == RF:
                noise = comfy.sample.prepare_noise(look.latent, look.look.seed)
                way = list(rf_back(sampling, latent, noise, steps))
            else:
                predict = predictor(inner, entry, options)
                *_, (_, x) = ddim_there(predict, latent, sampling.sigmas, steps)
                way = list(ddim_back(predict, x, sampling.sigmas, steps))
                end = inner.process_latent_out(way[-1][1])
                torch.testing.assert_close(came_back[number : number + 1], end, rtol=1e-2, atol=1e-2)
            for one, step in zip(of_look, looked_at(steps), strict=True):
                sigma, x = way[step]
                maps = capture(inner, entry, x, torch.tensor([sigma]), options, pooling(look.rows), layout)
                torch.testing.assert_close(one.maps, maps[0], rtol=1e-2, atol=1e-5)
                signal = 1 - sigma if noising == RF else 1
                assert one.level == pytest.approx(noise_level(signal, sigma))

        inside(model, [list(look.text)], look.latent, alone)


@pytest.mark.parametrize("noising", [DDIM, RF])
def test_what_does_not_come_back_is_left_out_and_counted(demo, monkeypatch, noising):
    model = demo[0] if noising == DDIM else flow(demo[0])
    layout = MapSettings().layout(model_layers(model))
    wanted = Wanted(looks=2, batch=4, noising=noising, steps=2)

    def recorded(least):
        monkeypatch.setitem(inversion.LEAST_PSNR, noising, least)
        return record(model, *demo[1:], SCENES, [2, 3], layout, wanted)

    everything, left_out = recorded(-100)
    assert len(everything.level) == 2 * 2 * len(looked_at(2)) and not left_out
    assert everything.scene.tolist() == [2] * 4 + [3] * 4 and everything.level[0] > everything.level[1]
    nothing, left_out = recorded(99)
    what, count = ("looks", 4) if noising == DDIM else ("scenes", 2)
    assert len(nothing.level) == 0
    assert left_out == {f"{what} whose picture did not come back from {noising} (PSNR under 99 dB)": count}


def test_a_model_of_the_other_kind_is_said_before_anything_is_encoded(demo, monkeypatch):
    monkeypatch.setattr(recorder, "_ready", None)
    layout = MapSettings().layout(model_layers(demo[0]))
    with pytest.raises(ValueError, match="which is for flow models"):
        record(*demo, SCENES, [2], layout, Wanted(noising=RF))
