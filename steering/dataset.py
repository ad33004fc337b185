"""Pictures whose things are known, and the looks at them that a loss learns from.

A source (composed, annotated, generated) gives `Scenes`. `looks` shows every scene under prompts that are true of it
and under prompts whose relations are wrong, so that what is learnt is where things are and no word of the prompt
(Learn-to-Steer, section 3). The label of a look always comes from the boxes.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from .judge import Found, judge
from .prompts import parse
from .relations import clear, labels
from .words import Phrase, Wish

STRAIGHT = ("left of", "right of", "above", "below")
SPELLED = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}
OPENINGS = ("a photo of ", "a picture of ", "")
MORE = (0.7, 0.2, 0.1)  # how often a prompt names two, three, four things, where the scene has them
HELD_OUT = 0.25  # share of all pairs of names that are kept for the measurement


@dataclass(frozen=True)
class Scene:
    """A picture (RGB) and its things that are known, with boxes in its px; prompt: what it was made of, if that is
    known."""

    picture: Image.Image
    found: tuple[Found, ...]
    prompt: str | None = None


@dataclass(frozen=True)
class Scenes:
    """Many scenes, each made or opened when it is asked for.

    at: the scene of a number below count, the same each time; key: another one whenever a scene would be another; made:
    where they are from, a sentence for people, which goes into the card of what is learnt from them; notes: what was
    left out, and why, for people.
    """

    count: int
    at: Callable[[int], Scene]
    key: str
    made: str
    notes: str = ""


@dataclass(frozen=True)
class Look:
    """One look at a scene. wishes: what the prompt says of its things, in a chain, right or wrong; things: those that
    the chain names, in its order; true: is all of it right; level: noise level, 0 clean to 1 pure noise; seed: of
    the noise."""

    scene: int
    prompt: str
    wishes: tuple[Wish, ...]
    things: tuple[Found, ...]
    true: bool
    level: float
    seed: int


def phrase(name: str) -> str:
    """The name with its article: "a dog", "an elephant", "skis"."""
    if name.endswith("s") and not name.endswith(("ss", "us")):
        return name
    return ("an " if name[0].lower() in "aeiou" else "a ") + name


def prompt(rng: np.random.Generator, names: list[str], relations: list[str]) -> tuple[str, tuple[Wish, ...]]:
    """ "a photo of a dog left of a cat above a bus", and its wishes: every relation is between neighbours."""
    text, phrases = str(rng.choice(OPENINGS)), []
    for relation, name in zip(["", *relations], names, strict=True):
        text += (f" {rng.choice(SPELLED[relation])} " if relation else "") + phrase(name)
        phrases.append(Phrase(name, (len(text) - len(name), len(text))))
    return text, tuple(Wish(*wish) for wish in zip(phrases, relations, phrases[1:], strict=False))


def held_out(a: str, b: str) -> bool:
    """Is this pair of names kept from learning, to measure on? The same for everybody, whatever else is there."""
    pair = "\n".join(sorted((a.lower(), b.lower())))
    return hashlib.sha256(pair.encode()).digest()[0] < HELD_OUT * 256


def looks(
    scene: Scene, number: int, count: int, wrong: float, levels: tuple[float, float], seed: int
) -> Iterator[Look]:
    """So many looks at one scene, fewer or none where it has no two things in a clear straight relation.

    number: the scene's; wrong: share of prompts with wrong relations; levels: least and most noise; half of the looks
    are in the upper third, where the layout is decided. A scene's own prompt is used for half of its looks, where one
    is known that names two of its things. All follows from seed and number.
    """
    rng = np.random.default_rng([seed, number])
    own = _own(scene)
    for index in range(count):
        low, high = levels
        middle = low + (high - low) * 2 / 3
        level = float(rng.uniform(*((middle, high) if rng.random() < 0.5 else (low, middle))))
        noise = int(rng.integers(2**31))
        if own and index % 2:
            text, wishes, things, true = own
        else:
            true = bool(rng.random() >= wrong)
            things = _chain(rng, scene.found)
            if not things:
                return
            relations = [_relation(rng, *pair, true) for pair in pairwise(things)]
            text, wishes = prompt(rng, [thing.name for thing in things], relations)
        yield Look(number, text, wishes, things, true, level, noise)


def straight(subject: Found, object: Found) -> str | None:
    """The straight relation that two things clearly stand in, if any."""
    (a, b, c, d), (e, f, g, h) = subject.box, object.box
    relation = clear(((a + c - e - g) / 2, (b + d - f - h) / 2))
    return relation if relation in labels(subject.box, object.box) else None


def _chain(rng: np.random.Generator, found: tuple[Found, ...]) -> tuple[Found, ...]:
    """Things of different names by chance, each in a clear relation to the next; none when there are no two such."""
    names = [thing.name for thing in found]
    left = [thing for thing in found if names.count(thing.name) == 1]  # of two dogs, which is "a dog"?
    wanted = 2 + int(rng.choice(len(MORE), p=MORE))
    for start in rng.permutation(len(left)):
        chain = [left[start]]
        while len(chain) < wanted:
            next_ones = [thing for thing in left if thing not in chain and straight(chain[-1], thing)]
            if not next_ones:
                break
            chain.append(next_ones[rng.integers(len(next_ones))])
        if len(chain) > 1:
            return tuple(chain)
    return ()


def _relation(rng: np.random.Generator, subject: Found, object: Found, true: bool) -> str:
    if true:
        relation = straight(subject, object)
        assert relation is not None  # the chain has no other pairs
        return relation
    return str(rng.choice([name for name in STRAIGHT if name not in labels(subject.box, object.box)]))


def _own(scene: Scene) -> tuple[str, tuple[Wish, ...], tuple[Found, ...], bool] | None:
    """The scene's own prompt, its first wish of two things, these, and whether it is granted."""
    text = scene.prompt or ""
    if not (wishes := of_two(text)[:1]):
        return None
    (verdict,) = judge(scene.found, wishes)
    if not verdict.there or verdict.granted is None:
        return None
    return text, wishes, verdict.things, verdict.granted


def of_two(prompt: str) -> tuple[Wish, ...]:
    """The prompt's wishes that a classifier of pairs can learn."""
    return tuple(wish for wish in parse(prompt).wishes if len(wish.things) == 2)
