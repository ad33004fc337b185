"""Samplers that are not the host's, and SA-Solver's corrector: which question begins a step, and what is moved."""

import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy.k_diffusion import sampling as k_diffusion
from learn_to_steer.nodes.host.samplers import same_sigma
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.nodes.host.steered_model import SteeredModel
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.report import Report
from test_steering import scene  # noqa: F401

STEPS = 6


def restart(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Euler that goes from step 4 back up to step 2, once, over a noise level that is not on the schedule."""
    between = (sigmas[2] + sigmas[3]) / 2
    for piece in (sigmas[:5], torch.stack([sigmas[2], between, sigmas[4]]), sigmas[4:]):
        if piece[0] == sigmas[2]:
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x)
            x = x + noise * (sigmas[2] ** 2 - sigmas[4] ** 2) ** 0.5
        x = k_diffusion.sample_euler(model, x, piece, extra_args=extra_args, callback=callback, disable=True)
    return x


def two_stages(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Heun's method, whose second question is at the next step's noise level."""
    ones = x.new_ones(len(x))
    for i, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        denoised = model(x, sigma * ones, **extra_args)
        callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        slope = (x - denoised) / sigma
        if following > 0:
            ahead = x + slope * (following - sigma)
            slope = (slope + (ahead - model(ahead, following * ones, **extra_args)) / following) / 2
        x = x + slope * (following - sigma)
    return x


def midpoint(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """The second question lies between two steps."""
    ones = x.new_ones(len(x))
    for i, (sigma, following) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        slope = (x - model(x, sigma * ones, **extra_args)) / sigma
        if following > 0:
            middle = (sigma * following) ** 0.5
            ahead = x + slope * (middle - sigma)
            slope = (ahead - model(ahead, middle * ones, **extra_args)) / middle
        callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": x})
        x = x + slope * (following - sigma)
    return x


def random_noise(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Draws from the global generator."""
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * x.new_ones(len(x)), **extra_args)
        callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": denoised})
        x = denoised + sigmas[i + 1] * torch.randn_like(x)
    return x


def silent(model, x, sigmas, extra_args=None, callback=None, disable=None):
    return k_diffusion.sample_euler(model, x, sigmas, extra_args=extra_args, disable=True)


def elsewhere(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Keeps its state in another unit than it asks about."""
    for i in range(len(sigmas) - 1):
        denoised = model(x * 1.0, sigmas[i] * x.new_ones(len(x)), **extra_args)
        callback({"x": x, "i": i, "sigma": sigmas[i], "denoised": denoised})
        x = denoised + (x - denoised) * (sigmas[i + 1] / sigmas[i])
    return x


def own_steps(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Its step hangs on what the model answers."""
    sigma = sigmas[0]
    while sigma > sigmas[-2]:
        denoised = model(x, sigma * x.new_ones(len(x)), **extra_args)
        callback({"x": x, "i": 0, "sigma": sigma, "denoised": denoised})
        following = sigma * (0.5 if denoised.std() < 0.1 else 0.6)
        x, sigma = denoised + (x - denoised) * (following / sigma), following
    return x


def sample(scene, sampler, steered: bool, report=None, **settings):  # noqa: F811
    model, positive, negative, aim = scene
    sampler = comfy.samplers.KSAMPLER(sampler) if callable(sampler) else sampler
    if steered:
        model = steer(model, aim, Steering(**{"end": 1.0, **settings}), report)
    latent = torch.zeros(1, 8, 16, 16)
    noise = comfy.sample.prepare_noise(latent, 3)
    sigmas = comfy.samplers.KSampler(model, STEPS, "cpu", "euler", "normal").sigmas
    torch.manual_seed(0)
    return comfy.sample.sample_custom(
        model, noise, 4.0, sampler, sigmas, positive, negative, latent,
        callback=lambda *_: None,  # as every node gives one; without, older hosts give the sampler's function none
        disable_pbar=True, seed=3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        (restart, [0, 1, 2, 3, 2, 2, 4, 5]),
        (two_stages, list(range(STEPS))),
        (midpoint, list(range(STEPS))),
        (random_noise, list(range(STEPS))),
    ],
)
def test_a_sampler_of_another_pack_is_moved_where_its_steps_begin(scene, sampler, steps, monkeypatch):  # noqa: F811
    report, moved = Report(), []
    move = SteeredModel._move

    def noting(self, x, sigma, kwargs):
        moved.append(float(sigma[0]))
        return move(self, x, sigma, kwargs)

    monkeypatch.setattr(SteeredModel, "_move", noting)
    after = sample(scene, sampler, True, report, target=0.9999)
    assert [seen.step for seen in report.seen] == steps
    sigmas = comfy.samplers.KSampler(scene[0], STEPS, "cpu", "euler", "normal").sigmas.tolist()
    if sampler is restart:
        sigmas[4:4] = [sigmas[2], (sigmas[2] + sigmas[3]) / 2]
    assert all(same_sigma(*pair) for pair in zip(moved, sigmas[:-1], strict=True))
    assert after.isfinite().all() and not torch.equal(after, sample(scene, sampler, False))


@pytest.mark.parametrize("sampler", [restart, two_stages, midpoint, random_noise])
def test_reading_without_moving_leaves_another_pack_s_sampler_bit_for_bit(scene, sampler):  # noqa: F811
    report = Report()
    assert torch.equal(sample(scene, sampler, True, report, target=1e-9), sample(scene, sampler, False))
    assert report.seen and report.gradient_steps == 0


@pytest.mark.parametrize(
    ("sampler", "why"),
    [
        (silent, "it does not show which of its questions"),
        (elsewhere, "it does not show which of its questions"),
        (own_steps, "it chooses its own steps"),
        (lambda model, x, sigmas, **_: x.nothing, "a trial run without the model ended in: .*nothing"),
    ],
)
def test_a_sampler_whose_steps_cannot_be_found_is_refused_with_a_sentence(scene, sampler, why):  # noqa: F811
    with pytest.raises(ValueError, match=f"cannot be steered: {why}.*Choose another"):
        sample(scene, sampler, True)


SA = {
    "sa_solver": lambda: comfy.samplers.sampler_object("sa_solver"),
    "sa_solver_pece": lambda: comfy.samplers.sampler_object("sa_solver_pece"),
    "node": lambda: comfy.samplers.ksampler("sa_solver", {"use_pece": True, "corrector_order": 2}),
    "node, simple": lambda: comfy.samplers.ksampler("sa_solver", {"use_pece": False, "simple_order_2": True}),
}


@pytest.mark.parametrize("name", SA)
def test_sa_solver_keeps_its_corrector_where_nothing_is_moved(scene, name):  # noqa: F811
    report = Report()
    assert torch.equal(sample(scene, SA[name](), True, report, target=1e-9), sample(scene, SA[name](), False))
    assert report.seen and report.gradient_steps == 0


@pytest.mark.parametrize("name", SA)
@pytest.mark.parametrize("moved", [0, 1, 3])
def test_sa_solver_goes_on_from_a_moved_latent(scene, name, moved, monkeypatch):  # noqa: F811
    """A model that answers the same everywhere: what a move adds in a step is all there in the next."""
    states = {}

    def run(by):
        report = Report()

        def move(self, x, sigma, kwargs):
            states.setdefault(by, {}).setdefault(self.step, x.clone())
            return self._take(x, x + by, sigma) if self.step == moved else x

        monkeypatch.setattr(SteeredModel, "_move", move)
        monkeypatch.setattr(comfy.samplers.CFGGuider, "predict_noise", lambda self, x, *a, **k: torch.zeros_like(x))
        sample(scene, SA[name](), True, report)

    run(0.0)  # the corrector is left out here too
    run(1.0)
    assert sorted(states[1.0]) == list(range(STEPS))
    change = states[1.0][moved + 1] - states[0.0][moved + 1]
    assert change.std() < 1e-4 and change.mean() > 0.05
