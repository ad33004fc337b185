"""The attention calls of a forward pass: those of text-to-image layers are shown to a reader, and all are answered.

A layer announces itself when it begins, and the next call that is about text and picture is its own: newer families
have calls about the text alone, or about reference pictures, before it. Calls come here in three ways. Most attention
of the host asks the override in the model's options (comfy/ldm/modules/attention.py, wrap_attn). That of a few families
asks nobody: the name by which their module calls it is replaced. And where another pack has put its own in a UNet's
place (BasicTransformerBlock.forward there), the reader is shown what that one is given.
"""

import contextlib
import functools
import sys
from collections.abc import Callable

import comfy.cli_args
import comfy.ldm.modules.attention
import comfy.model_patcher
from torch import Tensor

from .families import Family, Layer, parts_of
from .gradient import OrdinaryTensors

# What the host's attention functions take, in this order.
ARGUMENTS = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape", "skip_output_reshape")


class AttentionCalls:
    """Of one forward pass. read: read(number of the layer, q=, k=, heads=, ...) with the host's own arguments; it says
    False to a call that is not the layer's."""

    def __init__(self, family: Family, read: Callable[..., bool | None]):
        self.family, self.read = family, read
        self.next: int | None = None  # the layer whose call comes next

    def options(self, model_options: dict) -> dict:
        """The model's options with calls led here, and without what would skip the pass."""
        options = comfy.model_patcher.create_model_options_clone(model_options)
        for name in ("multigpu_clones", "wrappers", "context_handler"):
            options.pop(name, None)
        transformer_options = options.setdefault("transformer_options", {})
        transformer_options.pop("wrappers", None)  # step caches and the like
        self.lead(transformer_options)
        replaced = transformer_options.get("patches_replace", {})
        if "attn2" in replaced:
            beside = {place: self._beside(other) for place, other in replaced["attn2"].items()}
            transformer_options["patches_replace"] = {**replaced, "attn2": beside}
        return options

    def lead(self, transformer_options: dict) -> None:
        """Lead calls here. Once more when the forward begins, for what was set in between: by other packs before each
        pass (Block Sparse Attention), and by newer hosts."""
        transformer_options["optimized_attention_override"] = self._answer
        transformer_options["prefetch_dynamic_vbars"] = False  # blocks fetched ahead would stay after an early end
        transformer_options["qwen_image21_cache"] = {"device": "off"}  # of what its blocks made of the text

    @contextlib.contextmanager
    def heard(self, layers: dict[int, Layer]):
        """For a while these layers, by number, announce themselves, and a family that asks nobody asks us."""
        with contextlib.ExitStack() as stack:
            for number, layer in layers.items():
                # Where another pack replaces the attention, to_q is called and the module is not.
                for module in (layer.module, getattr(layer.module, "to_q", None)):
                    if module is not None:
                        announce = functools.partial(self.announce, number)
                        stack.enter_context(module.register_forward_pre_hook(announce))
            if self.family.bypasses:
                stack.enter_context(self._asked_by(sys.modules[self.family.bypasses]))
            yield

    def announce(self, number: int, *_) -> None:
        """This layer's attention call comes next. As a hook it is told of the module and its arguments too."""
        self.next = number

    @contextlib.contextmanager
    def _asked_by(self, module):
        attention = module.optimized_attention
        module.optimized_attention = functools.partial(self._answer, attention)
        try:
            yield
        finally:
            module.optimized_attention = attention

    def _answer(self, function, *args, **kwargs):
        """In place of the host's attention; function: the one of its backends that was called."""
        args, kwargs = plain(args, kwargs)
        self._show(**dict(zip(ARGUMENTS, args, strict=False)), **kwargs)
        # Always the host's own SDPA: other backends have no gradient.
        return comfy.ldm.modules.attention.attention_pytorch(*args, **kwargs)

    def _beside(self, other):
        """Another pack's attention in the place of a UNet's (IP-Adapter and its kind), shown to the reader first."""

        def call(q, k, v, extra_options):
            self._show(q=q, k=k, heads=extra_options["n_heads"], transformer_options=extra_options)
            with OrdinaryTensors():
                return other(q, k, v, extra_options)

        return call

    def _show(self, **call) -> None:
        number, self.next = self.next, None  # any further call until the next layer is not its text-to-image one
        if number is not None and self.read(number, **call) is False:
            self.next = number


def plain(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """An attention call's arguments without what newer hosts put in: boxes, each of which gives its tensor away once,
    and the kernel that the checkpoint asks for."""

    def unboxed(value):
        return value.take() if hasattr(value, "take") and not isinstance(value, Tensor) else value

    args = tuple(map(unboxed, args))
    return args, {name: unboxed(value) for name, value in kwargs.items() if name != "preferred_attention"}


@contextlib.contextmanager
def nothing_ahead(unet):
    """What newer hosts do around a model's blocks rests for a while: kernels without a gradient that a checkpoint asks
    for, and the compiler, which a pass that ends early would leave in its middle."""
    asked = [(part, part.function) for part in parts_of(unet) if type(part).__name__ == "ComfyAttention"]
    arguments, name = comfy.cli_args.args, "disable_comfy_compiler"
    compiler = getattr(arguments, name, None)
    try:
        for part, _ in asked:
            part.function = None
        if compiler is not None:
            setattr(arguments, name, True)
        yield
    finally:
        for part, function in asked:
            part.function = function
        if compiler is not None:
            setattr(arguments, name, compiler)
