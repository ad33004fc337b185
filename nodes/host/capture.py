"""Maps of a real model: what its text-to-image attention looks at, for every family of the table."""

import contextlib
import sys

import comfy.conds
import comfy.ldm.modules.attention
import comfy.model_patcher
import comfy.samplers
from torch import Tensor

from ...steering.maps import MapLayout, ModelLayers, stack_layers, word_maps
from .families import Family, Layer, family_of, grid_of, layers_of, padded
from .gradient import OrdinaryTensors, recomputed, with_forwards


def model_layers(model) -> ModelLayers:
    """What a MODEL has to read. Raises ValueError for one that cannot be read.

    The usual last layer leaves out late ones, which cost much: a UNet is read up to the last layer of its widest level
    (16x16 of SD1.5's 64x64), a transformer in its first half, and a small model of eight layers or fewer whole.
    """
    found = layers_of(model.get_model_object("diffusion_model"))
    return ModelLayers(type(model.model.model_config).__name__, tuple(layer.heads for layer in found), _usual(found))


def _usual(layers: list[Layer]) -> int:
    if len(layers) <= 8:
        return len(layers)
    widths = [getattr(getattr(layer.module, "to_q", None), "in_features", 0) for layer in layers]
    if len(set(widths)) > 1:
        return max(i for i, width in enumerate(widths, 1) if width == max(widths))
    return (len(layers) + 1) // 2


class _Captured(BaseException):
    """Ends a forward pass whose last wanted layer was read. Not an Exception: nobody but us may swallow it."""


ARGUMENTS = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape", "skip_output_reshape")  # fmt: skip


class _Reading:
    """One forward pass: knows which layer runs, and reads the maps of the words out of its attention call."""

    def __init__(self, unet, family: Family, pool: Tensor, layout: MapLayout):
        self.unet, self.family, self.pool, self.layout = unet, family, pool, layout
        self.layer = None  # whose attention call comes next
        self.grid = self.text = None
        self.maps: list[tuple[Tensor, tuple[int, int]]] = []  # of each layer, with its grid
        self.options: dict = {}  # for the pass

    def begin(self, unet, args, kwargs) -> None:
        """The model's forward begins: see its latent and its text."""
        if args[0].ndim == 5 and args[0].shape[2] > 1:
            raise ValueError(f"This latent has {args[0].shape[2]} frames; steering is for pictures, of one frame.")
        # Stable Cascade's text has a name of its own.
        texts = (kwargs.get(name) for name in ("context", "clip_text"))
        self.text = next((text.shape[1] for text in texts if text is not None), 0)
        self.grid = grid_of(self.family, unet, args[0].shape)

    def attend(self, function, *args, **kwargs):
        """In place of the host's attention; function is one of its backends."""
        layer, self.layer = self.layer, None
        if layer is not None:
            self.read(layer, **dict(zip(ARGUMENTS, args, strict=False)), **kwargs)
        # Always the host's own SDPA: other backends have no gradient.
        return comfy.ldm.modules.attention.attention_pytorch(*args, **kwargs)

    def beside(self, replacement):
        """Another pack's attention in the place of a UNet's (IP-Adapter and its kind): reads the text's, asks it."""

        def call(q, k, v, extra_options):
            layer, self.layer = self.layer, None
            if layer is not None:
                self.read(layer, q, k, extra_options["n_heads"], transformer_options=extra_options)
            with OrdinaryTensors():
                return replacement(q, k, v, extra_options)

        return call

    def read(self, layer, q, k, heads, mask=None, skip_reshape=False, **kwargs) -> None:
        if layer < self.layout.first:
            return
        if not skip_reshape:  # (B, rows, H * D)
            q, k = (t.unflatten(-1, (-1, q.shape[-1] // heads)).transpose(1, 2) for t in (q, k))
        options = kwargs.get("transformer_options") or {}
        height, width = options.get("activations_shape", (0, 0, *self.grid))[2:]
        places = self.family.sequence(q.shape[2], k.shape[2], self.text, padded(self.unet, height * width))
        image = slice(places.image, places.image + height * width)
        if mask is not None:
            mask = mask[None] if mask.ndim == 2 else mask  # (rows, columns), as the host takes it
            mask = mask[:, None] if mask.ndim == 3 else mask
            mask = mask[:, :, image] if mask.shape[2] > 1 else mask
        maps = word_maps(q[:, :, image], k, self.pool, places.text, self.layout.softmax, kwargs.get("scale"), mask)
        self.maps.append((maps, (height, width)))
        if layer == self.layout.last:
            raise _Captured

    @contextlib.contextmanager
    def listening(self, layers: dict[int, Layer]):
        """Each of the layers, by number, announces itself; families that ask nobody are made to ask."""
        hooks, bypassed = [], None
        try:
            for number, layer in layers.items():
                # Where another pack replaces the attention, to_q is called and the module is not.
                for module in (layer.module, getattr(layer.module, "to_q", None)):
                    if module is not None:
                        hooks.append(module.register_forward_pre_hook(self._announce(number)))
            if self.family.bypasses:
                bypassed = sys.modules[self.family.bypasses]
                original = bypassed.optimized_attention
                bypassed.optimized_attention = lambda *args, **kwargs: self.attend(original, *args, **kwargs)
            yield
        finally:
            if bypassed:
                bypassed.optimized_attention = original
            for hook in hooks:
                hook.remove()

    def _announce(self, number: int):
        def hook(module, args):
            self.layer = number

        return hook

    def recomputed(self, number: int, layer: Layer):
        """The forward of a layer's block, keeping only what goes in. The layer's maps come out with its outputs."""
        forward = layer.block.forward

        def block(*args, **kwargs):
            maps, self.maps = self.maps, []
            try:
                with self.listening({number: layer}):
                    if layer.module is layer.block:
                        self.layer = number
                    return forward(*args, **kwargs), self.maps
            finally:
                self.maps = maps

        def call(*args, **kwargs):
            outputs, maps = recomputed(block)(*args, **kwargs)
            self.maps += maps
            return outputs

        return call


def _recomputed(reading: _Reading, layers: list[Layer]):
    """Blocks before the last wanted layer's keep only what goes into them until the backward pass."""
    last = layers[reading.layout.last - 1].block
    wanted = enumerate(layers[: reading.layout.last - 1], 1)
    blocks = [(n, layer) for n, layer in wanted if layer.block is not last]
    residual = [m for m in reading.unet.modules() if type(m).__name__ == "ResBlock"]  # of UNets
    return with_forwards(
        [(layer.block, reading.recomputed(number, layer)) for number, layer in blocks]
        + [(block, recomputed(block.forward)) for block in residual]
    )


def _ordinary_cond(cond: dict) -> dict:
    """The same conditioning entry with tensors that autograd can save."""

    def copied(value):
        if isinstance(value, comfy.conds.CONDRegular):
            return value._copy_with(copied(value.cond))
        if isinstance(value, list):
            return [copied(part) for part in value]
        return value.clone() if isinstance(value, Tensor) else value

    return {**cond, "model_conds": {k: copied(v) for k, v in cond["model_conds"].items()}}


@contextlib.contextmanager
def reading(unet, pool: Tensor, layout: MapLayout, model_options: dict, save_memory: bool = False):
    """While a model runs inside, its text-to-image attention is read; the pass ends after the layout's last layer.

        with reading(unet, pool, layout, model_options) as read:
            ...  # one pass with read.options
        read.maps  # a layer's maps and their (height, width), layer by layer

    Raises ValueError when the model did not run all of the layers.
    """
    read, layers = _Reading(unet, family_of(unet), pool, layout), layers_of(unet)
    read.options = _options(model_options, read)
    beginning = unet.register_forward_pre_hook(read.begin, with_kwargs=True)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(_Captured))
            stack.enter_context(read.listening(dict(enumerate(layers, 1))))
            if save_memory:
                stack.enter_context(_recomputed(read, layers))
            yield read
    finally:
        beginning.remove()
    if len(read.maps) != layout.last - layout.first + 1:
        raise ValueError(
            f"The model ran {len(read.maps)} of the text-to-image attention layers {layout.first} to {layout.last}. "
            "Another node probably skips or replaces them; bypass it for steering."
        )


def _options(model_options: dict, read: _Reading) -> dict:
    """The model's options with our attention in the host's place, and nothing that would skip the pass."""
    options = comfy.model_patcher.create_model_options_clone(model_options)
    for name in ("multigpu_clones", "wrappers", "context_handler"):
        options.pop(name, None)
    transformer_options = options.setdefault("transformer_options", {})
    transformer_options.pop("wrappers", None)  # step caches and the like
    transformer_options["optimized_attention_override"] = read.attend
    replaced = transformer_options.get("patches_replace", {})
    if "attn2" in replaced:
        beside = {place: read.beside(other) for place, other in replaced["attn2"].items()}
        transformer_options["patches_replace"] = {**replaced, "attn2": beside}
    return options


def capture(
    model,
    cond: dict,
    x: Tensor,
    sigma: Tensor,
    model_options: dict,
    pool: Tensor,
    layout: MapLayout,
    save_memory: bool = False,
) -> Tensor:
    """Run the model on one conditioning and read the words' maps: (B, words, channels, R, R), differentiable in x.

    model: the host's BaseModel, loaded; cond: one processed conditioning entry; x: latent (B, C, h, w); sigma: (B,);
    pool: `pooling` matrices (1 or B, words, text rows). save_memory: compute blocks again in the backward pass.
    Call inside `differentiable` for gradients.
    """
    with reading(model.diffusion_model, pool, layout, model_options, save_memory) as read:
        comfy.samplers.calc_cond_batch(model, [[_ordinary_cond(cond)]], x, sigma, read.options)
    return stack_layers(read.maps, layout.heads, layout.resolution)
