"""Train and measure a relation classifier on recorded maps."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .losses.classifier import ClassifierConfig, RelationClassifier
from .relations import MIRRORS
from .relations import mirrored as mirrored_relation


@dataclass(frozen=True)
class Recorded:
    """Maps of pictures whose relation is known: shapes (N, channels, R, R), noise levels (N,) in 0..1, labels (N,)."""

    subject: Tensor
    object: Tensor
    level: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, chosen) -> "Recorded":
        parts = (self.subject, self.object, self.level, self.label)
        return Recorded(*(part[chosen] for part in parts))

    def __add__(self, other: "Recorded") -> "Recorded":
        return Recorded(
            torch.cat([self.subject, other.subject]),
            torch.cat([self.object, other.object]),
            torch.cat([self.level, other.level]),
            torch.cat([self.label, other.label]),
        )


def mirrored(data: Recorded, labels: tuple[str, ...]) -> Recorded:
    """The recorded maps, each mirrored by chance in every way there is, with the labels that are then right: eight for
    one. What would have a label that is not among `labels` stays as it is."""
    subject, object, label = data.subject, data.object, data.label
    turns = (lambda m: m.flip(-1), lambda m: m.flip(-2), lambda m: m.mT)  # as relations.MIRRORS
    for mirror, turn in zip(range(len(MIRRORS)), turns, strict=True):
        names = [mirrored_relation(name, mirror) for name in labels]
        become = torch.tensor([labels.index(name) if name in labels else -1 for name in names])[label]
        chosen = (torch.rand(len(data)) < 0.5) & (become >= 0)
        where = chosen[:, None, None, None]
        subject, object = torch.where(where, turn(subject), subject), torch.where(where, turn(object), object)
        label = torch.where(chosen, become, label)
    return Recorded(subject, object, data.level, label)


def train(
    data: Recorded,
    config: ClassifierConfig,
    steps: int,
    batch: int = 256,
    rate: float = 2e-3,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> RelationClassifier:
    """Cross-entropy, AdamW, one cosine. For steering, `data` holds every picture under its true prompt and under a
    wrong one, both labelled by the picture, or the classifier reads the relation word (Learn-to-Steer, section 3)."""
    torch.manual_seed(seed)
    classifier = RelationClassifier(config).train()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        drawn = mirrored(data[torch.randint(len(data), (batch,))], config.labels)
        logits = classifier(drawn.subject.float(), drawn.object.float(), drawn.level)
        loss = F.cross_entropy(logits, drawn.label, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, loss.item())
    return classifier.requires_grad_(False).train(False)


def correct(classifier: RelationClassifier, data: Recorded) -> Tensor:
    """Whether each is read rightly, (N,) bool."""
    parts = [data[part] for part in torch.arange(len(data)).split(512)]
    with torch.inference_mode():
        return torch.cat([classifier(p.subject.float(), p.object.float(), p.level).argmax(1) == p.label for p in parts])
