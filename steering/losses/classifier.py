"""The relation classifier: two words' maps and the noise level -> which relation holds, and its use as a loss."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..maps import MapLayout, shapes
from ..relations import OPPOSITE, RELATIONS
from ..words import Words
from . import Moment, Score, files


@dataclass(frozen=True)
class ClassifierConfig:
    """labels: relations of two things in the order of the outputs; width: channels of the first convolution.

    Raises ValueError for labels that no pair of things can stand in.
    """

    layout: MapLayout
    labels: tuple[str, ...] = ("left of", "right of", "above", "below")
    width: int = 48
    notes: dict = field(default_factory=dict)  # how it was trained and measured; for people

    def __post_init__(self):
        if problem := problem_of(self.labels):
            raise ValueError(problem)


def problem_of(labels: Sequence[str]) -> str | None:
    """Why a classifier of pairs cannot have these labels, as a sentence; None when it can."""
    for label in labels:
        if label not in RELATIONS:
            return f'"{label}" is none of the relations {", ".join(RELATIONS)}.'
        if RELATIONS[label].things != 2:
            return f'"{label}" is about {RELATIONS[label].things} things; a classifier reads two.'
    return None


class RelationClassifier(nn.Module):
    """Small convolutions over both words' maps; differs from the paper's transformer, which is 20 times larger.

    Reads every pair both ways round: "A left of B" is "B right of A", and the two readings are averaged. A label whose
    opposite it does not know ("inside") is read one way.
    """

    back: Tensor
    both_ways: Tensor
    place: Tensor

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.config = config
        width, cells = config.width, config.layout.resolution
        known = [label if OPPOSITE.get(label) in config.labels else None for label in config.labels]
        back = [i if label is None else config.labels.index(OPPOSITE[label]) for i, label in enumerate(known)]
        self.register_buffer("back", torch.tensor(back), persistent=False)
        self.register_buffer("both_ways", torch.tensor([label is not None for label in known]), persistent=False)
        ramp = torch.linspace(-1, 1, cells)
        self.register_buffer(
            "place",
            torch.stack([ramp.expand(cells, cells), ramp[:, None].expand(cells, cells)]),
            persistent=False,
        )
        self.convolutions = nn.Sequential(
            nn.Conv2d(2 * config.layout.channels + 2, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.SiLU(),
        )  # fmt: skip
        self.level = nn.Sequential(nn.Linear(16, 128), nn.SiLU(), nn.Linear(128, 128))
        self.features = nn.Linear(2 * width * (cells // 4) ** 2, 128)
        self.logits = nn.Sequential(
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(128, 128),
            nn.SiLU(),
            nn.Linear(128, len(config.labels)),
        )

    def forward(self, subject: Tensor, object: Tensor, level: Tensor) -> Tensor:
        """subject, object: maps (N, channels, R, R) of mean 1; level: noise levels (N,) in 0..1.

        Returns logits (N, labels).
        """
        forwards = self._read(subject, object, level)
        backwards = self._read(object, subject, level)[:, self.back]
        return (forwards + torch.where(self.both_ways, backwards, forwards)) / 2

    def _read(self, first: Tensor, second: Tensor, level: Tensor) -> Tensor:
        # Maps are peaked: a root keeps one bright cell from hiding the rest.
        maps = torch.cat([first, second], 1).clamp_min(0).add(1e-6).sqrt() - 1
        place = self.place.expand(len(maps), -1, -1, -1)
        seen = self.features(self.convolutions(torch.cat([maps, place], 1)).flatten(1))
        waves = level[:, None] * torch.arange(1, 9, device=level.device) * torch.pi
        return self.logits(seen + self.level(torch.cat([waves.sin(), waves.cos()], 1)))


@dataclass(frozen=True)
class ClassifierLoss:
    """The classifier's cross-entropy for every wish (Learn-to-Steer, section 3, its guidance loss)."""

    classifier: RelationClassifier

    @property
    def layout(self) -> MapLayout:
        return self.classifier.config.layout

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self.classifier,)

    @property
    def relations(self) -> tuple[str, ...]:
        return self.classifier.config.labels

    def score(self, maps: Tensor, words: Words, moment: Moment) -> Score:
        """The negative log-probability of each wish's relation, and that probability."""
        maps, losses = shapes(maps), []
        levels = maps.new_full((len(maps),), moment.level)
        for wish, (subject, object) in zip(words.wishes, words.pairs, strict=True):
            logits = self.classifier(maps[:, subject], maps[:, object], levels)
            label = torch.full((len(maps),), self.relations.index(wish.relation), device=maps.device)
            losses.append(F.cross_entropy(logits, label, reduction="none"))
        loss = torch.stack(losses, 1)
        return Score(loss, (-loss.detach()).exp())


def made(config: dict) -> RelationClassifier:
    """An untrained one, from what a file says. Raises ValueError, and what else wrong types raise."""
    return RelationClassifier(ClassifierConfig(**{**config, "labels": tuple(config["labels"])}))


def save(classifier: RelationClassifier, path: Path) -> None:
    files.save(classifier, files.CLASSIFIER, classifier.config, path)


def load(path: Path) -> RelationClassifier:
    """Raises ValueError, naming the file, when it is missing, damaged or something else."""
    file = files.read(path)
    if file.format != files.CLASSIFIER:
        raise ValueError(f'"{file.name}" is no relation classifier, but another kind of file of this pack.')
    return of(file)


def of(file: files.File) -> RelationClassifier:
    if problem := problem_of(file.config.get("labels", ())):
        raise ValueError(f'The classifier file "{file.name}" cannot be used: {problem}')
    network = file.network(made)
    assert isinstance(network, RelationClassifier)
    return network
