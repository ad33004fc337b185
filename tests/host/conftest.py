"""A real ComfyUI in the tests' own process, under inference mode as its executor runs every node."""

import host  # noqa: F401  tools/host.py puts `comfy` in place

import pytest
import torch

torch.backends.cudnn.allow_tf32 = False  # on a card: too coarse for finite differences


@pytest.fixture(autouse=True)
def as_the_executor_runs_it():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def demo():
    """The demo world's MODEL, CLIP and VAE, loaded once under inference mode."""
    from learn_to_steer.nodes import demo_model

    with torch.inference_mode():
        return demo_model.load()
