"""A checkpoint's own pictures as scenes: prompts about pairs of things, and what a detector found in their pictures."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from .dataset import STRAIGHT, Scene, Scenes, of_two, prompt
from .judge import Found, fits, judge
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

    found: what a detector is sure of, in each picture. A scene keeps its prompt; where the prompt's relation does not
    hold, `looks` shows it as a wrong one. Raises ValueError where no picture is left.
    """
    left: Counter[str] = Counter()
    kept = []
    granted = 0
    for picture, things, text in zip(pictures, found, prompts, strict=True):
        if not (wishes := of_two(text)):
            left["of a prompt without a relation"] += 1
            continue
        seen = [sum(fits(thing.name, phrase) > 0 for thing in things) for phrase in wishes[0].things]
        if 0 in seen:
            left["without all things of their prompt"] += 1
        elif max(seen) > 1:
            left["with several of one thing: which is meant?"] += 1
        else:
            kept.append(Scene(picture, tuple(_inside(thing, picture.size) for thing in things), text))
            granted += judge(things, wishes[:1])[0].granted is True
    said = "".join(f" Left out: {count} {why}." for why, count in left.items())
    if not kept:
        raise ValueError(f"None of {len(pictures)} picture(s) can be used.{said}")
    key = hashlib.sha256()
    for scene in kept:
        key.update(repr((scene.picture.size, scene.found, scene.prompt)).encode())
        key.update(scene.picture.tobytes())
    made = f"Own generations: {len(kept)} of the model's own pictures, labelled by a detector."
    notes = f"{len(kept)} of {len(pictures)} pictures; {granted} are as their prompt says.{said}"
    return Scenes(len(kept), kept.__getitem__, key.hexdigest(), made, notes)


def _inside(thing: Found, size: tuple[int, int]) -> Found:
    """With the part of its box that lies in the picture: detectors reach a little out of it."""
    (width, height), (left, top, right, bottom) = size, thing.box
    return replace(thing, box=(max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))))
