"""Say which object is where in a picture of the demo world.

    python demo/detector.py --steps 1000

trains a small convolutional net on composed scenes, measures it on 1000 fresh ones, and writes
demo/weights/detector.safetensors.
"""

from functools import cache
from pathlib import Path

import numpy as np
import paths
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scenes import CELL_PX, GRID, KINDS, Thing, any_kinds, compose, render
from torch import nn
from training import DEVICE, MasterWeights, Progress, arguments, write

WEIGHTS = paths.WEIGHTS / "detector.safetensors"  # below the root
EQUAL = (0.25, 0.25, 0.25, 0.25)


class Detector(nn.Module):
    """Pictures (B, 3, 128, 128) in 0..1 -> logits (B, kinds, 16, 16): is this kind's centre in this cell?"""

    def __init__(self):
        super().__init__()

        def block(i, o, stride=1):
            return [nn.Conv2d(i, o, 3, stride, 1), nn.GroupNorm(8, o), nn.SiLU()]

        self.layers = nn.Sequential(
            *block(3, 24, 2), *block(24, 48, 2), *block(48, 96), *block(96, 128, 2),
            *block(128, 128), *block(128, 128), *block(128, 128), nn.Conv2d(128, len(KINDS), 1),
        )  # fmt: skip
        nn.init.constant_(self.layers[-1].bias, -4.0)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layers(pictures * 2 - 1)


@cache
def detector(root: Path = paths.ROOT) -> Detector:
    """The trained detector; root: the repository, or a folder that was trained into. Raises FileNotFoundError."""
    weights = root / WEIGHTS
    if not weights.exists():
        raise FileNotFoundError(f"The detector's weights {weights} are missing. Run `make train`.")
    model = Detector()
    model.load_state_dict({name: p.float() for name, p in load_file(weights).items()})
    return model.train(False)


def accuracy(root: Path = paths.ROOT) -> float:
    """The trained detector's measured share of exact fresh scenes."""
    with safe_open(root / WEIGHTS, "pt") as file:
        return float(file.metadata()["exact"])


def find(pictures: torch.Tensor, model: Detector | None = None) -> list[dict[str, Thing]]:
    """Pictures (B, H, W, 3) in 0..1, as the host has them -> for each picture the things in it, by kind.

    Of two things of one kind the surer one counts. Sizes are not read; every thing has the usual 48 px.
    """
    model = model or detector()
    with torch.inference_mode():
        heat = torch.cat(
            [model(part.movedim(-1, 1).float()).sigmoid() for part in pictures.split(64)]
        )  # (B, K, 16, 16)
    found = []
    for picture in F.pad(heat, (1, 1, 1, 1)).numpy():
        things = {}
        for kind, plane in zip(KINDS, picture, strict=True):
            row, column = np.unravel_index(plane.argmax(), plane.shape)
            if plane[row, column] < 0.5:
                continue
            around = plane[row - 1 : row + 2, column - 1 : column + 2]
            dy, dx = ((around * offset).sum() / around.sum() for offset in np.mgrid[-1:2, -1:2])
            things[kind] = Thing(kind, (column - 0.5 + dx) * CELL_PX, (row - 0.5 + dy) * CELL_PX, 48.0)
        found.append(things)
    return found


def scenes(rng: np.random.Generator, n: int) -> tuple[torch.Tensor, list[list[Thing]]]:
    """n scenes: pictures (n, 128, 128, 3) in 0..1, and their things."""
    things = [compose(rng, any_kinds(rng, EQUAL)) for _ in range(n)]
    return torch.from_numpy(np.stack([render(rng, scene) for scene in things])).float() / 255, things


def heat(things: list[list[Thing]]) -> torch.Tensor:
    """What the detector should say: a Gaussian of 0.8 cells on every centre, (n, K, 16, 16)."""
    target = torch.zeros(len(things), len(KINDS), GRID, GRID)
    middle = torch.arange(GRID) + 0.5
    for i, scene in enumerate(things):
        for thing in scene:
            distance = (middle[None, :] - thing.x / CELL_PX) ** 2 + (middle[:, None] - thing.y / CELL_PX) ** 2
            target[i, KINDS.index(thing.kind)] = torch.exp(-distance / (2 * 0.8**2))
    return target


def worn(pictures: torch.Tensor) -> torch.Tensor:
    """Blur, noise and colour shifts, (B, 3, H, W): generated pictures are not as clean as composed ones."""
    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.rand(len(pictures), 1, 1, 1)
    pictures = pictures * share + blurred * (1 - share)
    pictures = pictures * (0.85 + 0.3 * torch.rand(len(pictures), 3, 1, 1)) + 0.1 * torch.randn(len(pictures), 3, 1, 1)
    return (pictures + 0.06 * torch.rand(len(pictures), 1, 1, 1) * torch.randn_like(pictures)).clamp(0, 1)


def exact(found: dict[str, Thing], scene: list[Thing]) -> bool:
    """The same kinds, each centre within a cell."""
    return found.keys() == {thing.kind for thing in scene} and all(
        np.hypot(found[t.kind].x - t.x, found[t.kind].y - t.y) <= CELL_PX for t in scene
    )


def main(given: list[str] | None = None) -> None:
    args = arguments(__doc__, steps=1000, batch=32, fresh=1000).parse_args(given)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    model = Detector().to(DEVICE, torch.bfloat16)
    weights = MasterWeights(dict(model.named_parameters()), args.steps, muon=2e-3, adam=2e-3)
    progress = Progress("detector", 0, args.steps)
    while weights.step < args.steps:
        pictures, things = scenes(rng, args.batch)
        target = heat(things).to(DEVICE)
        logits = model(worn(pictures.movedim(-1, 1)).to(DEVICE, torch.bfloat16)).float()
        loss = (
            (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * (1 + 9 * target))
            .sum((1, 2, 3))
            .mean()
        )
        loss.backward()
        weights.update()
        progress(weights.step, loss=loss.detach())
    model = model.float().cpu().train(False)
    model.load_state_dict(weights.averaged())
    pictures, things = scenes(np.random.default_rng(args.seed + 1), args.fresh)
    share = sum(map(exact, find(pictures, model.half().float()), things)) / len(things)
    print(f"detector: exact on {share:.3f} of {len(things)} fresh scenes")
    metadata = {
        "exact": f"{share:.3f}",
        "fresh_scenes": str(len(things)),
        "steps": str(args.steps),
        "seed": str(args.seed),
    }
    write(
        lambda path: save_file({n: p.half() for n, p in model.state_dict().items()}, path, metadata),
        args.into / WEIGHTS,
    )


if __name__ == "__main__":
    main()
