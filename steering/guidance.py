"""The gradient steps: move the latent until every relation reads as wanted, and keep the best latent on the way."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .loss import ClassifierLoss

SHARING = ("round-robin", "together", "worst first")


@dataclass(frozen=True)
class Steering:
    """How to steer.

    strength: length of a gradient step in tenths of the latent's standard deviation, so that it means the same at
    every noise level and size; 0 is off. start, end: steered share of the sampling steps, 0..1. refinements: most
    gradient steps in one sampling step. target: probability at which a relation counts as satisfied, 0..1.
    sharing: how several unsatisfied relations share the gradient steps; round-robin as in the paper.
    save_memory: compute the model's blocks again on the way back instead of keeping what they computed.
    """

    strength: float = 1.0
    start: float = 0.0
    end: float = 0.6
    refinements: int = 1
    target: float = 0.9
    sharing: str = "together"
    save_memory: bool = False

    def __post_init__(self):
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError(f"strength is {self.strength}; it must be 0 or more.")
        if not 0 <= self.start <= self.end <= 1:
            raise ValueError(
                f"The steered steps go from {self.start:g} to {self.end:g} of the run: the first must not "
                f"come after the last, and both lie between 0 and 1."
            )
        if self.refinements < 0:
            raise ValueError(f"refinements is {self.refinements}; it must be 0 or more.")
        if not 0 < self.target < 1:
            raise ValueError(f"target is {self.target}; it is a probability between 0 and 1.")
        if self.sharing not in SHARING:
            raise ValueError(f'sharing is "{self.sharing}"; choose one of {", ".join(SHARING)}.')

    def steps(self, total: int) -> range:
        """The steered sampling steps out of `total`."""
        return range(round(self.start * total), round(self.end * total))

    @property
    def active(self) -> bool:
        return self.strength > 0 and self.refinements > 0 and self.end > self.start


@dataclass(frozen=True)
class Look:
    """One steered sampling step: each relation's probability before and after, the gradient steps spent, and the
    maps that the last of them saw (the mean of all channels)."""

    step: int
    level: float
    before: Tensor  # (B, relations)
    after: Tensor
    spent: Tensor  # (B,)
    maps: Tensor | None = None  # (B, words, R, R)


@dataclass
class Report:
    """What happened in the latest run, for people and for plots.

    words: names of the maps' words; steps: sampling steps in all; steered: those among them; target: as in Steering.
    """

    relations: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    words: list[str] = field(default_factory=list)
    steps: int = 0
    steered: range = range(0)
    target: float = 0.0

    def begin(self, loss: ClassifierLoss, steering: Steering, steps: int) -> None:
        """Forget the last run: one of so many sampling steps begins."""
        self.relations, self.words = [str(relation) for relation in loss.relations], loss.names
        self.looks, self.notes, self.failed = [], [], False
        self.steps, self.steered, self.target = steps, steering.steps(steps), steering.target

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of the whole run, all pictures of the batch together."""
        return int(sum(look.spent.sum() for look in self.looks))

    def text(self) -> str:
        lines = []
        for look in self.looks:
            for picture, (before, after) in enumerate(
                zip(look.before.tolist(), look.after.tolist(), strict=True)
            ):
                name = f"step {look.step + 1}" + (
                    f", picture {picture + 1}" if len(look.before) > 1 else ""
                )
                spent = int(look.spent[picture])
                changes = "; ".join(
                    f"{r}: {b:.2f} -> {a:.2f}"
                    for r, b, a in zip(self.relations, before, after, strict=True)
                )
                lines.append(
                    f"{name}: {changes} ({spent} gradient step{'' if spent == 1 else 's'})"
                )
        if self.looks:
            lines.append(f"{self.gradient_steps} gradient steps in all.")
        return "\n".join(lines + self.notes)

    def loss_map(self) -> dict[str, list[float]]:
        """The mean loss before and after each steered step, in the form of the host's LOSS_MAP."""
        return {
            "loss": [
                float(-p.clamp_min(1e-12).log().mean())
                for look in self.looks
                for p in (look.before, look.after)
            ]
        }


def refine(
    x: Tensor,
    losses: Callable[[Tensor], Tensor],
    size: float,
    steering: Steering,
    turns: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradient steps on one sampling step's latent (Learn-to-Steer, section 3, with the faults of its code mended:
    every relation must be satisfied, the last step is judged too, and the best latent is kept).

    x: (B, C, H, W), an ordinary tensor; losses: latent -> (B, relations), differentiable; size: the latent's standard
    deviation at this noise level, the unit of a step; turns: gradient steps of earlier sampling steps, from which
    round-robin goes on. Pictures that are satisfied stay where they are.
    Returns the best latent, probabilities before and after (B, relations), and gradient steps spent (B,).
    Raises FloatingPointError when a loss or gradient is not finite.
    """
    enough = -math.log(steering.target)
    step = 0.1 * steering.strength * size
    spent = torch.zeros(len(x), dtype=torch.long)
    best, best_losses, before = x, None, None
    for turn in range(steering.refinements + 1):
        last = turn == steering.refinements
        with torch.set_grad_enabled(not last):
            leaf = x.detach().requires_grad_(not last)
            now = losses(leaf)
        detached = now.detach()
        if not detached.isfinite().all():
            raise FloatingPointError("The loss is not a finite number")
        if best_losses is None:
            before = best_losses = detached
        else:
            # A relation is bought at another's price too easily: the worst one decides.
            better = detached.amax(1) < best_losses.amax(1)
            best = torch.where(better[:, None, None, None], x, best)
            best_losses = torch.where(better[:, None], detached, best_losses)
        wanting = (detached > enough) & (best_losses.amax(1) > enough)[:, None]  # (B, relations)
        if last or not wanting.any():
            break
        share = _share(detached, wanting, turns + turn, steering.sharing)
        (gradient,) = torch.autograd.grad((now * share).sum(), leaf)
        if not gradient.isfinite().all():
            raise FloatingPointError("The gradient is not a finite number")
        # A step of fixed length along the gradient's direction: the loss's own scale tells nothing about how far to go.
        # Its mean is over what can move: an inpainting mask leaves zeros elsewhere.
        free = (gradient != 0).sum((1, 2, 3), keepdim=True).clamp_min(1)
        direction = gradient / (
            gradient.square().sum((1, 2, 3), keepdim=True) / free
        ).sqrt().clamp_min(1e-20)
        moving = wanting.any(1)
        x = torch.where(moving[:, None, None, None], x - step * direction, x)
        spent += moving.cpu()
    return best, (-before).exp().cpu(), (-best_losses).exp().cpu(), spent


def _share(losses: Tensor, wanting: Tensor, turn: int, sharing: str) -> Tensor:
    """Weights of the relations in this gradient step, (B, relations)."""
    if sharing == "together":
        return wanting.to(losses.dtype)
    if sharing == "worst first":
        chosen = losses.masked_fill(~wanting, -1).argmax(1)
    else:  # the turn-th of those still wanting, over and over
        order = wanting.cumsum(1) * wanting  # 1, 2, ... on the wanting ones
        wanted = turn % wanting.sum(1).clamp_min(1) + 1
        chosen = (order == wanted[:, None]).to(torch.uint8).argmax(1)
    return torch.nn.functional.one_hot(chosen, losses.shape[1]).to(losses.dtype) * wanting
