"""The ways that bench/cost.py compares: the same gradient, each by its own road. No figures here."""

import sys
from dataclasses import replace

import cost
import pytest
import torch

CASES = cost.cases(cost.arguments(["--tiny", "--dtype", "float32", "--depth", "2", "1"]))


@pytest.fixture(params=CASES, ids=lambda case: case.config)
def passes(request):
    with torch.inference_mode(False):  # a script's world; the models are made under inference mode
        yield cost.Passes(request.param, "cpu")


def test_all_ways_lead_to_the_same_gradient(passes):
    before = dict(passes.unet.named_parameters())
    ours = passes.guided(False, aim=passes.aim_at_all)
    assert ours.isfinite().all() and ours.abs().max() > 0
    for weights_too in (False, True):
        theirs = passes.straightforward(weights_too)
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-3 * float(ours.abs().max()))
    saved = {}
    for save_memory in (False, True):

        def watch(value, save_memory=save_memory):
            saved[save_memory] = cost.kept_by(value, passes.unet)

        passes.guided(save_memory, watch)
    assert 0 < saved[True] < saved[False]
    after = dict(passes.unet.named_parameters())
    assert all(after[name] is p and p.grad is None for name, p in before.items())


def calls_of(function) -> int:
    """How many Python functions are called; unlike time, as many each time."""
    count = 0

    def called(frame, event, argument):
        nonlocal count
        count += event == "call"

    function()  # what is done once
    sys.setprofile(called)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_a_look_at_a_deep_model_adds_little_python_to_the_model_s_own():
    """SDXL's depth, where a card waits for Python: a look was 15 plain steps' calls when every operation was watched
    (with save_memory 23), and is 2.4 (4.7)."""
    narrow = {"model_channels": 32, "num_head_channels": 8, "context_dim": 24, "adm_in_channels": 6 * 256 + 24}
    with torch.inference_mode(False):
        passes = cost.Passes(replace(CASES[1], unet=cost.XL | narrow), "cpu")
        plain = calls_of(passes.plain)
        assert calls_of(lambda: passes.guided(False)) < 4 * plain
        assert calls_of(lambda: passes.guided(True)) < 7 * plain


def test_what_is_recorded_is_the_maps_that_a_look_reads(passes):
    maps, side = passes.recorded(), passes.aim.layout.resolution
    assert maps.shape == (2, len(cost.ROWS), passes.aim.layout.channels, side, side) and maps.isfinite().all()
    assert passes.guided(False).isfinite().all()  # and the model can still be asked


def test_the_table_tells_what_did_not_fit():
    memory = {"above": 2e9, "all": 3e9, "host_estimate": 1e9, "host_estimate_flash": 1e9}
    row = {"model": "A", "seconds": 2.0, "processor_seconds": 2.0, "memory": memory}
    rows = [
        row | {"way": "plain step"},
        row | {"way": "guided", "seconds": 3.0, "memory": memory | {"saved": 5e8}},
        {"model": "A", "way": "straightforward", "note": "left out: needs about 90 GB"},
    ]
    figures = [cost.ratios(rows)]
    assert figures[0]["guided"]["time_over_plain_step"] == 1.5
    table = cost.markdown(rows, figures)
    assert "| A | straightforward | left out: needs about 90 GB |" in table
    assert "0.50 of the host's estimate here" in table


def test_what_cannot_fit_is_left_out(monkeypatch):
    memory = {"weights": 1, "all": 2, "above": 3, "layers": [1, 2], "attention": [10**15, 10**15]}
    times = {way: [(1.0, 1.0)] for way in cost.WAYS}
    monkeypatch.setattr(cost, "apart", lambda task, *args: memory if task == "memory" else times)
    rows = cost.measure(CASES[0], "cpu", list(cost.WAYS))
    assert ["note" in row for row in rows] == [False] * 4 + [True] * 2 + [False]
    assert rows[4]["note"].startswith("left out: needs about")
