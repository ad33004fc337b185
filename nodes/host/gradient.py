"""Gradients through the host's models: inside its inference mode, with its weights wherever they are.

The host makes weights under inference mode, casts or streams them for each use into memory that the next layer uses
again, adds in place, and calls kernels without a gradient. `differentiable` makes all of that exact for one pass and
puts everything back.
"""

import collections
import contextlib
import functools
import weakref

import comfy.model_management
import comfy.ops
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree
from torch.utils._python_dispatch import TorchDispatchMode

try:
    import comfy_kitchen
    from comfy_kitchen.backends.eager import rope as eager_rope
except ImportError:  # the host does without it too
    comfy_kitchen = eager_rope = None


@contextlib.contextmanager
def differentiable(*modules: nn.Module):
    """Autograd through the modules, with respect to what goes in; their weights are constants.

    Take the gradient inside: layers cast their weights once more on the way back. Nothing is kept of a weight.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        _ordinary_weights(modules),
        _constant_weights(modules),
        _kernels_with_gradient(),
        saved_before_writing(),
    ):
        yield


# --- Weights that were made under inference mode ----------------------------------------------------------------------


def ordinary(value):
    """The same value with tensors that autograd can save: a weight's memory is shared, not copied."""
    if not isinstance(value, Tensor) or not value.is_inference():
        return value
    if type(value) not in (Tensor, nn.Parameter):  # quantised
        return value.clone()
    alias = torch.empty(0, dtype=value.dtype, device=value.device)
    alias.set_(value.untyped_storage(), value.storage_offset(), value.size(), value.stride())
    return nn.Parameter(alias, requires_grad=False) if isinstance(value, nn.Parameter) else alias


@contextlib.contextmanager
def _ordinary_weights(modules):
    swapped = []
    try:
        for part in (part for module in modules for part in module.modules()):
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


# --- Weights that are cast, patched or streamed for each use ----------------------------------------------------------


def _constant_weights(modules):
    """Layers of the host's own kinds keep no weight for the backward pass: they fetch it again."""
    parts = (part for module in modules for part in module.modules())
    return with_forwards((part, forward) for part in parts if (forward := _constant_forward(part)))


@contextlib.contextmanager
def with_forwards(replacements):
    """Modules with another forward for a while. replacements: (module, forward)."""
    before = []
    try:
        for module, forward in replacements:
            before.append((module, vars(module).get("forward")))
            module.forward = forward
        yield
    finally:
        for module, forward in reversed(before):
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def _constant_forward(module: nn.Module):
    """The module's forward for a differentiable pass; None where it may stay as it is."""
    if not isinstance(module, comfy.ops.CastWeightBiasOp):
        return None
    plain, backward = module.forward, None
    # Another's forward (the host's bypass LoRA) or way to its weights (GGUF) does more than the weight tells.
    others = "forward" in vars(module) or hasattr(module, "cast_bias_weight")
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


# --- Parts that are computed again in the backward pass ---------------------------------------------------------------


_TENSOR = object()  # the place of a tensor


def recomputed(function):
    """The function, differentiable, keeping only what goes in: its inside is computed once more on the way back.

    Takes and gives any nesting of tensors and other things. It works on copies, so it may change them in place.
    """

    def call(*args, **kwargs):
        given, given_shape = tree.tree_flatten((args, kwargs))
        moving = [i for i, v in enumerate(given) if isinstance(v, Tensor) and v.requires_grad]
        fixed = [None if i in moving else v for i, v in enumerate(given)]
        others, shape = [], None  # what the function gives besides tensors

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
        ctx.run = run
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs)
        return run(*inputs)

    @staticmethod
    def backward(ctx, *gradients):
        with torch.enable_grad(), saved_before_writing():
            inputs = [value.detach().requires_grad_() for value in ctx.saved_tensors]
            outputs = ctx.run(*inputs)
        pairs = zip(outputs, gradients, strict=True)
        wanted = [(y, g) for y, g in pairs if g is not None and y.requires_grad]
        if not wanted:
            return None, *(None for _ in inputs)
        outputs, gradients = zip(*wanted, strict=True)
        return None, *torch.autograd.grad(outputs, inputs, gradients, allow_unused=True)


# --- What the backward pass needs, and what is written over it --------------------------------------------------------


class _Saved:
    """A tensor that autograd saved: the very one, until something writes to its memory; from then on a copy."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Tensor):
        self.tensor = tensor.detach()


class _CopyBeforeWriting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.saved = collections.defaultdict(weakref.WeakSet)  # by storage, which lives as long as they do

    def save(self, tensor: Tensor) -> _Saved:
        saved = _Saved(tensor)
        self.saved[tensor.untyped_storage()._cdata].add(saved)
        return saved

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for index, name in _written(function):
            values = args[index] if index < len(args) else kwargs.get(name)
            for value in values if isinstance(values, list | tuple) else (values,):
                if isinstance(value, Tensor):
                    self._copy(value.untyped_storage()._cdata)
        return function(*args, **kwargs)

    def _copy(self, storage: int) -> None:
        copies = {}
        for saved in self.saved.pop(storage, ()):
            t = saved.tensor
            look = (t.dtype, t.storage_offset(), t.shape, t.stride())
            if look not in copies:
                copies[look] = t.clone()
            saved.tensor = copies[look]


@functools.cache
def _written(operator) -> tuple[tuple[int, str], ...]:
    """The arguments that an operator writes to: place and name."""
    arguments = enumerate(operator._schema.arguments)
    return tuple((i, a.name) for i, a in arguments if a.alias_info and a.alias_info.is_write)


@contextlib.contextmanager
def saved_before_writing():
    """Autograd in spite of writing in place: Flux and its kin add to their residual stream so, and ControlNets' hosts.

    As torch.autograd.graph.allow_mutation_on_saved_tensors, but that one (torch 2.11) knows a saved tensor by its
    address, and gives an old tensor's copy to a new one that happens to lie where the old one lay: a wrong gradient,
    now and then, without an error.
    """
    mode = _CopyBeforeWriting()
    with torch.autograd.graph.saved_tensors_hooks(mode.save, lambda saved: saved.tensor), mode:
        yield


# --- Kernels without a gradient ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _kernels_with_gradient():
    """The host's plain torch in place of its kernels: told that it trains, it takes it in most places; in the others
    (Cosmos, Anima, ERNIE, JoyImage) the rotary kernels' own plain versions, of the same names, stand in for them."""
    kernels = {
        name: getattr(comfy_kitchen, name)
        for name in dir(eager_rope)
        if "rope" in name and hasattr(comfy_kitchen, name)
    }
    training = comfy.model_management.in_training
    try:
        comfy.model_management.in_training = True
        for name in kernels:
            setattr(comfy_kitchen, name, _own_scales(getattr(eager_rope, name)))
        yield
    finally:
        comfy.model_management.in_training = training
        for name, kernel in kernels.items():
            setattr(comfy_kitchen, name, kernel)


def _own_scales(kernel):
    """A norm's scale that is fused into a kernel is fetched outside it, into memory that is soon used again."""

    def call(*args, **kwargs):
        args = (v.clone() if isinstance(v, Tensor) and v.ndim == 1 else v for v in args)
        return kernel(*args, **kwargs)

    return call
