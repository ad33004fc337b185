"""Maps and wanted relations -> how wrong each relation is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import MapLayout
from .classifier import RelationClassifier
from .relations import Relation


@dataclass(frozen=True)
class ClassifierLoss:
    """The classifier's cross-entropy for every wanted relation (Learn-to-Steer, section 3, its guidance loss).

    prompt: the text that the relations were read from, which marks its conditioning; words: rows of the conditioning
    that hold each phrase that maps are captured for; pairs: (subject, object) of each relation, as indices into words.
    """

    classifier: RelationClassifier
    prompt: str
    relations: tuple[Relation, ...]
    words: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int], ...]

    @property
    def layout(self) -> MapLayout:
        return self.classifier.config.layout

    @property
    def names(self) -> list[str]:
        """The words' text; empty for those of relations that are not steered."""
        names = [""] * len(self.words)
        for relation, pair in zip(self.relations, self.pairs, strict=True):
            for word, phrase in zip(pair, relation.things, strict=True):
                names[word] = phrase.text
        return names

    def __call__(self, maps: Tensor, level: float) -> Tensor:
        """maps: (B, words, channels, R, R); level: noise level in 0..1.

        Returns the negative log-probability of each wanted relation, (B, relations).
        """
        labels = self.classifier.config.labels
        losses = []
        for relation, (subject, object) in zip(self.relations, self.pairs, strict=True):
            levels = maps.new_full((len(maps),), level)
            logits = self.classifier(maps[:, subject], maps[:, object], levels)
            losses.append(
                F.cross_entropy(
                    logits,
                    torch.full((len(maps),), labels.index(relation.label), device=maps.device),
                    reduction="none",
                )
            )
        return torch.stack(losses, 1)


def steerable(
    classifier: RelationClassifier, relations: tuple[Relation, ...]
) -> tuple[tuple[Relation, ...], tuple[str, ...]]:
    """The relations that the classifier knows, and a sentence for each that it does not."""
    labels = classifier.config.labels
    known = tuple(relation for relation in relations if relation.label in labels)
    unknown = tuple(
        f'"{relation}" is not steered: this classifier knows only {", ".join(labels)}.'
        for relation in relations
        if relation.label not in labels
    )
    return known, unknown
