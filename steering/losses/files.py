"""Files of trained networks: safetensors, with what they are and how they were made in the metadata."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..maps import MapLayout

FORMATS = ("learn-to-steer relation classifier 1", "learn-to-steer reader of places 1", "learn-to-steer published 1")
CLASSIFIER, PLACES, PUBLISHED = FORMATS
NETWORKS = ("reader of places", "relation classifier", "relation classifier, as published")  # for people


class File(NamedTuple):
    """format: one of FORMATS; config: of its network, with the layout of its maps; weights: float32."""

    name: str
    format: str
    config: dict[str, Any]
    weights: dict[str, Tensor]

    def network(self, make) -> nn.Module:
        """What `make` makes of the configuration, with the weights, ready to be used. Raises ValueError, naming the
        file, when they do not fit."""
        try:
            network = make(self.config)
            network.load_state_dict(self.weights)
        except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise ValueError(
                f'The classifier file "{self.name}" is damaged: its weights do not fit its configuration ({error}).'
            ) from error
        return network.requires_grad_(False).train(False)


def save(network: nn.Module, format: str, config, path: Path) -> None:
    """Write weights (float16) and configuration, a dataclass, in one file; there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    weights = {name: p.detach().cpu().half().contiguous() for name, p in network.state_dict().items()}
    save_file(weights, unfinished, {"format": format, "config": json.dumps(asdict(config))})
    os.replace(unfinished, path)


def read(path: Path) -> File:
    """Raises ValueError, naming the file, when it is missing, damaged or something else."""
    path = Path(path)
    if not path.exists():
        raise ValueError(
            f'The classifier file "{path.name}" is not there ({path}). Choose another, or install the pack again.'
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f'The classifier file "{path.name}" is damaged ({error}). Copy or download it again.'
        ) from error
    if metadata.get("format") not in FORMATS:
        raise ValueError(
            f'"{path.name}" is a safetensors file, but no relation classifier of this pack. Choose another in '
            f"L2S Classifier Loss."
        )
    try:
        config = json.loads(metadata["config"])
        if config["layout"] is not None:
            config["layout"] = MapLayout(**config["layout"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'The classifier file "{path.name}" is damaged: its configuration ({error}).') from error
    return File(path.name, metadata["format"], config, weights)
