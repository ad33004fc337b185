"""Where the things of a prompt should be: as near as can be to where the model has them, such that all wishes hold.

A wish alone pulls its two things; what a third needs is not in it, so that several wishes push things about and lose
some. Here all are asked at once: how likely is each place of a thing, given that every wish holds and no two things
share a place? That is inference in a graph of things and wishes, by passing messages (belief propagation, Pearl 1988):
exact where the wishes make a tree, near it elsewhere. Nothing in it is learnt.
"""

from functools import cache

import torch
from torch import Tensor

from ..relations import PLACES, RELATIONS
from ..words import Words
from . import Score
from .geometry import granted, mask

DOUBT = 0.02  # share of places that it may want besides: none is impossible
APART = 0.25  # of the picture's side: so far at least are things from each other that no wish relates
LEAST = 1e-12


def asked(likely: Tensor, words: Words) -> Score:
    """How much of the places, (B, words, R, R) of sum 1 each, grants every wish; the loss is how far its things are
    from where they should be: the divergence of their places from the wanted ones, in nats, the mean of both."""
    alone = granted(likely, words)
    should = wanted(likely, words)
    missing = (should * (should.log() - likely.clamp_min(LEAST).log())).sum((-1, -2))
    losses = [
        alone.loss[:, number] if RELATIONS[wish.relation].between else missing[:, list(pair)].mean(1)
        for number, (wish, pair) in enumerate(zip(words.wishes, words.pairs, strict=True))
    ]
    return Score(torch.stack(losses, 1), alone.satisfaction)


def wanted(likely: Tensor, words: Words) -> Tensor:
    """likely: where each thing is, (B, words, R, R) of sum 1. Returns where it should be, of the same shape and sums;
    no gradient goes through it. Wishes of three things have no part in it."""
    with torch.no_grad():
        side = likely.shape[-1]
        doubted = (1 - DOUBT) * likely + DOUBT / side**2
        for wish, pair in zip(words.wishes, words.pairs, strict=True):
            if wish.relation in PLACES:
                doubted[:, pair[0]] *= mask(wish.relation, side).to(doubted).clamp_min(LEAST)
        given = _given(doubted.transpose(0, 1).log(), _bonds(words)).transpose(0, 1)
        return given / given.sum((-1, -2), keepdim=True)


def _bonds(words: Words) -> list[tuple[int, int, str]]:
    """Subject, object, and the relation that must hold between them; "" between those that are only to be apart."""
    wishes = zip(words.wishes, words.pairs, strict=True)
    bonds = [(pair[0], pair[1], wish.relation) for wish, pair in wishes if len(pair) == 2]
    related = {frozenset((a, b)) for a, b, _ in bonds}
    others = [(a, b) for a in range(len(words.rows)) for b in range(a) if frozenset((a, b)) not in related]
    return bonds + [(a, b, "") for a, b in others]


def _given(alone: Tensor, bonds: list[tuple[int, int, str]]) -> Tensor:
    """Each thing's places given all bonds, up to a factor, from the logarithm of those alone, (things, B, R, R)."""
    if not bonds:
        return alone.exp()
    side = alone.shape[-1]
    # Two messages a bond: what is told to its subject, and what is told to its object.
    told = alone.new_tensor([end for a, b, _ in bonds for end in (a, b)], dtype=torch.long)
    telling = told.view(-1, 2).flip(1).flatten()
    kernels = torch.stack([way for *_, name in bonds for way in (_holds(name, side), _holds(name, side).flip(-1, -2))])
    size = 3 * side, 3 * side  # no less than a convolution in full
    kernels = torch.fft.rfft2(kernels.to(alone), size)[:, None]
    said = alone.new_zeros(len(told), *alone.shape[1:])  # as logarithms
    for _ in range(len(alone)):  # more than the longest way through a tree
        back = said.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        heard = (alone.index_add(0, told, said)[telling] - back).flatten(-2).softmax(-1).view_as(said)
        likely = torch.fft.irfft2(torch.fft.rfft2(heard, size) * kernels, size)
        said = likely[..., side - 1 : 2 * side - 1, side - 1 : 2 * side - 1].clamp_min(LEAST).log()
    return alone.index_add(0, told, said).flatten(-2).softmax(-1).view_as(alone) + LEAST


@cache
def _holds(relation: str, side: int) -> Tensor:
    """Where it holds among the offsets from object to subject, (2R - 1, 2R - 1), 0 or 1."""
    if relation:
        return mask(relation, side)
    with torch.inference_mode(False):  # kept for later runs
        steps = torch.arange(1 - side, side) / side
        return (steps[:, None].hypot(steps) >= APART).float()
