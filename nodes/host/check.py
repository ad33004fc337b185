"""Whether a loss belongs to the model that samples."""

from dataclasses import replace

from ...steering.maps import MapLayout, MapSettings
from .capture import model_layers


def check_fits(model, layout: MapLayout) -> None:
    """Raises ValueError for a MODEL whose maps are not those that a loss of this layout reads."""
    layers = f"{layout.first}-{layout.last}"
    try:
        own = MapSettings(layers, layout.heads, layout.resolution, layout.softmax).layout(model_layers(model))
        own = replace(own, published=layout.published)  # how maps are stacked is no matter of the model
    except ValueError as error:  # it lacks layers, or cannot be read at all
        own, why = None, f": {error}"
    else:
        why = f", whose maps are of {own}."
    if own != layout:
        raise ValueError(
            f"The loss reads the maps of {layout}, but another model samples{why} Connect the MODEL that samples to "
            "Attention Capture too, and choose a loss for it in L2S Classifier Loss."
        )
