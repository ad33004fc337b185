"""The gradient steps: move the latent until every wish reads as granted."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .losses import Score

SHARING = ("round-robin", "together", "worst first")
UNIT, RAW, PUBLISHED, NOISE = MANNERS = ("unit steps", "raw gradient", "raw gradient, as published", "noise prediction")
RAW_STEP = 5.0  # Learn-to-Steer's step size for SD 2.1 and FLUX.1; 7.5 for SD 1.4
NOISE_STEP = 1000.0  # InfSplign's


@dataclass(frozen=True)
class Steering:
    """How to steer.

    strength: length of a gradient step in tenths of the latent's standard deviation, so that it means the same at
    every noise level and size, times the root of the number of wishes that it serves; 0 is off. start, end: steered
    share of the sampling steps, 0..1. refinements: most gradient steps in one sampling step. target: satisfaction at
    which a wish counts as granted, 0..1.
    sharing: how several wishes that are not granted share the gradient steps; round-robin as in the paper.
    save_memory: compute the model's blocks again on the way back instead of keeping what they computed.
    manner: what a gradient does. "unit steps" as above; "raw gradient": a step is RAW_STEP times it, as in the paper;
    "raw gradient, as published": so too, and blind as the paper's code is (_blind); "noise prediction": as InfSplign,
    one gradient a sampling step, and NOISE_STEP times it is added to the predicted noise. There, 1 is their strength.
    """

    strength: float = 1.0
    start: float = 0.0
    end: float = 0.6
    refinements: int = 1
    target: float = 0.9
    sharing: str = "together"
    save_memory: bool = False
    manner: str = UNIT

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
        if self.manner not in MANNERS:
            raise ValueError(f'manner is "{self.manner}"; choose one of {", ".join(MANNERS)}.')

    def steps(self, total: int) -> range:
        """The steered sampling steps out of `total`."""
        return range(round(self.start * total), round(self.end * total))

    @property
    def active(self) -> bool:
        return self.strength > 0 and self.refinements > 0 and self.end > self.start


class Refined(NamedTuple):
    """latent: the one to go on from (B, C, ...); before, after: scores of the first latent and of the best that was
    looked at; spent: gradient steps (B,)."""

    latent: Tensor
    before: Score
    after: Score
    spent: Tensor


def refine(
    x: Tensor,
    score: Callable[[Tensor], Score],
    size: float,
    steering: Steering,
    earlier: int = 0,
    scale: float = 1.0,
    judged: bool = True,
) -> Refined:
    """Gradient steps on one sampling step's latent (Learn-to-Steer, section 3, with the faults of its code mended:
    every wish must be granted, and of those latents that were looked at the best is kept).

    x: (B, C, H, W), an ordinary tensor; score: latent -> Score of (B, wishes), its loss differentiable; size: the
    latent's standard deviation at this noise level, the unit of a step; earlier: gradient steps of earlier sampling
    steps, from which round-robin goes on; scale: what a raw gradient is multiplied by, so that a step means the same
    as in the latent that the published code moves. Pictures whose wishes are granted stay where they are.
    Raises FloatingPointError when a loss or gradient is not finite.
    """
    if steering.manner in (PUBLISHED, NOISE):
        return _blind(x, score, steering, earlier, scale)
    spent = torch.zeros(len(x), dtype=torch.long)
    best_x = x
    before: Score
    best: Score
    for number in range(steering.refinements + judged):
        last = number == steering.refinements
        with torch.set_grad_enabled(not last):
            leaf = x.detach().requires_grad_(not last)
            losses, satisfaction = score(leaf)
        now = Score(losses.detach(), satisfaction.detach())
        if not now.loss.isfinite().all():
            raise FloatingPointError("The loss is not a finite number")
        if number == 0:
            before = best = now
        else:
            better = _better(now, best)
            best_x = torch.where(_wide(better, x), x, best_x)
            best = Score(*(torch.where(better[:, None], n, b) for n, b in zip(now, best, strict=True)))
        open_pictures = best.satisfaction.amin(1) < steering.target
        wanting = (now.satisfaction < steering.target) & open_pictures[:, None]  # (B, wishes)
        if last or not wanting.any():
            break
        share = _share(now.loss, wanting, earlier + number, steering.sharing)
        gradient = _gradient(losses, share, leaf)
        moving = wanting.any(1)
        length = size * _wide(share.sum(1).sqrt(), x)  # wishes of other things pull in directions of their own
        x = torch.where(_wide(moving, x), x - _step(gradient, length, steering, scale), x)
        spent += moving.cpu()
    return Refined(best_x if judged else x, _on_cpu(before), _on_cpu(best), spent)


def _blind(x: Tensor, score: Callable[[Tensor], Score], steering: Steering, earlier: int, scale: float) -> Refined:
    """As published, with its faults: each gradient step is taken by the one wish whose turn it is, all end as soon as
    that one is granted, and what the last made is kept and never looked at. Of "noise prediction" there is one step,
    for all wishes as sharing says.
    """
    spent = torch.zeros(len(x), dtype=torch.long)
    before: Score
    now: Score
    going = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for number in range(1 if steering.manner == NOISE else steering.refinements):
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            losses, satisfaction = score(leaf)
        now = Score(losses.detach(), satisfaction.detach())
        if not now.loss.isfinite().all():
            raise FloatingPointError("The loss is not a finite number")
        if number == 0:
            before = now
        wanting = now.satisfaction < steering.target
        if steering.manner == NOISE:
            share = _share(now.loss, wanting, earlier, steering.sharing)
        else:
            turn = torch.zeros_like(wanting)
            turn[:, number % turn.shape[1]] = True
            share = (wanting & turn).to(now.loss.dtype)
        going = going & share.any(1)
        if not going.any():
            break
        x = torch.where(_wide(going, x), x - _step(_gradient(losses, share, leaf), 1.0, steering, scale), x)
        spent += going.cpu()
    return Refined(x, _on_cpu(before), _on_cpu(now), spent)


def _gradient(losses: Tensor, share: Tensor, leaf: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad((losses * share).sum(), leaf)
    if not gradient.isfinite().all():
        raise FloatingPointError("The gradient is not a finite number")
    return gradient


def _step(gradient: Tensor, size: Tensor | float, steering: Steering, scale: float) -> Tensor:
    """What is taken from the latent, (B, C, ...). size: the unit of its length."""
    if steering.manner == UNIT:
        return 0.1 * steering.strength * size * _direction(gradient)
    return (NOISE_STEP if steering.manner == NOISE else RAW_STEP) * steering.strength * scale * gradient


def _better(now: Score, best: Score) -> Tensor:
    """Which pictures improved, (B,) bool. A wish is bought at another's price too easily: the worst one decides.

    Where satisfaction tells nothing (0 and 0 of wishes far away), the loss does.
    """
    worst, worst_before = now.satisfaction.amin(1), best.satisfaction.amin(1)
    return (worst > worst_before) | ((worst == worst_before) & (now.loss.amax(1) < best.loss.amax(1)))


def _direction(gradient: Tensor) -> Tensor:
    """The gradient (B, C, ...) of unit length a cell: the loss's own scale tells nothing about how far to go.

    The mean is over what can move: an inpainting mask leaves zeros elsewhere.
    """
    cells = tuple(range(1, gradient.ndim))
    free = (gradient != 0).sum(cells, keepdim=True).clamp_min(1)
    return gradient / (gradient.square().sum(cells, keepdim=True) / free).sqrt().clamp_min(1e-20)


def _wide(pictures: Tensor, x: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...), to be used beside x."""
    return pictures.view(-1, *[1] * (x.ndim - 1))


def _on_cpu(score: Score) -> Score:
    return Score(score.loss.cpu(), score.satisfaction.cpu())


def _share(losses: Tensor, wanting: Tensor, number: int, sharing: str) -> Tensor:
    """Weights of the wishes in this gradient step, (B, wishes)."""
    if sharing == "together":
        return wanting.to(losses.dtype)
    if sharing == "worst first":
        chosen = losses.masked_fill(~wanting, -1).argmax(1)
    else:  # the number-th of those still wanting, over and over
        order = wanting.cumsum(1) * wanting  # 1, 2, ... on the wanting ones
        wanted = number % wanting.sum(1).clamp_min(1) + 1
        chosen = (order == wanted[:, None]).to(torch.uint8).argmax(1)
    return torch.nn.functional.one_hot(chosen, losses.shape[1]).to(losses.dtype) * wanting
