"""The attention calls of a forward pass: those of text-to-image layers are shown to a reader, and all are answered.

A layer announces itself when it begins, and the next call is its own. Calls come here in three ways. Most attention of
the host asks the override in the model's options (comfy/ldm/modules/attention.py, wrap_attn). That of a few families
asks nobody: the name by which their module calls it is replaced. And where another pack has put its own in a UNet's
place (BasicTransformerBlock.forward there), the reader is shown what that one is given.
"""

import contextlib
import functools
import sys
from collections.abc import Callable

import comfy.ldm.modules.attention
import comfy.model_patcher

from .families import Family, Layer
from .gradient import OrdinaryTensors

# What the host's attention functions take, in this order.
ARGUMENTS = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape", "skip_output_reshape")


class AttentionCalls:
    """Of one forward pass. read: read(number of the layer, q=, k=, heads=, ...) with the host's own arguments."""

    def __init__(self, family: Family, read: Callable[..., None]):
        self.family, self.read = family, read
        self.next: int | None = None  # the layer whose call comes next

    def options(self, model_options: dict) -> dict:
        """The model's options with calls led here, and without what would skip the pass."""
        options = comfy.model_patcher.create_model_options_clone(model_options)
        for name in ("multigpu_clones", "wrappers", "context_handler"):
            options.pop(name, None)
        transformer_options = options.setdefault("transformer_options", {})
        transformer_options.pop("wrappers", None)  # step caches and the like
        transformer_options["optimized_attention_override"] = self._answer
        replaced = transformer_options.get("patches_replace", {})
        if "attn2" in replaced:
            beside = {place: self._beside(other) for place, other in replaced["attn2"].items()}
            transformer_options["patches_replace"] = {**replaced, "attn2": beside}
        return options

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
        if number is not None:
            self.read(number, **call)
