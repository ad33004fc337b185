"""From the queries and keys of text-to-image attention to maps: how strongly each word acts at each place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

AUTO = "auto"  # a setting that follows the loss
USUAL = {"heads": "averaged", "resolution": 16, "softmax": "text"}  # where a loss takes any maps


@dataclass(frozen=True)
class MapLayout:
    """What maps look like; a trained loss works only on the layout that it was trained on.

    family: the model's name; first, last: the text-to-image attention layers used, counted from 1 in the order of the
    forward pass; heads: "averaged", or "kept" as maps of their own; channels: maps per word; resolution: cells along
    each side of every map; softmax: over the "text" columns, as in the paper, or over the "whole" row of the attention;
    published: stacked as the authors' classifiers want it, see `stack_layers`.
    """

    family: str
    first: int
    last: int
    heads: str
    channels: int
    resolution: int
    softmax: str = "text"
    published: bool = False

    def __str__(self) -> str:
        size = f"{self.channels} maps a word at {self.resolution}x{self.resolution}"
        layers = f"layers {self.first} to {self.last}, heads {self.heads}"
        stacked = ", stacked as published" if self.published else ""
        return f"{self.family}, {layers}, {size}, softmax over the {self.softmax}{stacked}"


@dataclass(frozen=True)
class ModelLayers:
    """A model's text-to-image attention. family: its name; heads: of each layer, in the order of the forward pass;
    usual: the first and the last layer to read, counted from 1, where nobody asks for others."""

    family: str
    heads: tuple[int, ...]
    usual: tuple[int, int]


@dataclass(frozen=True)
class MapSettings:
    """What the user wants of the maps; "auto" (resolution 0) means as the loss wants it.

    layers: "auto", "all", or a range like "2-5"; heads: "averaged" or "kept"; resolution: cells along a side; softmax:
    "text" or "whole".
    """

    layers: str = AUTO
    heads: str = AUTO
    resolution: int = 0
    softmax: str = AUTO

    def layout(self, model: ModelLayers, wanted: MapLayout | None = None) -> MapLayout:
        """The layout for a loss that was trained on `wanted`; None: a loss that takes any.

        Raises ValueError for layers that the model does not have, for a loss of another model, and for a setting made
        by hand that disagrees with the loss.
        """
        if wanted is not None and model.family == wanted.family and wanted.last > len(model.heads):
            layers = f"layers {wanted.first} to {wanted.last}"
            raise ValueError(f"it was trained on {layers}, and this model has {len(model.heads)}.")
        first, last = self._range(len(model.heads), wanted, model.usual)
        heads = self._chosen("heads", wanted)
        counts = model.heads[first - 1 : last]
        channels = len(counts) if heads == "averaged" else sum(counts)
        layout = MapLayout(
            model.family,
            first,
            last,
            heads,
            channels,
            self._chosen("resolution", wanted),
            self._chosen("softmax", wanted),
            wanted is not None and wanted.published,
        )
        if wanted is not None and layout != wanted:
            raise ValueError(self._disagreement(layout, wanted))
        return layout

    def _chosen(self, setting: str, wanted: MapLayout | None):
        value = getattr(self, setting)
        if value not in (AUTO, 0):
            return value
        return USUAL[setting] if wanted is None else getattr(wanted, setting)

    def _range(self, layers: int, wanted: MapLayout | None, usual: tuple[int, int]) -> tuple[int, int]:
        chosen = self.layers.strip()
        if chosen == AUTO:
            return usual if wanted is None else (wanted.first, wanted.last)
        if chosen == "all":
            return 1, layers
        begin, _, end = chosen.partition("-")
        try:
            first, last = int(begin), int(end or begin)
        except ValueError:
            raise ValueError(f'layers is "{self.layers}"; write "auto", "all", or a range like "2-5".') from None
        if not 1 <= first <= last <= layers:
            raise ValueError(f'layers is "{self.layers}"; this model has text-to-image attention layers 1 to {layers}.')
        return first, last

    def _disagreement(self, layout: MapLayout, wanted: MapLayout) -> str:
        if layout.family != wanted.family:
            return f"it was trained on the maps of {wanted}; this model gives {layout}. Choose one for this model."
        for setting, fields, advice in (
            ("layers", ("first", "last"), AUTO),
            ("heads", ("heads",), AUTO),
            ("resolution", ("resolution",), "0"),
            ("softmax", ("softmax",), AUTO),
        ):
            if any(getattr(layout, field) != getattr(wanted, field) for field in fields):
                asked = "-".join(str(getattr(wanted, field)) for field in fields)
                return (
                    f"{setting} is {getattr(self, setting)} in Attention Capture, and it was trained with {asked}. "
                    f"Set {setting} to {advice} there."
                )
        return f"it was trained on {wanted.channels} maps a word, and this model gives {layout.channels}."


def pooling(rows: Sequence[Sequence[int]], columns: int | None = None) -> Tensor:
    """The mean over each word's text rows as a matrix (1, words, columns); columns: as many as needed, or given.

    Raises ValueError when a row lies beyond.
    """
    last = max(map(max, rows))
    columns = last + 1 if columns is None else columns
    if last >= columns:
        raise _beyond(last, columns)
    matrix = torch.zeros(1, len(rows), columns)
    for word, tokens in enumerate(rows):
        matrix[0, word, list(tokens)] = 1 / len(tokens)
    return matrix


def _beyond(position: int, columns: int) -> ValueError:
    return ValueError(
        f"Token position {position} is beyond the conditioning, whose positions are 0 to {columns - 1}. Connect what "
        "Relation Parse made of the prompt, or give lower positions by hand."
    )


def word_maps(
    q: Tensor,
    k: Tensor,
    pool: Tensor,
    text: tuple[int, int] | None = None,
    softmax: str = "text",
    scale: float | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Attention of every image row to every word, the mean over the word's tokens. (Learn-to-Steer, section 3.)

    q: (B, H, rows, D), the image rows of the queries; k: (B, H or fewer, columns, D); pool: `pooling` matrices (1 or
    B, words, text columns or fewer); text: first and last + 1 of the text columns, all of them when not given; softmax:
    as in MapLayout; mask: as scaled_dot_product_attention takes it. Returns (B, H, words, rows), at least float32.
    Raises ValueError when a word lies beyond the text columns.

    The matrix takes the place of the values, so no attention matrix is ever made, forward or backward.
    """
    start, end = text or (0, k.shape[2])
    if pool.shape[-1] > end - start:
        raise _beyond(pool.shape[-1] - 1, end - start)
    if softmax == "text":
        k, mask = k[:, :, start:end], None if mask is None else mask[..., start:end]
        start = 0
    dtype = torch.promote_types(q.dtype, torch.float32)
    q, k = q.to(dtype), k.to(dtype)
    if k.shape[1] != q.shape[1]:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    count, width = (
        pool.shape[1],
        max(pool.shape[1], q.shape[-1]),
    )  # the fast kernels want one width
    values = q.new_zeros(len(pool), 1, k.shape[2], width)
    values[:, 0, start : start + pool.shape[-1], :count] = pool.transpose(-1, -2)
    values = values.expand(len(q), q.shape[1], -1, -1)
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(dtype)
    maps = F.scaled_dot_product_attention(q, k, values, attn_mask=mask, scale=scale)
    return maps[..., :count].transpose(-1, -2)


def stack_layers(
    layers: Sequence[tuple[Tensor, tuple[int, int]]], heads: str, resolution: int, published: bool = False
) -> Tensor:
    """Bring the maps of all layers to one size.

    layers: (B, heads, words, rows) with (height, width), rows == height * width, in the order of the forward pass.
    published: as in the authors' code, smaller layers before larger ones, and shrunk by taking the middle cells
    (bilinear, no antialias) instead of the mean of all. Returns (B, words, channels, resolution, resolution), as strong
    as they were.
    """
    stacked = []
    if published:
        layers = sorted(layers, key=lambda layer: math.prod(layer[1]))
    for maps, (height, width) in layers:
        if heads == "averaged":
            maps = maps.mean(1, keepdim=True)
        batch, _, words, _ = maps.shape
        maps = maps.unflatten(-1, (height, width)).flatten(0, 2)[:, None]  # (B * H * words, 1, h, w)
        if (height, width) != (resolution, resolution):
            shrink = height * width > resolution**2 and not published
            maps = F.interpolate(maps, (resolution, resolution), mode="area" if shrink else "bilinear")
        stacked.append(maps.view(batch, -1, words, resolution, resolution))
    return torch.cat(stacked, 1).transpose(1, 2)  # (B, words, channels, R, R)


def shapes(maps: Tensor) -> Tensor:
    """Maps (..., R, R) with the mean of each made 1: only *where* is left, not how strongly."""
    return maps / maps.mean((-1, -2), keepdim=True).clamp_min(1e-12)


def noise_level(signal: float, noise: float) -> float:
    """One number for "how noisy" that means the same for every family: 0 clean, 1 pure noise.

    signal, noise: standard deviations of the picture's part and the noise's part of the latent.
    The angle between them, as a share of a right angle.
    """
    return math.atan2(noise, signal) / (math.pi / 2)
