"""Maps of looks at scenes: scenes are encoded, made noisy, and read under the looks' prompts, many in one pass."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import comfy.conds
import comfy.model_management
import comfy.sample
import comfy.samplers
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...steering.dataset import Look, Scene, Scenes, looks
from ...steering.maps import MapLayout, noise_level, pooling, shapes
from ...steering.recordings import Recording, Recordings, opened, save, shard, shards
from .capture import capture
from .finished import where_sampled
from .inversion import DDIM, LEAST_PSNR, PLAIN, RF, check_noising, ddim_back, ddim_there, looked_at, psnr, rf_back
from .noise import sigma_at, signal_and_noise
from .steered_model import out_of_memory
from .words import find_words

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What to record of every scene. looks, wrong, levels, seed: as in dataset.looks; batch: looks in one pass;
    noising, steps: of inversion.NOISING, and the steps of an inversion, where every look is several: at the levels that
    its steps have, not its own."""

    looks: int = 3
    wrong: float = 0.5
    levels: tuple[float, float] = (0.05, 0.95)
    seed: int = 0
    batch: int = 16
    noising: str = PLAIN
    steps: int = 50


SHARD = 256  # looks, or a little fewer: what is lost when a run is stopped
HELD = 1e9  # bytes of pictures and encoded prompts that are read before their passes begin
SAME = 0.1  # share by which maps of the same model may differ: in bf16 they do by 0.02 where weights are random


def record_into(
    folder: Path,
    model,
    clip,
    vae,
    scenes: Scenes,
    layout: MapLayout,
    wanted: Wanted,
    most: float = math.inf,
    tell: Callable[[float], None] | None = None,
) -> Recordings:
    """Record all scenes, shard by shard, each written whole or not at all; shards that are there are not made again, so
    that a stopped run goes on where it was.

    most: bytes of all shards, after which no more is recorded; tell: hears how many scenes are done, and may raise to
    stop. Raises ValueError when the folder holds what was recorded otherwise or of another model, and as `record` does.
    """
    settings = {
        "scenes": scenes.key, "layout": str(layout), "looks": wanted.looks, "wrong": wanted.wrong,
        "least noise": wanted.levels[0], "most noise": wanted.levels[1], "seed": wanted.seed,
    }  # fmt: skip
    at_once = wanted.looks
    if wanted.noising != PLAIN:
        settings |= {"noising": wanted.noising, "steps": wanted.steps}
        at_once *= len(looked_at(wanted.steps))
    if shards(folder):
        there = opened(folder)
        _same(there.settings, settings, folder)
        _same_model(there, model, clip, vae, scenes, layout, wanted)
    scenes_a_shard = max(1, SHARD // at_once)
    for number, first in enumerate(range(0, scenes.count, scenes_a_shard)):
        end = min(first + scenes_a_shard, scenes.count)
        if not (path := shard(folder, number)).exists():
            if sum(one.stat().st_size for one in shards(folder)) >= most:
                break

            def told(done: float, first=first, end=end) -> None:
                if tell and first + done < end:  # the last only when the shard is written
                    tell(first + done)

            recording, left_out = record(model, clip, vae, scenes, range(first, end), layout, wanted, told)
            save(recording, settings, left_out, path)
        if tell:
            tell(end)
    return opened(folder)


def _same(there: dict, settings: dict, folder: Path) -> None:
    for name in settings | there:
        was, now = (what.get(name, PLAIN if name == "noising" else None) for what in (there, settings))
        if was != now:
            was, now = ("other scenes", "these") if name == "scenes" else (f"{name} {was}", now)
            raise ValueError(
                f'In "{folder}" lie recordings of {was}, not {now}. Choose another folder, or delete that one to '
                "record anew."
            )


def _same_model(there: Recordings, model, clip, vae, scenes: Scenes, layout: MapLayout, wanted: Wanted) -> None:
    """Records the folder's first look again. Raises ValueError when it is another one."""
    was = next((part for part in there.parts() if len(part.level)), None)
    if was is None:
        return
    now, _ = record(model, clip, vae, scenes, [int(was.scene[0])], layout, wanted)
    old, new = (one.maps[one.look == 0].float() for one in (was, now))
    if old.shape == new.shape:
        far = ((old - new).norm() / (old - 1).norm().clamp_min(1e-2 * old.norm())).item()
        if far <= SAME:
            return
    raise ValueError(
        f'In "{there.folder}" lie recordings of another checkpoint, LoRA, text encoder or VAE: the first of them was '
        "made again and came out otherwise. Choose another folder for these, or connect those again."
    )


@dataclass(frozen=True)
class Ready:
    """A look with all that its pass needs. latent: (1, C, h, w), clean; rows: of each thing's word; text: an entry of a
    CONDITIONING."""

    look: Look
    picture: Image.Image
    latent: Tensor
    rows: tuple[tuple[int, ...], ...]
    text: tuple[Tensor, dict]

    @property
    def kind(self) -> str:
        """Looks of one kind may share a pass."""
        tensor, more = self.text
        return str((self.latent.shape, tensor.shape, [(k, getattr(v, "shape", None)) for k, v in sorted(more.items())]))

    @property
    def held(self) -> int:
        """Bytes, about."""
        tensors = [self.latent, *(value for value in (self.text[0], *self.text[1].values()) if torch.is_tensor(value))]
        return sum(tensor.nbytes for tensor in tensors) + 3 * math.prod(self.picture.size)


@dataclass(frozen=True)
class Seen:
    """What was read. level: noise level that the model was told; maps: (words, channels, R, R)."""

    ready: Ready
    level: float
    maps: Tensor


def record(
    model,
    clip,
    vae,
    scenes: Scenes,
    numbers: Sequence[int],
    layout: MapLayout,
    wanted: Wanted,
    tell: Callable[[float], None] | None = None,
) -> tuple[Recording, Counter]:
    """The looks at the scenes of these numbers, in their order, and how many scenes or looks were left out, by why. One
    pass a batch of looks, through the host's own sampling code; nothing is sampled. tell: hears how many of these
    scenes are done, and may raise to stop.

    Raises ValueError for what no scene can help: a model or text encoder that cannot be read, or that this way of
    noising is not for.
    """
    check_noising(wanted.noising, model)
    left_out: Counter = Counter()
    seen: list[Seen] = []
    ready: list[Ready] = []
    before = 0
    for done, number in enumerate(numbers, 1):
        ready += _ready(clip, vae, scenes.at(number), number, wanted, left_out)
        if sum(one.held for one in ready) >= HELD or done == len(numbers):

            def told(share: float, before=before, done=done) -> None:
                if tell:
                    tell(before + share * (done - before))

            seen += _passes(model, vae, ready, layout, wanted, left_out, told)
            ready, before = [], done
    return _recording(seen, layout, scenes.made), left_out


def _ready(clip, vae, scene: Scene, number: int, wanted: Wanted, left_out: Counter) -> Iterator[Ready]:
    seen = list(looks(scene, number, wanted.looks, wanted.wrong, wanted.levels, wanted.seed))
    if not seen:
        left_out["scenes without two things in a clear relation"] += 1
        return
    latent = vae.encode(_pixels(scene.picture)[None])
    if wanted.noising == RF and not _came_back(vae.decode(latent), scene.picture, RF):
        left_out[_lost(RF)] += 1
        return
    encoded = cache(lambda text: clip.encode_from_tokens_scheduled(clip.tokenize(text)))
    for look in seen:
        words = find_words(clip, look.prompt, look.wishes)
        chain = [words.pairs[0][0], *(pair[1] for pair in words.pairs)]
        conditioning = encoded(look.prompt)
        if len(conditioning) > 1:
            left_out["looks whose text encoder gives several conditionings a prompt"] += 1
            continue
        tensor, more = conditioning[0]
        yield Ready(look, scene.picture, latent, tuple(words.rows[word] for word in chain), (tensor, more))


def _pixels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).float() / 255


def _came_back(images: Tensor, picture: Image.Image, noising: str) -> bool:
    """images: (1, H, W, 3), or (1, 1, H, W, 3) of a VAE for video."""
    return psnr(images.reshape(images.shape[-3:]), _pixels(picture)) >= LEAST_PSNR[noising]


def _lost(noising: str) -> str:
    what = "looks whose picture" if noising == DDIM else "scenes whose picture"
    return f"{what} did not come back from {noising} (PSNR under {LEAST_PSNR[noising]:g} dB)"


def _passes(
    model, vae, ready: list[Ready], layout: MapLayout, wanted: Wanted, left_out: Counter, tell: Callable[[float], None]
) -> list[Seen]:
    """All that is seen in these looks, in their order; less of them in a pass where memory runs out."""
    seen: list[Seen] = []
    size, done = wanted.batch, 0
    for _, alike in groupby(sorted(ready, key=lambda one: one.kind), key=lambda one: one.kind):
        group = list(alike)
        while group:
            batch = group[:size]
            try:
                read, latents = see(model, batch, layout, wanted.noising, wanted.steps)
            except Exception as error:
                if not out_of_memory(error) or len(batch) == 1:
                    raise
                read = None  # what the failed pass holds is freed after this block
            if read is None:
                size = len(batch) // 2
                log.warning("Learn-to-Steer: memory ran out; going on with %d looks in a pass.", size)
                comfy.model_management.soft_empty_cache()
                continue
            for one, latent in zip(batch, latents.split(1), strict=True):
                if wanted.noising == DDIM and not _came_back(vae.decode(latent), one.picture, DDIM):
                    left_out[_lost(DDIM)] += 1
                    read = [of for of in read if of.ready is not one]
            seen += read
            group, done = group[size:], done + len(batch)
            tell(done / len(ready))
    order = {id(one): place for place, one in enumerate(ready)}
    return sorted(seen, key=lambda one: order[id(one.ready)])


# --- One pass ---------------------------------------------------------------------------------------------------------


def see(
    model, ready: Sequence[Ready], layout: MapLayout, noising: str = PLAIN, steps: int = 50
) -> tuple[list[Seen], Tensor]:
    """What the model attends to in looks that share a pass, look after look, and the latents that came back (B, C, h,
    w), which are the pictures' own but after DDIM inversion. steps: of an inversion.

    Conditionings that the host itself would not put into one pass have passes of their own.
    """
    words = max(len(one.rows) for one in ready)
    columns = 1 + max(row for one in ready for word in one.rows for row in word)
    # A chain that is shorter than others in the batch has its last word read more than once.
    pool = torch.cat([pooling([*one.rows, *[one.rows[-1]] * (words - len(one.rows))], columns) for one in ready])
    latent = torch.cat([one.latent for one in ready])
    noise = torch.cat([comfy.sample.prepare_noise(one.latent, one.look.seed) for one in ready])
    sigmas = torch.tensor([sigma_at(model, one.look.level) for one in ready])
    seen: list[list[Seen]] = [[] for _ in ready]

    def read(inner, entries, noise, latent, sigmas, options):
        sampling = inner.model_sampling
        came_back = latent.clone()
        for at in together(entries):
            cond = joined([entries[number] for number in at], at, len(entries))

            def maps(x, sigma, at=at, cond=cond):
                found = capture(inner, cond, x, sigma, options, pool[at], layout).float().cpu()
                for number, one, told in zip(at, found, sigma.tolist(), strict=True):
                    level = noise_level(*signal_and_noise(inner, told))
                    seen[number].append(Seen(ready[number], level, one[: len(ready[number].rows)]))

            def predict(x, sigma, cond=cond):
                comfy.model_management.throw_exception_if_processing_interrupted()
                return comfy.samplers.calc_cond_batch(inner, [[cond]], x, x.new_full((len(x),), sigma), options)[0]

            if noising == PLAIN:
                maps(sampling.noise_scaling(sigmas[at], noise[at], latent[at]), sigmas[at])
                continue
            if noising == RF:
                way = rf_back(sampling, latent[at], noise[at], steps)
            else:
                *_, (_, x) = ddim_there(predict, latent[at], sampling.sigmas, steps)
                way = ddim_back(predict, x, sampling.sigmas, steps)
            for step, (sigma, x) in enumerate(way):
                if step in looked_at(steps):
                    maps(x, x.new_full((len(x),), sigma))
                if step == steps:
                    came_back[at] = x
        return came_back

    came_back = where_sampled(model, [list(one.text) for one in ready], latent, noise, sigmas, read)
    return [one for of_look in seen for one in of_look], came_back


def together(entries: list[dict]) -> list[list[int]]:
    """Numbers of the processed conditioning entries that one pass can have, by the host's own rule; but text of another
    length, which the host repeats until it fits, would have other maps."""
    groups: list[list[int]] = []
    for number, entry in enumerate(entries):
        for group in groups:
            if _alike(entries[group[0]]["model_conds"], entry["model_conds"]):
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _alike(one: dict, other: dict) -> bool:
    texts = [
        [value.cond.shape for value in conds.values() if isinstance(value, comfy.conds.CONDCrossAttn)]
        for conds in (one, other)
    ]
    return texts[0] == texts[1] and comfy.samplers.cond_equal_size(one, other)


def joined(entries: list[dict], numbers: list[int], count: int) -> dict:
    """One entry of these, whose tensors have a row for each. numbers: of the entries among the pass's, which are
    `count`: some families make tensors for all of the latents of each entry."""
    conds = [
        {name: _row(value, number, count) for name, value in entry["model_conds"].items()}
        for number, entry in zip(numbers, entries, strict=True)
    ]
    first, *rest = conds
    return {
        **entries[0],
        "model_conds": {
            name: value._copy_with(value.concat([other[name] for other in rest])) for name, value in first.items()
        },
    }


def _row(value, number: int, count: int):
    """Of a processed value, what belongs to one of so many latents."""

    def own(tensor: Tensor) -> Tensor:
        return tensor[number : number + 1] if len(tensor) == count else tensor

    if isinstance(value, comfy.conds.CONDConstant):
        return value
    if isinstance(value.cond, list):
        return value._copy_with([own(tensor) for tensor in value.cond])
    return value._copy_with(own(value.cond))


def _recording(seen: list[Seen], layout: MapLayout, made: str) -> Recording:
    counts = torch.tensor([len(one.maps) for one in seen], dtype=torch.long)
    none = torch.zeros(0, layout.channels, layout.resolution, layout.resolution)
    maps = torch.cat([none, *(one.maps for one in seen)])
    boxes = [
        [edge / one.ready.picture.size[at % 2] for at, edge in enumerate(thing.box)]
        for one in seen
        for thing in one.ready.look.things
    ]
    return Recording(
        layout=layout,
        maps=shapes(maps).half(),
        strength=maps.mean((-1, -2)),
        boxes=torch.tensor(boxes).reshape(-1, 4),
        names=tuple(thing.name for one in seen for thing in one.ready.look.things),
        look=torch.arange(len(seen)).repeat_interleave(counts),
        level=torch.tensor([one.level for one in seen]),
        true=torch.tensor([one.ready.look.true for one in seen], dtype=torch.bool),
        scene=torch.tensor([one.ready.look.scene for one in seen], dtype=torch.long),
        made=(made,),
    )
