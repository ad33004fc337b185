"""Train and measure what reads maps, on recordings: relation classifier, reader of places, the authors' network.

Every picture is in a recording under true and under wrong prompts, and labelled by its boxes; or what is learnt is the
relation's word (Learn-to-Steer, section 3). How far they differ in the measurement is the leak.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .dataset import STRAIGHT, held_out
from .losses import files
from .losses.classifier import ClassifierConfig, RelationClassifier
from .losses.files import NETWORKS
from .losses.geometry import mask, offsets
from .losses.places import PlaceReader, PlacesConfig
from .losses.published import PublishedClassifier, untrained
from .maps import shapes
from .recordings import Recording
from .relations import MIRRORS, clear
from .relations import mirrored as mirrored_relation

READER, CLASSIFIER, PUBLISHED = NETWORKS
ANY = "any model"  # whose maps are worn
BANDS = (0.0, 0.3, 0.5, 0.65, 0.8, 0.9, 1.0)  # of noise levels that accuracy is told for
STEPS = (0.93, 0.85, 0.75, 0.65, 0.5, 0.3, 0.1)  # noise levels that the published network knows, as its step numbers
CHECKED = 10  # one scene in so many is kept from learning to see when to stop
RATES = {READER: 2e-3, CLASSIFIER: 2e-3, PUBLISHED: 1e-4}  # highest learning rate; the last is the authors'
EVERY = 50  # steps between checks
SPOT = 0.06  # of the picture's side: what counts as the place of a thing falls off so fast round its middle
FOUND = 0.15  # of the picture's side: so near is found
TURNS = (lambda m: m.flip(-1), lambda m: m.flip(-2), lambda m: m.mT)  # of maps, as relations.MIRRORS


# --- What is learnt from --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Two words' maps (N, channels, R, R), noise levels (N,), and the index of the relation in STRAIGHT (N,)."""

    subject: Tensor
    object: Tensor
    level: Tensor
    label: Tensor


@dataclass(frozen=True)
class Pairs:
    """Neighbours in the prompts' chains that stand in a clear relation. subject, object: words of the recording, (N,);
    label: (N,), into STRAIGHT."""

    recording: Recording
    subject: Tensor
    object: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def among(self, looks: Tensor) -> "Pairs":
        """Those of the chosen looks, (looks,) bool."""
        inside = looks[self.recording.look[self.subject]]
        return Pairs(self.recording, self.subject[inside], self.object[inside], self.label[inside])

    @property
    def true(self) -> Tensor:
        return self.recording.true[self.recording.look[self.subject]]

    @property
    def level(self) -> Tensor:
        return self.recording.level[self.recording.look[self.subject]]

    def seen(self, chosen: Tensor, device) -> Seen:
        maps = self.recording.maps
        parts = (maps[self.subject[chosen]], maps[self.object[chosen]], self.level[chosen], self.label[chosen])
        return Seen(*(part.to(device) if part.dtype == torch.long else part.to(device).float() for part in parts))


def pairs_of(recording: Recording) -> Pairs:
    """Labels are read off the boxes, never off the prompt."""
    middles = (recording.boxes[:, :2] + recording.boxes[:, 2:]) / 2
    neighbours = (recording.look[1:] == recording.look[:-1]).nonzero().flatten().tolist()
    found = []
    for word in neighbours:
        x, y = (middles[word] - middles[word + 1]).tolist()
        if relation := clear((x, y)):
            found.append((word, word + 1, STRAIGHT.index(relation)))
    columns = torch.tensor(found, dtype=torch.long).reshape(-1, 3).unbind(1)
    return Pairs(recording, *columns)


def worn(recording: Recording, seed: int) -> Recording:
    """One map a word, as other models and settings could have it, for a reader that is to serve any model: the mean of
    some layers, and of every second word blurred or sharpened, coarser, noisy, with a bright corner that is no thing.
    All follows from seed."""
    generator = torch.Generator().manual_seed(seed)
    count, channels, side, _ = recording.maps.shape

    def chance(share: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator) < share

    maps = recording.maps.float()
    if channels > 1:  # some layers alone, some together
        weights = torch.rand(count, channels, 1, 1, generator=generator).pow(torch.where(chance(0.5), 8.0, 1.0))
        maps = (maps * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
    clean = shapes(maps)
    coarse = F.interpolate(F.avg_pool2d(maps, 2), size=(side, side), mode="bilinear", align_corners=False)
    maps = torch.where(chance(0.25), coarse, maps)
    blurred = F.avg_pool2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3, 1)
    maps = torch.where(chance(0.25), blurred, maps).clamp_min(0)
    power = torch.rand(count, 1, 1, 1, generator=generator) + 0.5  # from a root to a power and a half
    maps = shapes(torch.where(chance(0.5), maps.pow(power), maps))
    noise = torch.rand(count, 1, 1, 1, generator=generator) * torch.rand(maps.shape, generator=generator)
    maps = torch.where(chance(0.3), maps + noise, maps)
    corner = torch.zeros(1, 1, side, side)
    corner[..., 0, 0] = 1
    turns = torch.stack([corner, corner.flip(-1), corner.flip(-2), corner.flip((-1, -2))])[:, 0]
    sunk = turns[torch.randint(4, (count,), generator=generator)] * maps.amax((-1, -2), keepdim=True) * 2
    maps = torch.where(chance(0.5), clean, shapes(torch.where(chance(0.2), maps + sunk, maps)))
    layout = replace(recording.layout, family=ANY, channels=1)
    return replace(recording, layout=layout, maps=maps.half(), strength=torch.ones(count, 1))


class Split(NamedTuple):
    """Looks, (looks,) bool each: to learn from, to see when to stop, and of pairs never seen together to measure on."""

    learnt: Tensor
    checked: Tensor
    measured: Tensor


def split(recording: Recording, kept: Callable[[str, str], bool] = held_out) -> Split:
    """kept: is this pair of names kept for the measurement? Raises ValueError when a part would be empty."""
    looks = len(recording.level)
    measured = torch.zeros(looks, dtype=torch.bool)
    look = recording.look.tolist()
    for word in range(len(look) - 1):
        if look[word] == look[word + 1] and kept(recording.names[word], recording.names[word + 1]):
            measured[look[word]] = True
    checked = ~measured & (recording.scene % CHECKED == 0)
    parts = Split(~measured & ~checked, checked, measured)
    if not all(part.any() for part in parts):
        raise ValueError(
            f"{looks} looks are too few: {int(parts.learnt.sum())} would be there to learn from, {int(checked.sum())} "
            f"to see when to stop, and {int(measured.sum())} of pairs never seen together to measure on. Record more "
            "scenes, of more kinds of things."
        )
    return parts


def mirrored(data: Seen, labels: tuple[str, ...], generator: torch.Generator | None = None) -> Seen:
    """Each mirrored by chance in every way there is, with the labels that are then right: eight for one. What would
    have a label that is not among `labels` stays as it is."""
    subject, object, label = data.subject, data.object, data.label
    for mirror, turn in zip(range(len(MIRRORS)), TURNS, strict=True):
        names = [mirrored_relation(name, mirror) for name in labels]
        become = label.new_tensor([labels.index(name) if name in labels else -1 for name in names])[label]
        chosen = _coins(len(label), generator).to(label.device) & (become >= 0)
        where = chosen[:, None, None, None]
        subject, object = torch.where(where, turn(subject), subject), torch.where(where, turn(object), object)
        label = torch.where(chosen, become, label)
    return Seen(subject, object, data.level, label)


def mirrored_words(maps: Tensor, middles: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same for words' maps (N, channels, R, R) and their things' middles (N, 2) in shares of the picture."""
    for turn, at in zip(TURNS, MIRRORS, strict=True):
        chosen = _coins(len(maps), generator).to(maps.device)
        x, y = at(*(middles - 0.5).unbind(1))
        maps = torch.where(chosen[:, None, None, None], turn(maps), maps)
        middles = torch.where(chosen[:, None], torch.stack([x, y], 1) + 0.5, middles)
    return maps, middles


def _coins(n: int, generator: torch.Generator | None) -> Tensor:
    return torch.rand(n, generator=generator) < 0.5


# --- The three networks, each as something that learns and reads ------------------------------------------------------


@dataclass(frozen=True)
class OfPairs:
    """A network that reads two words' maps at once.

    loss: of a batch of the chosen looks' examples, mirrored by chance; checked: the mean loss of all of them; read: how
    likely each of STRAIGHT is for pairs, (N, 4), in any unit.
    """

    network: RelationClassifier | PublishedClassifier
    pairs: Pairs
    device: torch.device | str

    def loss(self, looks: Tensor, batch: int, generator: torch.Generator) -> Tensor:
        pairs = self.pairs.among(looks)
        seen = pairs.seen(torch.randint(len(pairs), (batch,), generator=generator), self.device)
        seen = mirrored(seen, STRAIGHT, generator)
        return F.cross_entropy(self.read(seen), seen.label, label_smoothing=0.02)

    def checked(self, looks: Tensor) -> float:
        pairs = self.pairs.among(looks)
        parts = [pairs.seen(part, self.device) for part in torch.arange(len(pairs)).split(512)]
        losses = [F.cross_entropy(self.read(seen), seen.label, reduction="sum") for seen in parts]
        return float(sum(losses)) / max(len(pairs), 1)

    def read(self, seen: Seen) -> Tensor:
        network = self.network
        if isinstance(network, RelationClassifier):
            return network(seen.subject, seen.object, seen.level)
        # Its maps have the sum 1, ours the mean 1.
        cells = seen.subject.shape[-1] ** 2
        step = torch.tensor([network.config.step_at(level) for level in seen.level.tolist()], device=self.device)
        return network(network.where(seen.subject / cells, step), network.where(seen.object / cells, step), step)


@dataclass(frozen=True)
class OfWords:
    """The reader of places, with the same methods; found: whether words' things are."""

    network: PlaceReader
    recording: Recording
    device: torch.device | str

    def loss(self, looks: Tensor, batch: int, generator: torch.Generator) -> Tensor:
        words = looks[self.recording.look].nonzero().flatten()
        maps, level, middles = self._words(words[torch.randint(len(words), (batch,), generator=generator)])
        return self._loss(*mirrored_words(maps, middles, generator), level).mean()

    def checked(self, looks: Tensor) -> float:
        parts = looks[self.recording.look].nonzero().flatten().split(512)
        losses = [self._loss(maps, middles, level) for maps, level, middles in map(self._words, parts)]
        return torch.cat(losses).mean().item()

    def read(self, seen: Seen) -> Tensor:
        side = seen.subject.shape[-1]
        likely = [self.network(m, seen.level).softmax(-1).view(-1, side, side) for m in (seen.subject, seen.object)]
        way = offsets(*likely)
        return torch.stack([(way * mask(name, side).to(way)).sum((-1, -2)) for name in STRAIGHT], 1)

    def found(self, words: Tensor) -> Tensor:
        """Whether each word's thing is found, (N,) bool: its likeliest cell is within FOUND of its middle."""
        parts = []
        for maps, level, middles in map(self._words, words.split(512)):
            side = maps.shape[-1]
            cell = self.network(maps, level).argmax(1)
            place = (torch.stack([cell % side, cell // side], 1) + 0.5) / side
            parts.append(((place - middles).norm(dim=1) < FOUND).cpu())
        return torch.cat(parts)

    def _words(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        recording, boxes = self.recording, self.recording.boxes[words]
        parts = (recording.maps[words], recording.level[recording.look[words]], (boxes[:, :2] + boxes[:, 2:]) / 2)
        maps, level, middles = (part.to(self.device).float() for part in parts)
        return maps, level, middles

    def _loss(self, maps: Tensor, middles: Tensor, level: Tensor) -> Tensor:
        side = maps.shape[-1]
        cells = (torch.arange(side, device=maps.device) + 0.5) / side
        x, y = middles[:, 0, None, None], middles[:, 1, None, None]
        spot = (-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * SPOT**2)).flatten(1).softmax(1)
        return -(spot * self.network(maps, level).log_softmax(1)).sum(1)


Learner = OfPairs | OfWords


def learner(network: str, recording: Recording, device: torch.device | str) -> Learner:
    """One of NETWORKS, with the first weights that torch draws now. Raises ValueError for maps that it cannot read."""
    layout = recording.layout
    if network == READER:
        return OfWords(PlaceReader(PlacesConfig(layout)).to(device), recording, device)
    if layout.resolution % 4:
        raise ValueError(
            f"The maps have {layout.resolution} cells along a side; a relation classifier needs 4, 8, 12 ..."
        )
    if network == CLASSIFIER:
        return OfPairs(RelationClassifier(ClassifierConfig(layout, STRAIGHT)).to(device), pairs_of(recording), device)
    if layout.heads != "kept":
        raise ValueError("The published network reads every head's map. Record with heads kept.")
    return OfPairs(untrained(layout, STRAIGHT, STEPS).to(device), pairs_of(recording), device)


# --- Training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """steps: most of them; batch: pairs, or words, in each; patience: checks without getting better after which it
    stops."""

    steps: int = 1500
    batch: int = 128
    patience: int = 10
    seed: int = 0


class Curve(NamedTuple):
    """Of every check: steps taken, the loss that was learnt with since the last, the loss on looks that are not learnt
    from, and the share of their pairs read rightly under true and under wrong prompts."""

    steps: list[int]
    learnt: list[float]
    checked: list[float]
    true: list[float]
    wrong: list[float]


class Trained(NamedTuple):
    """network: with the weights of its best check; table: `measured`; curve: how it went; step: of the best check."""

    network: PlaceReader | RelationClassifier | PublishedClassifier
    table: dict
    curve: Curve
    step: int


def train(
    network: str,
    recording: Recording,
    training: Training,
    device: torch.device | str = "cpu",
    tell: Callable[[int, Curve], None] | None = None,
    kept: Callable[[str, str], bool] = held_out,
) -> Trained:
    """AdamW, one cosine, the weights of the best check kept. network: one of NETWORKS; tell: hears of every step, and
    may raise to stop; kept: as in `split`. The global generators stay as they are.
    Raises ValueError for recordings that cannot be learnt from.
    """
    parts = split(recording, kept)
    generator = torch.Generator().manual_seed(training.seed)
    cards = [device] if torch.device(device).type == "cuda" else []
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(cards):
        torch.manual_seed(training.seed)
        one = learner(network, recording, device)
        pairs = pairs_of(recording)
        if not all(len(pairs.among(part)) for part in parts):
            raise ValueError("No two things stand in a clear relation in the recordings. Record more scenes.")
        rate = RATES[network]
        optimizer = torch.optim.AdamW(one.network.parameters(), lr=rate, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=training.steps, pct_start=0.1)
        curve, best, weights, taken = Curve([], [], [], [], []), float("inf"), {}, 0
        losses: list[float] = []
        for step in range(1, training.steps + 1):
            one.network.train()
            loss = one.loss(parts.learnt, training.batch, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if step % EVERY == 0 or step == training.steps:
                _check(one, pairs.among(parts.checked), parts.checked, curve, step, losses)
                losses = []
                if curve.checked[-1] < best:
                    best, taken, weights = curve.checked[-1], step, copy.deepcopy(one.network.state_dict())
            if tell:
                tell(step, curve)
            if step - taken > EVERY * training.patience:
                break
        if not weights:
            raise FloatingPointError("The loss is not a finite number: the recordings hold maps that are none.")
        one.network.load_state_dict(weights)
        one.network.requires_grad_(False).train(False)
        return Trained(one.network, measured(one, recording, parts.measured), curve, taken)


def _check(one: Learner, pairs: Pairs, looks: Tensor, curve: Curve, step: int, losses: list[float]) -> None:
    one.network.train(False)
    with torch.no_grad():
        right = _right(one, pairs)
        curve.steps.append(step)
        curve.learnt.append(sum(losses) / max(len(losses), 1))
        curve.checked.append(one.checked(looks))
        curve.true.append(_share(right[pairs.true]))
        curve.wrong.append(_share(right[~pairs.true]))


def _right(one: Learner, pairs: Pairs) -> Tensor:
    """Whether each pair's relation is read rightly, (N,) bool."""
    device = next(one.network.parameters()).device
    parts = [pairs.seen(part, device) for part in torch.arange(len(pairs)).split(512)]
    return torch.cat([(one.read(seen).argmax(1) == seen.label).cpu() for seen in parts])


def _share(right: Tensor) -> float:
    return right.float().mean().item() if len(right) else float("nan")


# --- Measuring --------------------------------------------------------------------------------------------------------


def measured(one: Learner, recording: Recording, looks: Tensor) -> dict:
    """Shares read rightly in these looks, under true and under wrong prompts, for each range of noise levels and over
    all: of pairs, and from a reader of places also of things that were found (within FOUND)."""
    with torch.no_grad():
        pairs = pairs_of(recording).among(looks)
        table = {"relations": _by_level(_right(one, pairs), pairs.level, pairs.true)}
        if isinstance(one, OfWords):
            words = looks[recording.look].nonzero().flatten()
            look = recording.look[words]
            table["places"] = _by_level(one.found(words), recording.level[look], recording.true[look])
    return table


def _by_level(right: Tensor, level: Tensor, true: Tensor) -> dict:
    table = {}
    for name, under in (("true", true), ("wrong", ~true)):
        rows: dict[str, float | int | None] = {}
        for low, high in zip(BANDS, BANDS[1:], strict=False):
            inside = under & (level >= low) & ((level < high) | (high == BANDS[-1]))
            rows[f"{low:g}-{high:g}"] = round(_share(right[inside]), 3) if inside.any() else None
        rows["all"] = round(_share(right[under]), 3) if under.any() else None
        table[name] = rows | {"looks": int(under.sum())}
    return table


def leak(table: dict) -> float | None:
    """How much better it reads under true prompts than under wrong ones, over the noise levels alike: the mean of the
    differences in each range. None where it was not shown both."""
    rows = table["relations"]
    ranges = [name for name in rows["true"] if "-" in name]
    both = [(rows["true"][name], rows["wrong"][name]) for name in ranges]
    differences = [true - wrong for true, wrong in both if true is not None and wrong is not None]
    return round(sum(differences) / len(differences), 3) if differences else None


def card(notes: dict) -> str:
    """What is in a file's notes, for people."""
    lines = [f"{notes['network']}, trained for {notes['model']}."]
    for what, told in (("relations", "relations read rightly"), ("places", "things found")):
        if what in notes["accuracy"]:
            lines.append(f"{told}, on pairs never seen together, by noise:")
            for under, rows in notes["accuracy"][what].items():
                shares = "  ".join(f"{n} {'-' if v is None else f'{v:.2f}'}" for n, v in rows.items() if n != "looks")
                lines.append(f"  {under} prompts: {shares}  ({rows['looks']} looks)")
    if notes["leak"] is not None:
        lines.append(f"leak (true less wrong): {notes['leak']:+.3f}")
    return "\n".join([*lines, *notes["made"]])


def save(trained: Trained, notes: dict, path: Path) -> None:
    """Write a file that L2S Classifier Loss takes. notes: as `card` reads them."""
    network = trained.network
    if isinstance(network, PlaceReader):
        files.save(network, files.PLACES, replace(network.config, notes=notes), path)
    elif isinstance(network, RelationClassifier):
        files.save(network, files.CLASSIFIER, replace(network.config, notes=notes), path)
    else:
        files.save(network, files.PUBLISHED, replace(network.config, notes=notes), path)
