"""Words bound to places inside the model's attention: in its place a word is seen alone, and elsewhere it is not seen.

Region binding as in Stitch (arXiv 2509.26644), but with the words of the one prompt in place of a prompt a box, which
any family can: a number is added to the scores of text-to-image attention, in the first steps. No gradient, and no call
of the model more.
"""

import contextlib
import math

import comfy.conds
import comfy.ldm.modules.attention
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...steering.maps import pooling
from ...steering.plan import cells
from ...steering.relations import Box
from ...steering.words import Words
from .attention_calls import ARGUMENTS, AttentionCalls, plain
from .families import family_of, layers_of
from .marks import MARK
from .places import Sequence, latent_of
from .sampling import check_guider

KEY = "learn_to_steer_places"
BOUND = "learn_to_steer_bound"  # in a pass's conditionings: 1 for a picture whose text is the prompt, else 0
HIDDEN = -1e4  # a score that leaves nothing, also in half precision


def bind(model, words: Words, places: tuple[Box, ...], end: float, strength: float):
    """A clone of the MODEL that sees each of the words in its place only, in the first steps.

    places: of each of the words, in shares of the picture's sides. end: until when, as a share of the schedule, 0..1,
    as the host's nodes count it. strength: how much of what is not to be seen is hidden, 0..1. With nothing to do it is
    a plain clone. Raises ValueError for values beyond these, and for a model whose attention is not known.
    """
    for name, value in (("end", end), ("strength", strength)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value:g}; it must lie between 0 and 1.")
    bound = model.clone()
    layers_of(model.get_model_object("diffusion_model"))  # says so when they are not known
    if not places or end == 0 or strength == 0:
        return bound

    def outer_sample(executor, noise, *args, **kwargs):
        guider = executor.class_obj
        check_guider(guider, words.prompt)
        check_room(guider.model_options, noise)
        return executor(noise, *args, **kwargs)

    def calc_cond_batch(executor, inner, conds, x, sigma, *args, **kwargs):
        if float(sigma.max()) > inner.model_sampling.percent_to_sigma(end):
            conds = [group and [_told(cond, words.prompt, x.device) for cond in group] for group in conds]
        return executor(inner, conds, x, sigma, *args, **kwargs)

    def apply_model(
        executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **kwargs
    ):  # fmt: skip
        ours, options = kwargs.pop(BOUND, None), transformer_options or {}
        if ours is None or not ours.any():
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
        calls = BoundCalls(executor.class_obj.diffusion_model, words, places, strength, ours, options)
        with calls.bound():
            return executor(x, t, c_concat, c_crossattn, control, calls.led, **kwargs)

    bound.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample)
    bound.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, calc_cond_batch)
    bound.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, apply_model)
    return bound


def check_room(model_options: dict, latent: Tensor) -> None:
    """Raises ValueError where words cannot be bound: in several frames, and beside another pack's attention."""
    if latent.ndim == 5 and latent.shape[2] > 1:
        raise ValueError(f"This latent has {latent.shape[2]} frames; regions are for pictures, of one frame.")
    if model_options.get("transformer_options", {}).get("patches_replace", {}).get("attn2"):
        raise ValueError(
            "Another node (IP-Adapter or its kind) has put its own attention in the model's place, so words cannot be "
            "bound to regions there. Bypass it, or bypass Regions from Relations."
        )


def _told(cond: dict, prompt: str, device) -> dict:
    """A conditioning entry that tells a pass whether its text is the prompt. All tell, so that the host goes on to
    compute them together."""
    ours = float(MARK in cond and cond[MARK].prompt == prompt)
    told = comfy.conds.CONDRegular(torch.full((1, 1), ours, device=device))
    return {**cond, "model_conds": {**cond["model_conds"], BOUND: told}}


class BoundCalls(AttentionCalls):
    """The attention calls of one forward pass, in which scores of text-to-image layers are changed. led: the
    model's options, with calls led here."""

    def __init__(self, unet, words: Words, places: tuple[Box, ...], strength: float, ours: Tensor, options: dict):
        super().__init__(family_of(unet), lambda *_, **__: None)
        self.unet, self.words, self.places, self.ours = unet, words, places, ours.reshape(-1, 1, 1, 1)
        self.hidden = max(HIDDEN, math.log(1 - strength)) if strength < 1 else HIDDEN
        self.before = options.get("optimized_attention_override")  # another pack's
        self.led = {**options, "optimized_attention_override": self._answer}
        self.sequence = Sequence(unet, self.family)
        self.made: dict[tuple, Tensor] = {}  # what is added to a call's scores, by its sizes

    @contextlib.contextmanager
    def bound(self):
        """For the one pass that is run inside. Raises ValueError when no layer was met in it."""
        layers = dict(enumerate(layers_of(self.unet), 1))
        with self.unet.register_forward_pre_hook(self._begin, with_kwargs=True), self.heard(layers):
            yield
        if not self.made:
            raise ValueError(
                "The model ran none of its text-to-image attention layers, so words were not bound to regions. Another "
                "node probably skips or replaces them; bypass it, or bypass Regions from Relations."
            )

    def _begin(self, unet, args, kwargs) -> None:
        if self.family.refuses(kwargs):
            raise ValueError(
                "This model was given reference pictures, which here cannot be told from the picture that is made, so "
                "words cannot be bound to regions. Bypass the node that gives them, or bypass Regions from Relations."
            )
        self.sequence.begin(latent_of(args), kwargs)

    def _answer(self, function, *args, **kwargs):
        args, kwargs = plain(args, kwargs)
        given = dict(zip(ARGUMENTS, args, strict=False)) | kwargs
        scores = None if self.next is None else self._scores(**given)
        if scores is not None:
            self.next = None  # any further call until the next layer is not its text-to-image one
            given["mask"] = added(given.get("mask"), scores)
            args, kwargs = tuple(given.pop(name) for name in ("q", "k", "v", "heads")), given
            function = comfy.ldm.modules.attention.attention_pytorch  # not all backends take a mask
        return function(*args, **kwargs) if self.before is None else self.before(function, *args, **kwargs)

    def _scores(self, q: Tensor, k: Tensor, transformer_options=None, **_) -> Tensor | None:
        """What to add to a call's scores, (B, 1, rows, columns); None where the picture is not in it."""
        height, width = size = self.sequence.size(transformer_options)
        sizes = q.shape[-2], k.shape[-2], height, width
        if sizes not in self.made:
            rows, columns = sizes[:2]
            at = self.sequence.places(rows, columns, size)
            if at is None:
                return None
            scores = torch.zeros(rows, columns)
            hidden = ~seen(self.words, self.places, at.text[1] - at.text[0], height, width)
            scores[at.image : at.image + height * width, slice(*at.text)] = self.hidden * hidden
            self.made[sizes] = (self.ours.to(q) * scores.to(q)).contiguous()
        return self.made[sizes]


def seen(words: Words, places: tuple[Box, ...], columns: int, height: int, width: int) -> Tensor:
    """Which text columns each image token sees, (height * width, columns) bool.

    Inside a word's place: the word's, and those before all words. What comes after a word was encoded with it in view,
    and brings it along: on the demo model, hiding the word's columns alone does next to nothing. Elsewhere: all but the
    words'. Raises ValueError when a word lies beyond the columns.
    """
    of_words = pooling(words.rows, columns)[0] > 0  # (words, columns)
    inside = torch.stack([cells(place, height, width).flatten() for place in places], 1)  # (cells, words)
    own = (inside.float() @ of_words.float()) > 0
    first = torch.arange(columns) < min(map(min, words.rows))
    return torch.where(inside.any(1, keepdim=True), own | first, ~of_words.any(0))


def added(mask: Tensor | None, scores: Tensor) -> Tensor:
    """The host's mask of an attention call, which may lack dimensions or be of bools, with scores (B, 1, rows, columns)
    added."""
    if mask is None:
        return scores
    mask = mask[None] if mask.ndim == 2 else mask
    mask = mask[:, None] if mask.ndim == 3 else mask
    return torch.where(mask, scores, HIDDEN) if mask.dtype == torch.bool else mask + scores
