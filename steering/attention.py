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
    each side of every map.
    """

    family: str
    first: int
    last: int
    heads: str
    channels: int
    resolution: int

    def __str__(self) -> str:
        size = f"{self.channels} maps a word at {self.resolution}x{self.resolution}"
        return f"{self.family}, layers {self.first} to {self.last}, heads {self.heads}, {size}"


def pooling(words: Sequence[Sequence[int]], columns: int) -> Tensor:
    """The mean over each word's tokens as a matrix (1, words, columns). Raises ValueError when a token lies beyond."""
    last = max(map(max, words))
    if last >= columns:
        raise ValueError(
            f"Token position {last} is beyond the conditioning, whose positions are 0 to {columns - 1}. Connect what "
            "Relation Parse made of the prompt, or give lower positions by hand."
        )
    matrix = torch.zeros(1, len(words), columns)
    for row, tokens in enumerate(words):
        matrix[0, row, list(tokens)] = 1 / len(tokens)
    return matrix


def word_maps(
    q: Tensor, k: Tensor, heads: int, words: Tensor, scale: float | None = None
) -> Tensor:
    """Attention of every image row to every word: softmax over all text columns, then the mean over a word's tokens.

    q: (B, rows, heads * D), k: (B, columns, heads * D) as the attention call has them; words: `pooling` matrices
    (1 or B, words, columns). Returns (B, heads, words, rows) in float32. (Learn-to-Steer, section 3; UNets.)
    """
    batch, rows, width = q.shape
    q = q.float().view(batch, rows, heads, width // heads).transpose(1, 2)  # (B, H, rows, D)
    k = (
        k.float().view(batch, k.shape[1], heads, width // heads).transpose(1, 2)
    )  # (B, H, columns, D)
    attention = (q @ k.transpose(-1, -2) * (scale or (width // heads) ** -0.5)).softmax(
        -1
    )  # (B, H, rows, columns)
    return words.to(attention)[:, None] @ attention.transpose(-1, -2)


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
