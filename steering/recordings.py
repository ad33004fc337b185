"""Recordings: the maps of looks at scenes, on disk and in memory, with where the named things are.

A folder of shards, safetensors files that are numbered and there whole or not at all.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .maps import MapLayout

FORMAT = "learn-to-steer recordings 1"
TENSORS = ("maps", "strength", "boxes", "look", "level", "true", "scene")


@dataclass(frozen=True)
class Recording:
    """Looks at scenes: of each one word after another, in the order of its prompt's chain.

    layout: of the maps; maps: (words, channels, R, R), half precision, the mean of each made 1 (`maps.shapes`);
    strength: (words, channels), float32, the means that they had; boxes: (words, 4), left, top, right, bottom of each
    word's thing, as shares of the picture's width and height; names: of each word; look: (words,), which look it is of;
    level, true, scene: (looks,), as in dataset.Look; made: how, a sentence each, for the card of what is learnt.
    """

    layout: MapLayout
    maps: Tensor
    strength: Tensor
    boxes: Tensor
    names: tuple[str, ...]
    look: Tensor
    level: Tensor
    true: Tensor
    scene: Tensor
    made: tuple[str, ...]


@dataclass(frozen=True)
class Recordings:
    """A folder of shards: what is in it, known without reading the maps.

    counts: of "looks", "words", and "true", the looks under true prompts; left_out: how many, by why, for people;
    settings: how all shards were recorded, in JSON's types.
    """

    folder: Path
    layout: MapLayout
    counts: dict[str, int]
    left_out: dict[str, int]
    settings: dict[str, Any]
    made: tuple[str, ...]

    def load(self) -> Recording:
        """All shards as one. Raises ValueError, naming the file, for one that is damaged."""
        return together(list(self.parts()))

    def parts(self) -> Iterator[Recording]:
        """The shards, one after another; raises as load does."""
        return map(_shard, shards(self.folder))


def together(parts: Sequence[Recording]) -> Recording:
    """Recordings of one layout as one, look after look."""
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in TENSORS}
    befores = [0, *accumulate(len(part.level) for part in parts)]
    joined["look"] = torch.cat([part.look + before for part, before in zip(parts, befores, strict=False)])
    names = tuple(name for part in parts for name in part.names)
    return Recording(layout=parts[0].layout, names=names, made=parts[0].made, **joined)


def shards(folder: Path) -> list[Path]:
    """The folder's finished shards in their order; what was being written when a run ended is none."""
    return sorted(folder.glob("[0-9]*.safetensors"))


def shard(folder: Path, number: int) -> Path:
    """Where the shard of this number is, or will be."""
    return folder / f"{number:05}.safetensors"


def save(recording: Recording, settings: Mapping[str, Any], left_out: Mapping[str, int], path: Path) -> None:
    """Write a shard; there whole or not at all. settings, left_out: as in Recordings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = {"looks": len(recording.level), "words": len(recording.maps), "true": int(recording.true.sum())}
    about = {
        "layout": asdict(recording.layout),
        "names": recording.names,
        "made": recording.made,
        "settings": settings,
        "left_out": left_out,
        "counts": counts,
    }
    # One entry: safetensors writes several in any order, and the same recording is the same bytes.
    metadata = {FORMAT: json.dumps(about)}
    unfinished = path.with_name(path.name + ".part")
    save_file({name: getattr(recording, name).contiguous() for name in TENSORS}, unfinished, metadata)
    os.replace(unfinished, path)


def opened(folder: Path) -> Recordings:
    """The folder's recordings. Raises ValueError, naming what is meant, when there are none, when a shard is damaged,
    or when shards are there that were recorded otherwise."""
    found = shards(folder)
    if not found:
        raise ValueError(f'There are no recordings in "{folder}". Run Record Maps, or choose another folder.')
    abouts = [_about(path) for path in found]
    for path, one in zip(found, abouts, strict=True):
        if any(one[key] != abouts[0][key] for key in ("layout", "settings", "made")):
            raise ValueError(
                f'"{found[0].name}" and "{path.name}" in "{folder}" were recorded with other settings, so they are no '
                "one recording. Keep the shards of one Record Maps in a folder, and no others."
            )
    return Recordings(
        folder,
        MapLayout(**abouts[0]["layout"]),
        _summed([one["counts"] for one in abouts]),
        _summed([one["left_out"] for one in abouts]),
        abouts[0]["settings"],
        tuple(abouts[0]["made"]),
    )


def _summed(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for name, number in one.items():
            total[name] = total.get(name, 0) + number
    return total


def _shard(path: Path) -> Recording:
    about = _about(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in TENSORS}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    layout = MapLayout(**about["layout"])
    return Recording(layout=layout, names=tuple(about["names"]), made=tuple(about["made"]), **tensors)


def _about(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if FORMAT not in metadata:
        raise ValueError(f'"{path}" is no recording of this pack. Take it out of the folder, or choose another folder.')
    return json.loads(metadata[FORMAT])


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f'The recording "{path}" is damaged ({error}). Delete it and run Record Maps again.')
