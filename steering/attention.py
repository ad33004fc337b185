"""From the queries and keys of text-to-image attention to maps: how strongly each word acts at each place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class MapLayout:
    """What maps look like; a classifier works only on the layout that it was trained on.

    family: the model's name; first, last: the text-to-image attention layers used, counted from 1 in the order of the
    forward pass; heads: "averaged", or "kept" as maps of their own; channels: maps per word; resolution: cells along
    each side of every map; softmax: over the "text" columns, as in the paper, or over the "whole" row of the attention.
    """

    family: str
    first: int
    last: int
    heads: str
    channels: int
    resolution: int
    softmax: str = "text"

    def __str__(self) -> str:
        size = f"{self.channels} maps a word at {self.resolution}x{self.resolution}"
        layers = f"layers {self.first} to {self.last}, heads {self.heads}"
        return f"{self.family}, {layers}, {size}, softmax over the {self.softmax}"


def pooling(words: Sequence[Sequence[int]], columns: int | None = None) -> Tensor:
    """The mean over each word's tokens as a matrix (1, words, columns); columns: as many as needed, or given.

    Raises ValueError when a token lies beyond.
    """
    last = max(map(max, words))
    columns = last + 1 if columns is None else columns
    if last >= columns:
        raise _beyond(last, columns)
    matrix = torch.zeros(1, len(words), columns)
    for row, tokens in enumerate(words):
        matrix[0, row, list(tokens)] = 1 / len(tokens)
    return matrix


def _beyond(position: int, columns: int) -> ValueError:
    return ValueError(
        f"Token position {position} is beyond the conditioning, whose positions are 0 to {columns - 1}. Connect what "
        "Relation Parse made of the prompt, or give lower positions by hand."
    )


def word_maps(
    q: Tensor,
    k: Tensor,
    words: Tensor,
    text: tuple[int, int] | None = None,
    softmax: str = "text",
    scale: float | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Attention of every image row to every word, the mean over the word's tokens. (Learn-to-Steer, section 3.)

    q: (B, H, rows, D), the image rows of the queries; k: (B, H or fewer, columns, D); words: `pooling` matrices (1 or
    B, words, text columns or fewer); text: first and last + 1 of the text columns, all of them when not given; softmax:
    as in MapLayout; mask: as scaled_dot_product_attention takes it. Returns (B, H, words, rows), at least float32.
    Raises ValueError when a word lies beyond the text columns.

    The words' matrix takes the place of the values, so no attention matrix is ever made, forward or backward.
    """
    start, end = text or (0, k.shape[2])
    if words.shape[-1] > end - start:
        raise _beyond(words.shape[-1] - 1, end - start)
    if softmax == "text":
        k, mask = k[:, :, start:end], None if mask is None else mask[..., start:end]
        start = 0
    dtype = torch.promote_types(q.dtype, torch.float32)
    q, k = q.to(dtype), k.to(dtype)
    if k.shape[1] != q.shape[1]:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    count, width = (
        words.shape[1],
        max(words.shape[1], q.shape[-1]),
    )  # the fast kernels want one width
    values = q.new_zeros(len(words), 1, k.shape[2], width)
    values[:, 0, start : start + words.shape[-1], :count] = words.transpose(-1, -2)
    values = values.expand(len(q), q.shape[1], -1, -1)
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(dtype)
    maps = F.scaled_dot_product_attention(q, k, values, attn_mask=mask, scale=scale)
    return maps[..., :count].transpose(-1, -2)


def stack_layers(
    layers: Sequence[tuple[Tensor, tuple[int, int]]], heads: str, resolution: int
) -> Tensor:
    """Bring the maps of all layers to one size and one mean.

    layers: (B, heads, words, rows) with (height, width), rows == height * width, in the order of the forward pass.
    Returns (B, words, channels, resolution, resolution); every map's mean is 1: only *where* is left.
    """
    stacked = []
    for maps, (height, width) in layers:
        if heads == "averaged":
            maps = maps.mean(1, keepdim=True)
        maps = maps.unflatten(-1, (height, width)).flatten(0, 2)[
            :, None
        ]  # (B * H * words, 1, h, w)
        if (height, width) != (resolution, resolution):
            shrink = height * width > resolution**2
            maps = F.interpolate(
                maps, (resolution, resolution), mode="area" if shrink else "bilinear"
            )
        maps = maps / maps.mean((-1, -2), keepdim=True).clamp_min(1e-12)
        stacked.append(
            maps.view(layers[0][0].shape[0], -1, layers[0][0].shape[2], resolution, resolution)
        )
    return torch.cat(stacked, 1).transpose(1, 2)  # (B, words, channels, R, R)


def noise_level(signal: float, noise: float) -> float:
    """One number for "how noisy" that means the same for every family: 0 clean, 1 pure noise.

    signal, noise: standard deviations of the picture's part and the noise's part of the latent.
    The angle between them, as a share of a right angle.
    """
    return math.atan2(noise, signal) / (math.pi / 2)
