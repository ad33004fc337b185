"""The steps of a sampler's calls, without a sampler."""

import pytest
from learn_to_steer.nodes.host.samplers import EVALUATIONS, step_of

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
