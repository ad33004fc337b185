"""What autograd saved for the backward pass is copied before it is written over, or the way back ends in an error.

Either way it is held apart from the graph that it came from: in `x += f(x)` the graph would else hold itself, for ever,
where no way back is taken, or it ends early. One look's whole graph then stayed with every picture.

Forced by:
- comfy/ldm/flux/layers.py, DoubleStreamBlock.forward and SingleStreamBlock.forward: `img += ...`, `x += ...`;
- comfy/ldm/modules/diffusionmodules/openaimodel.py, apply_control: `h += ctrl`.

Proven by:
- test_gradient.py::test_weights_in_few_bits_give_the_exact_gradient (Flux);
- test_chaining.py::test_the_gradient_equals_finite_differences (ControlNet, two ControlNets);
- test_gradient.py::test_a_saved_tensor_is_not_mistaken_for_one_that_lay_where_it_lies;
- ::test_nothing_stays_of_a_look_without_a_way_back.
"""

import collections
import contextlib
import functools
import weakref

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack


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


def watched() -> bool:
    """Whether we are inside `saved_before_writing`, on the way back too: autograd's own threads inherit it."""
    return any(isinstance(mode, _CopyBeforeWriting) for mode in _get_current_dispatch_mode_stack())


class WrittenOver(RuntimeError):
    """A saved tensor was written over where nothing was copied before."""


@contextlib.contextmanager
def saved_unwritten():
    """Autograd as it is, but for what is saved: it is known by its version, which writing changes, and the way back
    raises WrittenOver."""
    with torch.autograd.graph.saved_tensors_hooks(_with_version, _of_version):
        yield


def _with_version(tensor: Tensor) -> tuple[Tensor, int]:
    return tensor.detach(), tensor._version


def _of_version(saved: tuple[Tensor, int]) -> Tensor:
    tensor, version = saved
    if tensor._version != version:
        raise WrittenOver("What the gradient needs was written over.")
    return tensor


@contextlib.contextmanager
def saved_before_writing():
    """Autograd in spite of writing in place: Flux and its kin add to their residual stream so, and ControlNets' hosts.

    As torch.autograd.graph.allow_mutation_on_saved_tensors, but that one (torch 2.11) knows a saved tensor by its
    address, and gives an old tensor's copy to a new one that happens to lie where the old one lay: a wrong gradient,
    now and then, without an error. Inside another of these there is nothing more to do.
    """
    if watched():
        yield
        return
    mode = _CopyBeforeWriting()
    with torch.autograd.graph.saved_tensors_hooks(mode.save, lambda saved: saved.tensor), mode:
        yield
