"""Maps of a real model: what its text-to-image attention looks at, for every family of the table.

A layer's attention call (attention_calls.py) -> its q and k -> `word_maps` -> a list of maps, layer by layer ->
`stack_layers`.
"""

import contextlib

import comfy.conds
import comfy.samplers
from torch import Tensor

from ...steering.maps import MapLayout, ModelLayers, stack_layers, word_maps
from .attention_calls import AttentionCalls, nothing_ahead
from .families import USUAL_LAYERS, Family, Layer, family_of, layers_of, parts_of
from .gradient import recomputed, with_forwards
from .places import Sequence, latent_of


def model_layers(model) -> ModelLayers:
    """What a MODEL has to read. Raises ValueError for one that cannot be read.

    The usual layers are those that others found good for the family (families.py). Where none are known, late ones are
    left out, which cost much: a UNet is read up to the last layer of its widest level (16x16 of SD1.5's 64x64), a
    transformer in its first half, and a small model of eight layers or fewer whole.
    """
    found = layers_of(model.get_model_object("diffusion_model"))
    name = type(model.model.model_config).__name__
    usual = USUAL_LAYERS.get((name, len(found)), (1, _last(found)))
    return ModelLayers(name, tuple(layer.heads for layer in found), usual)


def _last(layers: list[Layer]) -> int:
    if len(layers) <= 8:
        return len(layers)
    widths = [getattr(getattr(layer.module, "to_q", None), "in_features", 0) for layer in layers]
    if len(set(widths)) > 1:
        return max(i for i, width in enumerate(widths, 1) if width == max(widths))
    return (len(layers) + 1) // 2


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
    # What is computed again holds the reading: were its maps there still, all would hold one another and never go.
    maps, read.maps = read.maps, []
    return stack_layers(maps, layout.heads, layout.resolution, layout.published)


def _ordinary_cond(cond: dict) -> dict:
    """The same conditioning entry with tensors that autograd can save."""

    def copied(value):
        if isinstance(value, comfy.conds.CONDRegular):
            return value._copy_with(copied(value.cond))
        if isinstance(value, list):
            return [copied(part) for part in value]
        return value.clone() if isinstance(value, Tensor) else value

    return {**cond, "model_conds": {k: copied(v) for k, v in cond["model_conds"].items()}}


# --- One pass that is read --------------------------------------------------------------------------------------------


class _Captured(BaseException):
    """Ends a forward pass whose last wanted layer was read. Not an Exception: nobody but us may swallow it."""


@contextlib.contextmanager
def reading(unet, pool: Tensor, layout: MapLayout, model_options: dict, save_memory: bool = False):
    """Reads the layout's layers in the one forward pass of the model that is run inside, with the options it gives.

        with reading(model.diffusion_model, pool, layout, model_options) as read:
            comfy.samplers.calc_cond_batch(model, [[cond]], x, sigma, read.options)
        maps = stack_layers(read.maps, layout.heads, layout.resolution, layout.published)

    The pass ends after the last wanted layer, and with it all that stands inside. Raises ValueError when the model did
    not run all of the layers.
    """
    family, layers = family_of(unet), dict(enumerate(layers_of(unet), 1))
    read = Reading(unet, family, pool, layout)
    calls = AttentionCalls(family, read.attention)
    read.options = calls.options(model_options)

    def begin(unet, args, kwargs):
        read.begin(unet, args, kwargs)
        kwargs["transformer_options"] = dict(kwargs.get("transformer_options", {}))
        calls.lead(kwargs["transformer_options"])
        return args, kwargs

    try:
        with (
            nothing_ahead(unet),
            unet.register_forward_pre_hook(begin, with_kwargs=True),
            calls.heard({n: layer for n, layer in layers.items() if layout.first <= n <= layout.last}),
            _blocks_recomputed(read, calls, layers) if save_memory else contextlib.nullcontext(),
        ):
            yield read
    except _Captured as end:
        # From Python 3.12 on, the frames in it hold it in turn, and with it all that the pass computed.
        end.__traceback__ = None
    except BaseException:
        read.maps = []  # as in capture: memory that ran out must be there for the next try
        raise
    if len(read.maps) != layout.last - layout.first + 1:
        raise ValueError(
            f"The model ran {len(read.maps)} of the text-to-image attention layers {layout.first} to {layout.last}. "
            "Another node probably skips or replaces them; bypass it for steering."
        )


class Reading:
    """One forward pass. options: to run it with; maps: of each layer (B, heads, words, rows), and its (height, width)
    in image tokens, rows == height * width."""

    def __init__(self, unet, family: Family, pool: Tensor, layout: MapLayout):
        self.unet, self.family, self.pool, self.layout = unet, family, pool, layout
        self.options: dict = {}
        self.maps: list[tuple[Tensor, tuple[int, int]]] = []
        self.sequence = Sequence(unet, family)

    def begin(self, unet, args, kwargs) -> None:
        """The model's forward begins: see its latent and its text."""
        latent = latent_of(args)
        if latent.ndim == 5 and latent.shape[2] > 1:
            raise ValueError(f"This latent has {latent.shape[2]} frames; steering is for pictures, of one frame.")
        if self.family.refuses(kwargs):
            raise ValueError(
                "This model was given reference pictures, which here cannot be told from the picture that is made, so "
                "it cannot be steered. Bypass the node that gives them, or do not steer this run."
            )
        self.sequence.begin(latent, kwargs)

    def attention(
        self, number, q, k, heads, mask=None, skip_reshape=False, scale=None, transformer_options=None, **_
    ) -> bool:
        """Read a layer's attention call, whose arguments are the host's; False when it is another. q, k: (B, rows,
        H * D), or reshaped already: (B, H, rows, D)."""
        if number < self.layout.first:
            return True
        if not skip_reshape:
            q, k = (t.unflatten(-1, (-1, q.shape[-1] // heads)).transpose(1, 2) for t in (q, k))
        height, width = size = self.sequence.size(transformer_options)
        places = self.sequence.places(q.shape[2], k.shape[2], size)
        if places is None:
            return False
        image = slice(places.image, places.image + height * width)
        mask = _rows_of(mask, image)
        maps = word_maps(q[:, :, image], k, self.pool, places.text, self.layout.softmax, scale, mask)
        self.maps.append((maps, (height, width)))
        if number == self.layout.last:
            raise _Captured
        return True


def _rows_of(mask: Tensor | None, image: slice) -> Tensor | None:
    """The picture's rows (B, H, rows, columns) of the host's mask, which may lack B and H, and have one row for all."""
    if mask is None:
        return None
    mask = mask[None] if mask.ndim == 2 else mask
    mask = mask[:, None] if mask.ndim == 3 else mask
    return mask[:, :, image] if mask.shape[2] > 1 else mask


# --- Less memory: blocks that keep only what goes into them until the backward pass -----------------------------------


def _blocks_recomputed(read: Reading, calls: AttentionCalls, layers: dict[int, Layer]):
    """All blocks before the last wanted layer's, and a UNet's ResBlocks, for a while."""
    last = read.layout.last
    before = ((n, layer) for n, layer in layers.items() if n < last and layer.block is not layers[last].block)
    residual = (m for m in parts_of(read.unet) if type(m).__name__ == "ResBlock")
    return with_forwards(
        [(layer.block, _block_recomputed(read, calls, number, layer)) for number, layer in before]
        + [(block, recomputed(block.forward)) for block in residual]
    )


def _block_recomputed(read: Reading, calls: AttentionCalls, number: int, layer: Layer):
    """The forward of a layer's block. The layer's maps come out with its outputs, so that they too are recomputed."""
    forward = layer.block.forward

    def forward_and_maps(*args, **kwargs):
        earlier, read.maps = read.maps, []
        try:
            with calls.heard({number: layer}):  # on the way back nobody else listens any more
                if layer.module is layer.block:  # which then is not called, only its forward
                    calls.announce(number)
                return forward(*args, **kwargs), read.maps
        finally:
            read.maps = earlier

    def call(*args, **kwargs):
        outputs, maps = recomputed(forward_and_maps)(*args, **kwargs)
        read.maps += maps
        return outputs

    return call
