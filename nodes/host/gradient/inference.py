"""Weights that were made under inference mode: autograd refuses to save them.

Forced by:
- execution.py, PromptExecutor.execute_async: every node, loaders too, runs under `torch.inference_mode()`;
- comfy/ops.py, cast_bias_weight: a quantised weight stays a QuantizedTensor, which has no memory of its own to share;
- comfy/weight_adapter/bypass.py, BypassForwardHook: its LoRA's weights are no parameters of any module;
- comfy/ldm/modules/attention.py, BasicTransformerBlock.forward: "patches_replace" calls code of other packs.

Proven by:
- test_gradient.py::test_bfloat16_all_through_points_the_same_way, test_capture.py::test_nothing_stays_behind_a_capture;
- test_gradient.py::test_quantised_weights_give_the_gradient_of_what_they_stand_for;
- test_chaining.py::test_the_gradient_equals_finite_differences (LoraLoaderBypass);
- test_gradient.py::test_weights_that_nobody_knows_are_made_ordinary_as_they_are_used.
"""

import contextlib

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree


def ordinary(value):
    """The same value with tensors that autograd can save: a weight's memory is shared, not copied."""
    if not isinstance(value, Tensor) or not value.is_inference():
        return value
    if copy := getattr(value, "_copy_with", None):  # quantised; its scales alone are copied
        return copy(qdata=ordinary(vars(value)["_qdata"]))
    if type(value) not in (Tensor, nn.Parameter):
        return value.clone()
    alias = torch.empty(0, dtype=value.dtype, device=value.device)
    alias.set_(value.untyped_storage(), value.storage_offset(), value.size(), value.stride())
    return nn.Parameter(alias, requires_grad=False) if isinstance(value, nn.Parameter) else alias


@contextlib.contextmanager
def ordinary_weights(parts):
    swapped = []
    try:
        for part in parts:
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None and tensor.is_inference():
                        swapped.append((tensors, name, tensor))
                        tensors[name] = ordinary(tensor)
            for adapter in _adapters(part):
                swapped.append((vars(adapter), "weights", adapter.weights))
                adapter.weights = tree.tree_map(ordinary, adapter.weights)
        yield
    finally:
        for tensors, name, tensor in swapped:
            tensors[name] = tensor


class OrdinaryTensors(TorchFunctionMode):
    """For code of others, whose weights nobody knows: every operation gets ordinary tensors."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        args, kwargs = tree.tree_map(ordinary, (args, kwargs or {}))
        return function(*args, **kwargs)


def _adapters(module: nn.Module):
    """LoRA and the like that the host's bypass loaders put around the module's forward."""
    forward = module.__dict__.get("forward")
    while (hook := getattr(forward, "__self__", None)) is not None and hasattr(hook, "adapter"):
        if not isinstance(hook.adapter, nn.Module) and hasattr(hook.adapter, "weights"):
            yield hook.adapter
        forward = hook.original_forward
