"""The part of the picture in which a prompt acts: only there its maps are read, and only there the latent is moved.

ConditioningSetMask ("default") lets the model see the whole picture and takes its answer inside the mask. With an area
the model sees nothing but the area, and there is nothing to do here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def region_of(cond: dict) -> Tensor | None:
    """Where a processed conditioning entry acts, (h, w) of the latent, 0 or 1; None: everywhere, or in an area."""
    mask = cond.get("mask")
    if mask is None or cond.get("area") is not None:
        return None
    mask = mask.abs().reshape(-1, *mask.shape[-2:]).amax(0)
    inside = mask > 0.5 * mask.max()
    return None if inside.all() or not inside.any() else inside.float()


def within(latent: Tensor, around: Tensor, region: Tensor | None) -> Tensor:
    """The latent inside the region, and what lies around it outside, where it cannot be moved."""
    return latent if region is None else latent * region + around * (1 - region)


def maps_within(maps: Tensor, region: Tensor | None) -> Tensor:
    """Maps (B, words, channels, R, R) with nothing outside the region."""
    return maps if region is None else maps * _on_cells(region, maps.shape[-1])


def cropped(maps: Tensor, region: Tensor | None) -> Tensor:
    """Such maps of the region's bounding box alone, stretched to (R, R): as they are of an area."""
    if region is None:
        return maps
    cells = _on_cells(region, maps.shape[-1]) > 0
    rows, columns = (torch.where(cells.any(axis))[0] for axis in (1, 0))
    box = maps[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    stretched = F.interpolate(box.flatten(0, 2)[:, None], maps.shape[-2:], mode="bilinear")
    return stretched.view(maps.shape)


def _on_cells(region: Tensor, side: int) -> Tensor:
    return F.interpolate(region[None, None], (side, side), mode="area")[0, 0]
