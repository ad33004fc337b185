"""Parts that keep only what goes in: their inside is computed once more in the backward pass.

Forced by:
- comfy/ops.py, disable_weight_init: norms, embeddings and odd convolutions fetch their weights for each use, too, and
  their gradient needs more than the weight (weights.py);
- memory: with save_memory whole blocks are computed so (capture.py);
- comfy_extras/nodes_hypertile.py and nodes_tomesd.py draw from the global generator within a block, and must draw the
  same again.

Proven by:
- test_gradient.py::test_streamed_weights_give_the_exact_gradient,
  ::test_recomputed_keeps_what_goes_in_and_nothing_else;
- ::test_recomputed_may_write_over_what_it_needs_on_the_way_back;
- ::test_recomputed_draws_the_same_again; test_chaining.py with HyperTile and ToMe.
"""

import contextlib

import torch
from torch import Tensor
from torch.utils import _pytree as tree
from torch.utils.checkpoint import get_device_states, set_device_states

from .writing import saved_before_writing, saved_unwritten, watched

_TENSOR = object()  # the place of a tensor


def generators_kept(device: torch.device):
    """Whoever draws random numbers after this context draws what they would have drawn without it."""
    if device.type == "cpu":
        return torch.random.fork_rng([])
    if not hasattr(getattr(torch, device.type, None), "get_rng_state"):
        return contextlib.nullcontext()
    return torch.random.fork_rng([device.index or 0], device_type=device.type)


def recomputed(function):
    """The function, differentiable, keeping only what goes in: its inside is computed once more on the way back.

    Takes and gives any nesting of tensors and other things. It works on copies, so it may change them in place; what it
    saved itself, inside `saved_before_writing` alone.
    """

    def call(*args, **kwargs):
        given, given_shape = tree.tree_flatten((args, kwargs))
        moving = [i for i, v in enumerate(given) if isinstance(v, Tensor) and v.requires_grad]
        fixed = [None if i in moving else v for i, v in enumerate(given)]
        others, shape = tree.tree_flatten([])  # what the function gives besides tensors, and the nesting of it all

        def run(*inputs):
            nonlocal others, shape
            values = list(fixed)
            for i, value in zip(moving, inputs, strict=True):
                values[i] = value
            values = [v.clone() if isinstance(v, Tensor) else v for v in values]
            args, kwargs = tree.tree_unflatten(values, given_shape)
            outputs, shape = tree.tree_flatten(function(*args, **kwargs))
            others = [_TENSOR if isinstance(v, Tensor) else v for v in outputs]
            return tuple(v for v in outputs if isinstance(v, Tensor))

        tensors = iter(_Recomputed.apply(run, *(given[i] for i in moving)))
        outputs = [next(tensors) if v is _TENSOR else v for v in others]
        return tree.tree_unflatten(outputs, shape)

    return call


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, run, *inputs):
        ctx.run, ctx.watched = run, watched()
        ctx.drawn_from = torch.get_rng_state(), *get_device_states(*inputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs)
        return run(*inputs)

    @staticmethod
    def backward(ctx, *gradients):
        watch = saved_before_writing() if ctx.watched else saved_unwritten()
        with torch.enable_grad(), watch, generators_kept(ctx.saved_tensors[0].device):
            cpu, devices, states = ctx.drawn_from
            torch.set_rng_state(cpu)
            set_device_states(devices, states, device_type=ctx.saved_tensors[0].device.type)
            inputs = [value.detach().requires_grad_() for value in ctx.saved_tensors]
            outputs = ctx.run(*inputs)
        pairs = zip(outputs, gradients, strict=True)
        wanted = [(y, g) for y, g in pairs if g is not None and y.requires_grad]
        if not wanted:
            return None, *(None for _ in inputs)
        outputs, gradients = zip(*wanted, strict=True)
        return None, *torch.autograd.grad(outputs, inputs, gradients, allow_unused=True)
