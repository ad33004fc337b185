import math

import pytest
import torch
from learn_to_steer.steering.guidance import SHARING, Steering, refine
from learn_to_steer.steering.losses import Score
from learn_to_steer.steering.report import Report, SteeredStep

X = torch.zeros(1, 1, 4, 4)


def score(losses):
    """A score by losses that are negative logarithms: latent -> (B, wishes)."""

    def scored(x):
        loss = losses(x)
        return Score(loss, (-loss).exp())

    return scored


def pulls(*wanted: float):
    """Losses that fall as the latent's columns reach the wanted values; wish i is about column i alone."""
    return score(lambda x: torch.stack([(x[:, 0, :, i].mean(1) - w) ** 2 * 50 for i, w in enumerate(wanted)], 1))


@pytest.mark.parametrize("sharing", SHARING)
def test_every_relation_is_satisfied_not_only_one(sharing):
    steering = Steering(strength=0.5, refinements=60, sharing=sharing)  # steps of one length: short ones end near it
    _, before, after, spent = refine(X, pulls(0.5, -0.5), 1.0, steering)
    assert (before.satisfaction < 1e-4).all()
    assert (after.satisfaction >= 0.9).all()
    assert 0 < spent.item() < 60


def test_a_satisfied_latent_is_returned_as_it_is():
    best, before, after, spent = refine(X, pulls(0.0), 1.0, Steering())
    assert torch.equal(best, X)
    assert spent.item() == 0
    assert torch.equal(before.satisfaction, after.satisfaction)


def test_each_picture_of_a_batch_stops_on_its_own():
    x = torch.cat([X, X + 0.5])
    best, _, after, spent = refine(x, pulls(0.5), 1.0, Steering(refinements=30))
    assert spent[1] == 0 and spent[0] > 0
    assert torch.equal(best[1], x[1])
    assert (after.satisfaction >= 0.9).all()


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 1, 4, 4), (2, 3, 1, 4, 4)])
def test_latents_of_any_number_of_dimensions(shape):
    torch.manual_seed(0)
    x, target = torch.randn(shape), torch.randn(shape)
    best, *_ = refine(x, score(lambda x: ((x - target) ** 2).flatten(1).mean(1, keepdim=True) * 9), 1.0, Steering())
    moved, way = (best - x).flatten(1), (target - x).flatten(1)
    torch.testing.assert_close(torch.cosine_similarity(moved, way), torch.ones(2))
    torch.testing.assert_close(moved.square().mean(1).sqrt(), torch.full((2,), 0.1))


def test_the_worst_wish_decides_which_latent_is_best():
    def scored(x):  # the first wish gains what the second loses
        gain = x.mean((1, 2, 3))[:, None]
        satisfaction = torch.cat([0.2 - gain, 0.1 + 0.5 * gain], 1)
        return Score(torch.cat([gain + 1, gain * 0], 1), satisfaction)

    best, before, after, _ = refine(X, scored, 1.0, Steering(refinements=2))
    assert torch.equal(best, X) and torch.equal(before.satisfaction, after.satisfaction)


def test_the_best_latent_is_kept_and_the_last_step_is_judged():
    seen = []

    def losses(x):  # falls for two steps, then rises
        seen.append(1)
        return (
            (x.mean((1, 2, 3)) * 0)[:, None]
            + x.mean() * 0
            + torch.tensor([[(3.0, 2.0, 1.0, 5.0)[len(seen) - 1]]])
            + x.sum() * 1e-9
        )

    best, before, after, spent = refine(X, score(losses), 1.0, Steering(refinements=3))
    assert len(seen) == 4
    assert spent.item() == 3
    assert math.isclose(before.satisfaction.item(), math.exp(-3), rel_tol=1e-4)
    assert math.isclose(after.satisfaction.item(), math.exp(-1), rel_tol=1e-4)
    step = 0.1
    assert torch.allclose(best, X - 2 * step, atol=1e-5)


@pytest.mark.parametrize("size", [0.1, 1.0, 14.6])
def test_a_step_has_the_same_length_in_units_of_the_latent(size):
    best, *_ = refine(X, pulls(100.0), size, Steering(strength=2.0, refinements=1))
    assert math.isclose(best[..., 0].square().mean().sqrt().item(), 0.2 * size, rel_tol=1e-5)


@pytest.mark.parametrize("wishes", [1, 2, 3])
def test_a_step_grows_with_the_root_of_the_wishes_that_it_serves(wishes):
    best, *_ = refine(X, pulls(*[2.0] * wishes), 1.0, Steering(), judged=False)
    moved = best[best != 0]
    torch.testing.assert_close(moved.square().mean().sqrt().item(), 0.1 * wishes**0.5)


def test_a_step_that_is_not_judged_is_taken_as_it_is():
    looks = []

    def counted(x):
        looks.append(x)
        return pulls(0.5)(x)

    best, before, after, spent = refine(X, counted, 1.0, Steering(), judged=False)
    assert len(looks) == 1 and spent.item() == 1 and not torch.equal(best, X)
    assert torch.equal(before.loss, after.loss)


def test_not_a_number_is_an_error():
    with pytest.raises(FloatingPointError, match="loss is not a finite"):
        refine(X, score(lambda x: x.sum((1, 2, 3))[:, None] * math.nan), 1.0, Steering())
    with pytest.raises(FloatingPointError, match="gradient is not a finite"):
        refine(X, score(lambda x: 3 + (x - x.detach()).abs().sqrt().sum((1, 2, 3))[:, None]), 1.0, Steering())


def test_round_robin_takes_turns_and_worst_first_takes_the_worst():
    turns, *_ = refine(X, pulls(0.5, 0.6), 1.0, Steering(refinements=2, sharing="round-robin"))
    assert turns[0, 0, 0, 0] == turns[0, 0, 0, 1] > 0  # one step each
    again, *_ = refine(X, pulls(0.5, 0.6), 1.0, Steering(sharing="round-robin"), earlier=1)
    assert again[0, 0, 0, 0] == 0 and again[0, 0, 0, 1] > 0  # the next sampling step serves the next
    worst, *_ = refine(X, pulls(0.5, 1.0), 1.0, Steering(refinements=1, sharing="worst first"))
    assert worst[0, 0, 0, 0] == 0 and worst[0, 0, 0, 1] != 0
    both, *_ = refine(X, pulls(0.5, 1.0), 1.0, Steering(refinements=1, sharing="together"))
    assert both[0, 0, 0, 0] != 0 and both[0, 0, 0, 1] != 0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"strength": -1.0}, "strength is -1.0; it must be 0 or more"),
        ({"strength": math.nan}, "strength is nan"),
        (
            {"start": 0.6, "end": 0.4},
            "from 0.6 to 0.4 of the run: the first must not come after the last",
        ),
        ({"end": 1.5}, "both lie between 0 and 1"),
        ({"refinements": -1}, "refinements is -1"),
        ({"target": 1.0}, "target is 1.0; it is a probability"),
        ({"sharing": "all"}, 'sharing is "all"; choose one of round-robin, together, worst first'),
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        Steering(**wrong)


def test_steered_steps():
    assert list(Steering(start=0.0, end=0.5).steps(8)) == [0, 1, 2, 3]
    assert list(Steering(start=0.25, end=0.25).steps(8)) == []
    assert not Steering(start=0.25, end=0.25).active
    assert not Steering(strength=0).active


def test_report_for_people_and_for_plots():
    before, after = (torch.tensor([values]) for values in ((0.25, 0.5), (0.95, 0.9)))
    scores = (Score(-satisfaction.log(), satisfaction) for satisfaction in (before, after))
    step = SteeredStep(0, 0.9, *scores, torch.tensor([2]), torch.ones(1, 3, 4, 4))
    report = Report(["dog | left of | cat", "dog | above | bus"], [step], ["A note."])
    assert report.text().splitlines() == [
        "step 1: dog | left of | cat: 0.25 -> 0.95; dog | above | bus: 0.50 -> 0.90 (2 gradient steps)",
        "2 gradient steps in all.",
        "A note.",
    ]
    before, after = report.loss_map()["loss"]
    assert before > after > 0
