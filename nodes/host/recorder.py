"""Maps of looks at scenes: scenes are encoded, made noisy, and read under the looks' prompts, many in one pass."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import comfy.sample
import numpy as np
import torch
from torch import Tensor

from ...steering.dataset import Look, Scene, Scenes, looks
from ...steering.maps import MapLayout, noise_level, pooling, shapes
from ...steering.recordings import Recording, Recordings, opened, save, shard, shards
from .finished import finished_maps
from .noise import sigma_at, signal_and_noise
from .words import find_words


@dataclass(frozen=True)
class Wanted:
    """What to record of every scene. looks, wrong, levels, seed: as in dataset.looks; batch: looks in one pass."""

    looks: int = 3
    wrong: float = 0.5
    levels: tuple[float, float] = (0.05, 0.95)
    seed: int = 0
    batch: int = 16


SHARD = 256  # looks, or a little fewer: what is lost when a run is stopped


def record_into(
    folder: Path,
    model,
    clip,
    vae,
    scenes: Scenes,
    layout: MapLayout,
    wanted: Wanted,
    most: float = math.inf,
    tell: Callable[[int], None] | None = None,
) -> Recordings:
    """Record all scenes, shard by shard, each written whole or not at all; shards that are there are not made again, so
    that a stopped run goes on where it was.

    most: bytes of all shards, after which no more is recorded; tell: hears how many scenes are done, and may raise to
    stop. Raises ValueError when the folder holds what was recorded otherwise, and as `record` does.
    """
    settings = {
        "scenes": scenes.key, "layout": str(layout), "looks": wanted.looks, "wrong": wanted.wrong,
        "least noise": wanted.levels[0], "most noise": wanted.levels[1], "seed": wanted.seed,
    }  # fmt: skip
    if shards(folder):
        _same(opened(folder).settings, settings, folder)
    scenes_a_shard = max(1, SHARD // wanted.looks)
    for number, first in enumerate(range(0, scenes.count, scenes_a_shard)):
        if not (path := shard(folder, number)).exists():
            if sum(one.stat().st_size for one in shards(folder)) >= most:
                break
            numbers = range(first, min(first + scenes_a_shard, scenes.count))
            recording, left_out = record(model, clip, vae, scenes, numbers, layout, wanted)
            save(recording, settings, left_out, path)
        if tell:
            tell(min(first + scenes_a_shard, scenes.count))
    return opened(folder)


def _same(there: dict, settings: dict, folder: Path) -> None:
    for name, value in settings.items():
        if there.get(name) != value:
            was = "other scenes" if name == "scenes" else f"{name} {there.get(name)}"
            now = "these" if name == "scenes" else f"{value}"
            raise ValueError(
                f'In "{folder}" lie recordings of {was}, not {now}. Choose another folder, or delete that one to '
                "record anew."
            )


@dataclass(frozen=True)
class _Ready:
    """A look with all that its pass needs. rows: of each thing's word; text: its conditioning, (1, rows, width) and
    what belongs to it; size: of its picture, (width, height)."""

    look: Look
    latent: Tensor
    rows: tuple[tuple[int, ...], ...]
    text: tuple[Tensor, dict]
    size: tuple[int, int]

    @property
    def kind(self) -> tuple:
        """Looks of one kind can share a pass."""
        tensor, more = self.text
        return self.latent.shape, tensor.shape, tuple((k, getattr(v, "shape", v)) for k, v in sorted(more.items()))


def record(
    model, clip, vae, scenes: Scenes, numbers: Iterable[int], layout: MapLayout, wanted: Wanted
) -> tuple[Recording, Counter]:
    """The looks at the scenes of these numbers, in their order, and how many scenes or looks were left out, by why. One
    pass a batch of looks, through the host's own sampling code; nothing is sampled.

    Raises ValueError for what no scene can help: a model or text encoder that cannot be read.
    """
    left_out: Counter = Counter()
    read: list[tuple[_Ready, Tensor]] = []
    ready = list(_ready(clip, vae, scenes, numbers, wanted, left_out))
    for _, alike in groupby(sorted(ready, key=lambda one: str(one.kind)), key=lambda one: str(one.kind)):
        group = list(alike)
        for start in range(0, len(group), wanted.batch):
            read += _pass(model, group[start : start + wanted.batch], layout)
    order = {id(one): place for place, one in enumerate(ready)}
    read.sort(key=lambda one: order[id(one[0])])
    return _recording(model, read, layout, scenes.made), left_out


def _ready(clip, vae, scenes: Scenes, numbers, wanted: Wanted, left_out: Counter) -> Iterator[_Ready]:
    encoded = cache(lambda text: clip.encode_from_tokens_scheduled(clip.tokenize(text)))
    for number in numbers:
        scene: Scene = scenes.at(number)
        seen = list(looks(scene, number, wanted.looks, wanted.wrong, wanted.levels, wanted.seed))
        if not seen:
            left_out["scenes without two things in a clear relation"] += 1
            continue
        pixels = torch.from_numpy(np.array(scene.picture.convert("RGB"))).float() / 255
        latent = vae.encode(pixels[None])
        for look in seen:
            words = find_words(clip, look.prompt, look.wishes)
            chain = [words.pairs[0][0], *(pair[1] for pair in words.pairs)]
            conditioning = encoded(look.prompt)
            if len(conditioning) > 1:
                left_out["looks whose text encoder gives several conditionings a prompt"] += 1
                continue
            tensor, more = conditioning[0]
            yield _Ready(look, latent, tuple(words.rows[word] for word in chain), (tensor, more), scene.picture.size)


def _pass(model, ready: list[_Ready], layout: MapLayout) -> list[tuple[_Ready, Tensor]]:
    """The looks with their maps, (words, channels, R, R) each."""
    words = max(len(one.rows) for one in ready)
    columns = 1 + max(row for one in ready for word in one.rows for row in word)
    # A chain that is shorter than others in the batch has its last word read more than once.
    pool = torch.cat([pooling([*one.rows, *[one.rows[-1]] * (words - len(one.rows))], columns) for one in ready])
    latent = torch.cat([one.latent for one in ready])
    noise = torch.cat([comfy.sample.prepare_noise(one.latent, one.look.seed) for one in ready])
    sigmas = torch.tensor([sigma_at(model, one.look.level) for one in ready])
    positive = [[torch.cat([one.text[0] for one in ready]), _joined([one.text[1] for one in ready])]]
    maps = finished_maps(model, positive, latent, noise, sigmas, pool, layout).float().cpu()
    return [(one, of_one[: len(one.rows)]) for one, of_one in zip(ready, maps, strict=True)]


def _joined(more: list[dict]) -> dict:
    """What belongs to the conditionings of a batch, tensors one below another."""
    first = more[0]
    return {
        name: torch.cat([one[name] for one in more]) if isinstance(value, Tensor) else value
        for name, value in first.items()
    }


def _recording(model, read: list[tuple[_Ready, Tensor]], layout: MapLayout, made: str) -> Recording:
    counts = torch.tensor([len(maps) for _, maps in read], dtype=torch.long)
    none = torch.zeros(0, layout.channels, layout.resolution, layout.resolution)
    maps = torch.cat([none, *(maps for _, maps in read)])
    boxes = [
        [edge / size[at % 2] for at, edge in enumerate(thing.box)]
        for one, _ in read
        for size in [one.size]
        for thing in one.look.things
    ]
    levels = [noise_level(*signal_and_noise(model.model, sigma_at(model, one.look.level))) for one, _ in read]
    return Recording(
        layout=layout,
        maps=shapes(maps).half(),
        strength=maps.mean((-1, -2)),
        boxes=torch.tensor(boxes).reshape(-1, 4),
        names=tuple(thing.name for one, _ in read for thing in one.look.things),
        look=torch.arange(len(read)).repeat_interleave(counts),
        level=torch.tensor(levels),
        true=torch.tensor([one.look.true for one, _ in read], dtype=torch.bool),
        scene=torch.tensor([one.look.scene for one, _ in read], dtype=torch.long),
        made=(made,),
    )
