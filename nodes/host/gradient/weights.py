"""Weights that are cast, patched or streamed for each use: none is kept for the way back, each is fetched once more.

Forced by:
- comfy/ops.py, cast_bias_weight: a layer's weight is a new one for each use, cast, patched by LoRA, or moved into a
  buffer (comfy/model_management.py, get_cast_buffer) that later layers' weights are written to. Kept, it would cost
  the model's size once more, or be another layer's weight by the time it is needed;
- comfy/weight_adapter/bypass.py, BypassForwardHook.inject, and ComfyUI-GGUF's layers, which have a cast_bias_weight of
  their own: what they do to x is not told by the weight, so they are computed again whole.

Proven by:
- test_gradient.py::test_streamed_weights_give_the_exact_gradient, ::test_no_weight_is_kept_for_the_backward_pass;
- test_chaining.py::test_the_gradient_equals_finite_differences (LoraLoaderBypass),
  test_gradient.py::test_layers_that_fetch_their_own_weights_are_asked_for_them.
"""

import contextlib

import comfy.ops
import torch
from torch import Tensor, nn

from .recompute import recomputed


def constant_weights(parts):
    """Layers of the host's own kinds keep no weight for the backward pass: they fetch it again."""
    return with_forwards((part, forward) for part in parts if (forward := _constant_forward(part)))


@contextlib.contextmanager
def with_forwards(replacements):
    """Modules with another forward for a while. replacements: (module, forward)."""
    before = []
    try:
        for module, forward in replacements:
            before.append((module, vars(module).get("forward")))
            vars(module)["forward"] = forward  # as nn.Module sets it, which would try all else before
        yield
    finally:
        for module, forward in reversed(before):
            if forward is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = forward


def _constant_forward(module: nn.Module):
    """The module's forward for a differentiable pass; None where it may stay as it is."""
    if not isinstance(module, comfy.ops.CastWeightBiasOp):
        return None
    plain, backward = module.forward, None
    # Another's forward (the host's bypass LoRA) or way to its weights (GGUF) does more than the weight tells.
    others = "forward" in vars(module) or hasattr(module, "cast_bias_weight")
    others = others or getattr(module, "pre_quant_scale", None) is not None  # its input is scaled (NVFP4-AWQ)
    if not others:
        if type(module).__name__ == "Linear":
            backward = _linear_backward
        elif isinstance(module, nn.modules.conv._ConvNd) and _simple(module):
            backward = _convolution_backward
    if not (backward or others or module.comfy_cast_weights):
        return None

    def forward(x, *args, **kwargs):
        if not (isinstance(x, Tensor) and x.requires_grad and torch.is_grad_enabled()):
            return plain(x, *args, **kwargs)
        if backward and not args and not kwargs:
            return _ConstantWeight.apply(x, module, plain, backward)
        return recomputed(plain)(x, *args, **kwargs)

    return forward


def _simple(convolution) -> bool:
    return (
        not convolution.transposed and convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
    )


class _ConstantWeight(torch.autograd.Function):
    """y = module(x). Saves nothing: the gradient with respect to x needs the weight alone."""

    @staticmethod
    def forward(ctx, x, module, plain, backward):
        ctx.module, ctx.shape, ctx.dtype, ctx.rule = module, x.shape, x.dtype, backward
        y = plain(x)
        return y.clone() if y._is_view() else y  # what follows may add to it in place

    @staticmethod
    def backward(ctx, gradient):
        weight, bias, stream = comfy.ops.cast_bias_weight(
            ctx.module,
            dtype=ctx.dtype,
            bias_dtype=ctx.dtype,
            device=gradient.device,
            offloadable=True,
        )
        constant = weight.dequantize() if hasattr(weight, "_qdata") else weight
        x_gradient = ctx.rule(ctx.module, gradient, constant.to(gradient.dtype), ctx.shape)
        comfy.ops.uncast_bias_weight(ctx.module, weight, bias, stream)
        return x_gradient, None, None, None


def _linear_backward(module, gradient, weight, shape):
    return gradient @ weight


def _convolution_backward(module, gradient, weight, shape):
    return torch.ops.aten.convolution_backward(
        gradient, gradient.new_zeros(1).expand(shape), weight, None, module.stride, module.padding, module.dilation,
        False, [0] * (gradient.ndim - 2), module.groups, [True, False, False],
    )[0]  # fmt: skip
