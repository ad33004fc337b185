"""Loads the pack under a fixed name, with a real ComfyUI when one is set up."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [
    entry for entry in sys.path if Path(entry or ".").resolve() != ROOT
]  # our nodes/ would hide the host's
sys.path.insert(0, str(ROOT / "demo"))

import host  # noqa: E402,F401  puts `comfy` and `learn_to_steer` in place


@pytest.fixture(autouse=True)
def as_the_host_runs_it(request):
    """The host runs every node under inference mode; so do the tests in tests/host."""
    if "/tests/host/" not in str(request.path):
        yield
        return
    import torch

    with torch.inference_mode():
        yield
