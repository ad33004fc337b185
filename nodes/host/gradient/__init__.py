"""Gradients through the host's models: inside its inference mode, with its weights wherever they are.

The host makes weights under inference mode (inference.py), casts or streams them for each use into memory that the next
layer uses again (weights.py), adds in place to what autograd saved (writing.py), and calls kernels without a gradient
(kernels.py). `differentiable` makes all of that exact for one pass and puts everything back. Where a layer's or a
block's gradient needs more than its weight, all of it is computed again on the way back (recompute.py).

Each file names the lines of ComfyUI 0.30.0 that force it, and the tests in tests/host/ that fail without it.
"""

import contextlib

import torch
from torch import nn

from ..families import parts_of
from .inference import OrdinaryTensors, ordinary, ordinary_weights
from .kernels import kernels_with_gradient
from .recompute import generators_kept, recomputed
from .weights import constant_weights, with_forwards
from .writing import WrittenOver, saved_before_writing, saved_unwritten

__all__ = [
    "OrdinaryTensors", "WrittenOver", "differentiable", "generators_kept", "ordinary", "recomputed",
    "saved_before_writing", "with_forwards",
]  # fmt: skip


@contextlib.contextmanager
def differentiable(*modules: nn.Module, writing: bool = True):
    """Autograd through the modules, with respect to what goes in; their weights are constants.

    Take the gradient inside: layers cast their weights once more on the way back. Nothing is kept of a weight.
    writing: the modules may write over what autograd saved. To watch for it takes as long as a deep model's own Python;
    without, a gradient that needs it raises WrittenOver, and is never wrong.
    """
    parts = parts_of(*modules)
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        ordinary_weights(parts),
        constant_weights(parts),
        kernels_with_gradient(),
        saved_before_writing() if writing else saved_unwritten(),
    ):
        yield
