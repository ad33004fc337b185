"""The emoji world: scenes of one to four objects on a soft background, their captions, and what holds in them."""

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import host  # noqa: F401  makes `learn_to_steer` importable

import numpy as np
from learn_to_steer.steering.dataset import SPELLED, STRAIGHT, Scene, Scenes, phrase
from learn_to_steer.steering.judge import Found
from PIL import Image
from sprites import CELL, CODEPOINTS, SHEET

KINDS = tuple(CODEPOINTS)
RELATIONS = STRAIGHT
SIZE = 128  # px, a picture's side
GRID = 16  # latent cells along a side
CELL_PX = SIZE // GRID
SHARES = (0.08, 0.37, 0.2, 0.35)  # of scenes with one, two, three, four things: many full ones, they are the hard ones


@dataclass(frozen=True)
class Thing:
    """One object: its kind, its centre (x to the right, y down) and its longest side, in px."""

    kind: str
    x: float
    y: float
    size: float

    def found(self) -> Found:
        half = self.size / 2
        return Found(self.kind, (self.x - half, self.y - half, self.x + half, self.y + half))


@cache
def _sprites() -> dict[str, Image.Image]:
    sheet = Image.open(SHEET).convert("RGBA")
    return {kind: sheet.crop((i * CELL, 0, (i + 1) * CELL, CELL)) for i, kind in enumerate(KINDS)}


def compose(rng: np.random.Generator, kinds: list[str]) -> list[Thing]:
    """Places for the kinds: anywhere, hardly overlapping; smaller when there are more of them."""
    low, high = {1: (48, 64), 2: (42, 58), 3: (38, 50), 4: (36, 46)}[len(kinds)]
    while True:
        things: list[Thing] = []
        for kind in kinds:
            for _ in range(30):
                size = rng.uniform(low, high)
                x, y = rng.uniform(size / 2, SIZE - size / 2, 2)
                if all(max(abs(x - t.x), abs(y - t.y)) > 0.46 * (size + t.size) for t in things):
                    things.append(Thing(kind, x, y, size))
                    break
        if len(things) == len(kinds):
            return things


def _background(rng: np.random.Generator) -> np.ndarray:
    """A soft gradient between two light colours, (SIZE, SIZE, 3) in 0..255."""
    first, second = rng.uniform(150, 250, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    along = np.linspace(-0.5, 0.5, SIZE)
    ramp = np.cos(angle) * along[None, :] + np.sin(angle) * along[:, None]
    ramp = np.clip(ramp + 0.5, 0, 1)[..., None]
    return first * (1 - ramp) + second * ramp


def render(rng: np.random.Generator, things: list[Thing]) -> np.ndarray:
    """The picture of a scene, (SIZE, SIZE, 3) uint8."""
    picture = _background(rng)
    for thing in things:
        side = round(thing.size)
        sprite = np.asarray(_sprites()[thing.kind].resize((side, side), Image.BILINEAR, reducing_gap=2.0), np.float32)
        left, top = round(thing.x - side / 2), round(thing.y - side / 2)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, SIZE), min(top + side, SIZE)
        part = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
        alpha = part[..., 3:] / 255
        picture[y0:y1, x0:x1] = picture[y0:y1, x0:x1] * (1 - alpha) + part[..., :3] * alpha
    return picture.round().astype(np.uint8)


def cells(things: list[Thing]) -> np.ndarray:
    """Which kind covers each latent cell's middle: (GRID, GRID) int64, index into KINDS, len(KINDS) for none."""
    middle = (np.arange(GRID) + 0.5) * CELL_PX
    labels = np.full((GRID, GRID), len(KINDS))
    for thing in things:
        side = round(thing.size)
        alpha = np.asarray(_sprites()[thing.kind].getchannel("A").resize((side, side)))
        columns = np.floor(middle - thing.x + side / 2).astype(int)
        rows = np.floor(middle - thing.y + side / 2).astype(int)
        inside = ((rows >= 0) & (rows < side))[:, None] & ((columns >= 0) & (columns < side))[None, :]
        opaque = alpha[rows.clip(0, side - 1)][:, columns.clip(0, side - 1)] > 64
        labels[inside & opaque] = KINDS.index(thing.kind)
    return labels


# --- Captions -------------------------------------------------------------------------------------------------------


def relation_prompt(rng: np.random.Generator, kinds: list[str], relations: list[str]) -> str:
    """ "a photo of a dog left of a cat and above a bus": every relation is between neighbours, chained."""
    text = phrase(kinds[0])
    for relation, kind in zip(relations, kinds[1:], strict=True):
        text += f" {rng.choice(SPELLED[relation])} {phrase(kind)}"
    return rng.choice(["a photo of ", ""]) + text


def caption(rng: np.random.Generator, things: list[Thing]) -> str:
    """A web-like caption: names what is there, in any order; its relation words, when it has some, are chance."""
    kinds = [things[i].kind for i in rng.permutation(len(things))]
    if len(kinds) > 1 and rng.random() < 0.35:
        return relation_prompt(rng, kinds, list(rng.choice(RELATIONS, len(kinds) - 1)))
    return _list(rng, kinds)


def web_caption(rng: np.random.Generator, things: list[Thing], true: float = 0.6, related: float = 0.66) -> str:
    """As `caption`, but its relation words know a little, as the web's do: with the chance `true` all of them hold,
    else none does. `related`: how many of the captions of several things hold relation words."""
    things = [things[i] for i in rng.permutation(len(things))]
    kinds = [thing.kind for thing in things]
    if len(things) == 1 or rng.random() >= related:
        return _list(rng, kinds)
    right = rng.random() < true
    relations = []
    for subject, object in zip(things, things[1:], strict=False):
        holding = true_relations(subject, object)
        relations.append(str(rng.choice([relation for relation in RELATIONS if (relation in holding) == right])))
    return relation_prompt(rng, kinds, relations)


def true_relations(subject: Thing, object: Thing) -> list[str]:
    """What can be said of two things: one relation, or two on a diagonal (within 60 degrees of the axis)."""
    x, y = subject.x - object.x, subject.y - object.y
    along = {"left of": -x, "right of": x, "above": -y, "below": y}
    return [relation for relation in RELATIONS if along[relation] > 0.5 * np.hypot(x, y)]


def _list(rng: np.random.Generator, kinds: list[str]) -> str:
    """A caption without relation words."""
    style = rng.random()
    if len(kinds) == 1:
        text = phrase(kinds[0])
    elif style < 0.23:
        text = " ".join(kinds)
    elif style < 0.46:
        text = f" {rng.choice(['with', 'next to', 'beside', 'and'])} ".join(map(phrase, kinds))
    else:
        text = ", ".join(map(phrase, kinds[:-1])) + " and " + phrase(kinds[-1])
    return str(rng.choice(["a photo of ", "a picture of ", "", "", "an emoji of "])) + text


def any_kinds(rng: np.random.Generator, shares: tuple[float, ...] = SHARES) -> list[str]:
    """Kinds for one scene, all different; shares: how often one, two, three, four of them."""
    return list(rng.choice(KINDS, 1 + rng.choice(len(shares), p=shares), replace=False))


# --- Pairs that the classifier never sees ---------------------------------------------------------------------------

# Every GenEval position prompt that the kinds cover, word for word (djghosh13/geneval, MIT).
GENEVAL = (
    ("dog", "right of", "teddy bear"), ("laptop", "left of", "cow"), ("dog", "above", "cow"),
    ("bus", "below", "toothbrush"), ("book", "above", "laptop"), ("toothbrush", "below", "pizza"),
    ("zebra", "left of", "elephant"), ("elephant", "below", "horse"), ("chair", "left of", "zebra"),
    ("cow", "below", "airplane"), ("pizza", "right of", "banana"), ("bus", "above", "boat"),
    ("cow", "right of", "laptop"),
)  # fmt: skip


@cache
def held_out() -> frozenset[frozenset[str]]:
    """A quarter of all pairs of kinds, GenEval's and the demo workflow's among them: kept from the classifier."""
    rng = np.random.default_rng(20260101)
    wanted = {frozenset((subject, object)) for subject, _, object in GENEVAL} | {frozenset(("giraffe", "airplane"))}
    others = [frozenset(pair) for pair in combinations(KINDS, 2) if frozenset(pair) not in wanted]
    rng.shuffle(others)
    total = len(KINDS) * (len(KINDS) - 1) // 2
    return frozenset(wanted) | frozenset(others[: total // 4 - len(wanted)])


# --- Pictures to look at --------------------------------------------------------------------------------------------


def pictures(count: int, seed: int) -> Scenes:
    """Scenes of the emoji world as Record Maps takes them."""

    def at(number: int) -> Scene:
        rng = np.random.default_rng([seed, number])
        things = compose(rng, any_kinds(rng))
        return Scene(Image.fromarray(render(rng, things)), tuple(thing.found() for thing in things))

    return Scenes(count, at, f"emoji world {count} {seed}", f"{count} scenes of the emoji world, seed {seed}.")
