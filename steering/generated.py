"""A checkpoint's own pictures as scenes: prompts about pairs of things, and what a detector found in their pictures."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image

from .dataset import STRAIGHT, Scene, Scenes, prompt
from .judge import Found, fits
from .prompts import parse


def written(names: Sequence[str], count: int, seed: int) -> list[tuple[str, str, str]]:
    """So many prompts, each with the names of its subject and object; all follows from the seed.

    Raises ValueError for fewer than two names, and for a name that cannot be read back out of its prompt.
    """
    names = list(dict.fromkeys(name for line in names if (name := " ".join(line.split()))))
    if len(names) < 2:
        raise ValueError("A prompt needs two things: write at least two different names, one a line.")
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        subject, other = (names[at] for at in rng.choice(len(names), 2, replace=False))
        text, wishes = prompt(rng, [subject, other], [str(rng.choice(STRAIGHT))])
        if parse(text).wishes != wishes:
            raise ValueError(
                f'"{text}" is not read as "{wishes[0]}", so "{subject}" or "{other}" cannot be used here. Write '
                "another name for it."
            )
        made.append((text, subject, other))
    return made


def scenes(pictures: Sequence[Image.Image], found: Sequence[Sequence[Found]], prompts: Sequence[str]) -> Scenes:
    """The pictures (held as they are) that show each thing of their prompt's first wish exactly once.

    found: what a detector is sure of, in each picture. Raises ValueError where no picture is left.
    """
    left: Counter[str] = Counter()
    kept = []
    for picture, things, text in zip(pictures, found, prompts, strict=True):
        if not (wishes := parse(text).wishes):
            left["of a prompt without a relation"] += 1
            continue
        seen = [sum(fits(thing.name, phrase) > 0 for thing in things) for phrase in wishes[0].things]
        if 0 in seen:
            left["without all things of their prompt"] += 1
        elif max(seen) > 1:
            left["with several of one thing: which is meant?"] += 1
        else:
            kept.append(Scene(picture, tuple(things), text))
    said = "".join(f" Left out: {count} {why}." for why, count in left.items())
    if not kept:
        raise ValueError(f"None of {len(pictures)} picture(s) can be used.{said}")
    key = hashlib.sha256()
    for scene in kept:
        key.update(repr((scene.picture.size, scene.found, scene.prompt)).encode())
        key.update(scene.picture.tobytes())
    made = f"The model's own pictures of {len(kept)} prompts, labelled by a detector."
    return Scenes(len(kept), kept.__getitem__, key.hexdigest(), made, f"{len(kept)} of {len(pictures)} pictures.{said}")
