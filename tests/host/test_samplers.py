"""The steps of a sampler's calls, without a sampler."""

import pytest
from learn_to_steer.nodes.host.samplers import EVALUATIONS, Corrector, step_at, step_of

CALLS = 12


def counted(first: int, later: int) -> list[tuple[int, bool]]:
    """(step, is it the step's first question) of each call, step after step."""
    calls = [(0, question == 0) for question in range(first)]
    for step in range(1, CALLS):
        calls += [(step, question == 0) for question in range(later)]
    return calls[:CALLS]


@pytest.mark.parametrize("sampler", EVALUATIONS)
def test_calls_are_counted_step_by_step(sampler):
    assert [step_of(sampler, call) for call in range(CALLS)] == counted(*EVALUATIONS[sampler])


def test_a_sampler_that_is_not_listed_asks_once_a_step():
    assert [step_of("sample_of_another_pack", call) for call in range(CALLS)] == counted(1, 1)


@pytest.mark.parametrize(
    ("sigma", "step"), [(14.6, 0), (9.0, 0), (5.0, 1), (4.9999, 1), (5.001, 1), (3.0, 1), (2.0, 2), (0.1, 2), (20.0, 0)]
)
def test_a_noise_level_lies_in_a_step_of_the_schedule(sigma, step):
    assert step_at(sigma, [14.6, 5.0, 2.0, 0.0]) == step


def test_a_corrector_that_is_off_has_order_0_as_the_sampler_asks_for_it():
    corrector = Corrector(4)
    assert min(corrector, 2) == 2 and min(corrector, 7) == 4 and max(3, corrector) == 4
    corrector.off = True
    assert min(corrector, 2) == 0 and min(min(corrector, 7), 1) == 0
