"""A file of weights of this pack -> its loss, whichever of the networks is in it."""

from pathlib import Path

from ..maps import ModelLayers
from . import Loss, classifier, files, places, published


def load(path: Path, model: ModelLayers) -> tuple[Loss, dict]:
    """The loss, and the notes of its training. model: whose maps it will be given. Raises ValueError, naming the file,
    when it is missing, damaged or something else."""
    file = files.read(path)
    loss: Loss
    if file.format == files.PLACES:
        loss = places.PlacesLoss(places.of(file))
    elif file.format == files.PUBLISHED:
        loss = published.PublishedLoss(published.of(file), model)
    else:
        loss = classifier.ClassifierLoss(classifier.of(file))
    return loss, file.config["notes"]
