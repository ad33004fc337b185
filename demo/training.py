"""What all trainings of the demo share: their sizes, the optimizer, resuming, and a progress line."""

import argparse
import math
import os
import time
from pathlib import Path

import paths
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = {
    "steps": "training steps",
    "batch": "scenes in a training step, or looks",
    "scenes": "scenes that are composed once and learnt from",
    "draws": "looks at each scene under each kind of prompt",
    "fresh": "new scenes that the result is measured on",
}


def arguments(about: str | None, **usual: int) -> argparse.ArgumentParser:
    """A training's parser. usual: its sizes. It takes the others' too, so that `make train` can hand all of them on."""
    parser = paths.arguments(about)
    for name, meaning in SIZES.items():
        meaning += f" (usual: {usual[name]})" if name in usual else ", in other trainings"
        parser.add_argument(f"--{name}", type=int, default=usual.get(name), help=meaning)
    parser.add_argument("--seed", type=int, default=1)
    return parser


class MasterWeights:
    """Trains bfloat16 weights through a float32 copy: Muon for matrices and convolutions, AdamW for the rest.

    bfloat16 is what these CPUs multiply fastest; the copy keeps the small updates that bfloat16 would round away.
    `average` is a moving average of the float32 copy, the weights to ship. Learning rates decay as a half cosine.
    """

    def __init__(self, named: dict[str, torch.nn.Parameter], steps: int, muon: float, adam: float, warmup: int = 100):
        self.named, self.steps, self.warmup, self.step = named, steps, warmup, 0
        # Muon takes matrices: a convolution is one, (out, in * kh * kw). Tables of embeddings are lookups, not maps.
        self.flat = {name for name, p in named.items() if p.ndim >= 2 and "embedding" not in name}
        self.master = {
            name: torch.nn.Parameter(p.detach().float().flatten(1) if name in self.flat else p.detach().float().clone())
            for name, p in named.items()
        }
        self.average = {name: p.detach().clone() for name, p in self.master.items()}
        rest = [p for name, p in self.master.items() if name not in self.flat]
        self.optimizers = [
            torch.optim.Muon(
                [self.master[n] for n in named if n in self.flat],
                lr=muon,
                weight_decay=0.01,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(rest, lr=adam, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.rates = [muon, adam]

    def update(self) -> None:
        """One step from the gradients of the bfloat16 weights, which it clears."""
        decay = 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        scale = min(1.0, (self.step + 1) / self.warmup) * (0.02 + 0.98 * decay)
        for name, p in self.named.items():
            self.master[name].grad = p.grad.float().reshape(self.master[name].shape) if p.grad is not None else None
            p.grad = None
        torch.nn.utils.clip_grad_norm_(self.master.values(), 1.0)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
            optimizer.step()
        self.step += 1
        keep = min(0.999, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            masters = list(self.master.values())
            torch._foreach_lerp_(list(self.average.values()), masters, 1 - keep)
            for name, p in self.named.items():
                p.copy_(self.master[name].view(p.shape))

    def averaged(self) -> dict[str, torch.Tensor]:
        return {name: p.view(self.named[name].shape) for name, p in self.average.items()}

    def state(self) -> dict:
        return {
            "step": self.step,
            "master": self.master,
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
        }

    def load(self, state: dict) -> None:
        self.step = state["step"]
        with torch.no_grad():
            for name, p in self.master.items():
                p.copy_(state["master"][name])
                self.average[name].copy_(state["average"][name])
                self.named[name].copy_(p.view(self.named[name].shape))
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def write(save, path: Path) -> None:
    """save(temporary path), then rename: a file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save(unfinished)
    os.replace(unfinished, path)


class Progress:
    """A line now and then: step, loss, speed, time left."""

    def __init__(self, name: str, start: int, steps: int, every: int = 50):
        self.name, self.start, self.steps, self.every = name, start, steps, every
        self.began, self.sums, self.count = time.time(), {}, 0

    def __call__(self, step: int, **values: float | torch.Tensor) -> None:
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + value  # a card is not waited for until the line is due
        self.count += 1
        if step % self.every and step != self.steps:
            return
        seconds = time.time() - self.began
        left = seconds / max(step - self.start, 1) * (self.steps - step)
        numbers = "  ".join(f"{key} {float(total) / self.count:.4f}" for key, total in self.sums.items())
        print(f"{self.name} {step}/{self.steps}  {numbers}  {seconds / 60:.1f} min, {left / 60:.1f} left", flush=True)
        self.sums, self.count = {}, 0
