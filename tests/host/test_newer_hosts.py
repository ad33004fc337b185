"""What ComfyUI does since 0.30.0, by stand-ins in the host that is here: boxed attention, overrides that are set before
each forward pass, the model compiler, references before the picture."""

import functools
import sys
import types

import comfy.cli_args
import comfy.conds
import pytest
import torch
from call_orders import QwenImage21Transformer2DModel
from comfy.ldm.modules.attention import attention_pytorch
from comfy.patcher_extension import CallbacksMP
from inside import CARD, inside, layout_of, middle_sigma
from learn_to_steer.nodes.host.binding import HIDDEN, BoundCalls, bind
from learn_to_steer.nodes.host.capture import capture
from learn_to_steer.nodes.host.families import FAMILIES as KNOWN
from learn_to_steer.nodes.host.families import family_of
from learn_to_steer.nodes.host.gradient import differentiable
from learn_to_steer.steering.maps import pooling, shapes
from learn_to_steer.steering.plan import plan
from learn_to_steer.steering.words import Words
from test_regions import sampled, words_of
from tiny import latent, positive, random, tiny

WORDS = pooling([(3,), (5, 6)])


def maps_of(family: str, model=None, change=lambda entry: None):
    """The maps that are read, and their gradient with respect to the latent."""
    model = model or tiny(family)

    def read(inner, entry, options):
        change(entry)
        with differentiable(inner.diffusion_model):
            x = latent(family).to(CARD, copy=True).requires_grad_()
            maps = capture(inner, entry, x, middle_sigma(inner), options, WORDS, layout_of(model, "all"))
            weights = random(*shapes(maps).shape, seed=4).to(CARD)
            return maps.detach(), torch.autograd.grad((shapes(maps) * weights).sum(), x)[0]

    return inside(model, positive(family), latent(family), read)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a - b).abs().max() == 0.0


# --- Attention that is handed boxes -----------------------------------------------------------------------------------


class Box:
    """Gives its tensor away once."""

    def __init__(self, tensor):
        self.tensor = tensor

    def take(self):
        tensor, self.tensor = self.tensor, None
        assert tensor is not None
        return tensor


class Preferred(torch.nn.Module):
    """Of a block: the kernel that its checkpoint asks for, which has no gradient."""

    def __init__(self):
        super().__init__()
        self.function = lambda q, *args, **kwargs: attention_pytorch(q.detach(), *args, **kwargs)


Preferred.__name__ = "ComfyAttention"


BOXED = ("PixArt alpha", "HunyuanDiT", "ERNIE-Image")  # their blocks ask nobody for another attention


def box(family: str, monkeypatch) -> None:
    """From now on, the family's blocks hand over boxes and a preferred kernel."""
    module = sys.modules[family_of(tiny(family).model.diffusion_model).bypasses]
    own = module.optimized_attention

    def boxing(q, k, v, *args, **kwargs):
        if module.optimized_attention is own:  # it takes boxes in newer hosts
            return own(q, k, v, *args, **kwargs)
        return module.optimized_attention(Box(q), Box(k), Box(v), *args, preferred_attention=Preferred(), **kwargs)

    boxed = 0
    for cls in vars(module).values():
        forward = getattr(cls, "forward", None) if isinstance(cls, type) and cls.__module__ == module.__name__ else None
        if isinstance(forward, types.FunctionType) and "optimized_attention" in forward.__code__.co_names:
            names = {**forward.__globals__, "optimized_attention": boxing}
            new = types.FunctionType(forward.__code__, names, "forward", forward.__defaults__, forward.__closure__)
            monkeypatch.setattr(cls, "forward", new)
            boxed += 1
    assert boxed


@pytest.mark.parametrize("family", BOXED)
def test_boxed_attention_is_read_like_any_other(family, monkeypatch):
    plain = maps_of(family)
    box(family, monkeypatch)
    assert_same(maps_of(family), plain)


def test_a_kernel_that_a_checkpoint_asks_for_rests_in_a_guided_pass(monkeypatch):
    """A block that asks nobody calls it, and it has no gradient."""
    model = tiny("SD15")
    block = next(m for m in model.model.diffusion_model.modules() if type(m).__name__ == "FeedForward")
    preferred = Preferred()
    monkeypatch.setattr(block, "comfy_attention", preferred, raising=False)
    forward, kernel = block.forward, preferred.function

    def attending(x):
        attend = preferred.function or attention_pytorch
        return forward(x + attend(x, x, x, 1))

    monkeypatch.setattr(preferred, "function", None)
    with monkeypatch.context() as patched:
        patched.setattr(block, "forward", attending)
        right = maps_of("SD15")
        preferred.function = kernel
        assert_same(maps_of("SD15"), right)
        assert preferred.function is kernel


def test_an_override_that_is_set_anew_before_each_pass_is_not_asked_in_a_guided_one():
    """As sparse attention does it, and its kernel has no gradient."""
    plain, model = maps_of("SD15"), tiny("SD15").clone()

    def sparse(function, q, k, v, *args, **kwargs):
        return function(q.detach(), k.detach(), v, *args, **kwargs)

    def install(patcher, timestep, model_options=None, *_):  # older hosts give no options
        (model_options or patcher.model_options)["transformer_options"]["optimized_attention_override"] = sparse

    model.add_callback_with_key(CallbacksMP.ON_PREPARE_STATE, "sparse", install)
    assert_same(maps_of("SD15", model), plain)


# --- The model compiler -----------------------------------------------------------------------------------------------


def test_the_model_compiler_rests_in_a_guided_pass_and_is_on_again_after_it(monkeypatch):
    """It records what a pass allocates, from the first block to the last, and fetches blocks ahead: a pass that ends
    early would leave both open."""
    arguments, model = comfy.cli_args.args, tiny("SD15")
    unet = model.model.diffusion_model
    monkeypatch.setattr(arguments, "disable_comfy_compiler", False, raising=False)
    begun, left_open = [], []
    forward = unet.forward

    def malloc_graph_begin():
        if not arguments.disable_comfy_compiler:
            begun.append("graph")
            left_open.append("graph")

    def make_prefetch_queue(options):
        if options["prefetch_dynamic_vbars"]:
            begun.append("queue")
            left_open.append("queue")

    def compiled(*args, **kwargs):
        make_prefetch_queue(kwargs["transformer_options"])
        malloc_graph_begin()
        answer = forward(*args, **kwargs)
        left_open.clear()
        return answer

    def as_the_host(module, args, kwargs):
        kwargs["transformer_options"] = {**kwargs["transformer_options"], "prefetch_dynamic_vbars": True}
        return args, kwargs

    monkeypatch.setattr(unet, "forward", compiled)
    with unet.register_forward_pre_hook(as_the_host, with_kwargs=True):
        maps_of("SD15")
        assert not begun and not left_open
        assert arguments.disable_comfy_compiler is False
        inside(model, positive("SD15"), latent("SD15"), functools.partial(plain_pass, latent("SD15")))
    assert begun == ["queue", "graph"] and not left_open


def plain_pass(x, inner, entry, options):
    return comfy.samplers.calc_cond_batch(inner, [[entry]], x.to(CARD), middle_sigma(inner), options)


# --- References -------------------------------------------------------------------------------------------------------


def test_references_whose_place_is_not_known_are_refused():
    """Ming-Image's edits are of Z-Image's class, but their references follow the picture."""

    def add(entry):
        entry["model_conds"]["ref_frames"] = comfy.conds.CONDConstant([random(1, 16, 12, 10)])

    with pytest.raises(ValueError, match="given reference pictures.*Bypass the node that gives them"):
        maps_of("Z-Image", change=add)


# --- Regions ----------------------------------------------------------------------------------------------------------


def bound_pass(unet, x, context, strength=1.0, **given):
    """Masks of the calls of one forward pass of a copy in which words are bound, in their order, as (q, k, mask)."""
    words = Words("", (), ("dog", "cat"), ((3,), (5,)), ())
    seen = []

    def note(function, q, k, v, heads, mask=None, **kwargs):
        seen.append((q.shape[-2], k.shape[-2], mask))
        return function(q, k, v, heads, mask=mask, **kwargs)

    options = {"optimized_attention_override": note}
    calls = BoundCalls(unet, words, ((0, 0, 1, 0.5), (0, 0.5, 1, 1)), strength, torch.ones(1), options)
    with calls.bound():
        unet(x, None, context=context, transformer_options=calls.led, **given)
    return seen


@pytest.mark.parametrize("family", BOXED)
def test_words_are_bound_in_boxed_attention_as_in_any_other(family, monkeypatch):
    model, words = tiny(family), words_of(family)
    bound = bind(model, words, plan(words), 0.5, 1.0)
    plain = sampled(family, bound)
    assert not torch.equal(plain, sampled(family, model))
    box(family, monkeypatch)
    assert torch.equal(sampled(family, bound), plain)


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("rows", [9, 43])  # of text, where the picture has 30
def test_words_are_bound_in_the_picture_s_call_and_not_in_the_text_s(rows, prefix):
    unet = QwenImage21Transformer2DModel().requires_grad_(False)
    unet.prefix_pass = prefix
    seen = bound_pass(unet, random(1, 4, 6, 5), random(1, rows, 8, seed=2))
    assert [call[:2] for call in seen] == [(rows, rows), (30, rows + 30)] * 2
    for (_, _, of_text), (_, _, of_picture) in zip(seen[::2], seen[1::2], strict=True):
        assert of_text.dtype == torch.bool
        hidden = of_picture[0, 0] <= HIDDEN
        assert hidden[:15, 4:rows].all() and hidden[15:, 3].all()
        assert not hidden[:, :3].any() and not hidden[:, rows:].any()


def test_references_that_cannot_be_told_from_the_picture_are_refused_for_regions_too():
    x = random(1, 4, 6, 5)
    with pytest.raises(ValueError, match="given reference pictures.*Bypass"):
        bound_pass(QwenImage21Transformer2DModel(), x, random(1, 9, 8), ref_latents=[x])


def test_words_are_bound_where_the_picture_stands_beside_its_sound():
    """LTX-2's forward is given a list."""
    unet = QwenImage21Transformer2DModel().requires_grad_(False)
    x, forward = random(1, 4, 6, 5), unet.forward
    alone = bound_pass(unet, x, random(1, 9, 8, seed=2))
    unet.forward = lambda both, *args, **kwargs: forward(both[0], *args, **kwargs)
    beside = bound_pass(unet, [x, random(1, 8, 4)], random(1, 9, 8, seed=2))
    assert torch.equal(alone[1][2], beside[1][2])


def test_words_are_bound_where_padding_is_left_out_of_the_text():
    """Mochi's num_tokens: the call has fewer columns of text than the conditioning has rows."""
    unet = QwenImage21Transformer2DModel().requires_grad_(False)
    forward, context = unet.forward, random(1, 20, 8, seed=2)

    def shorter(x, timestep, context, num_tokens, **kwargs):
        return forward(x, timestep, context[:, :num_tokens], **kwargs)

    unet.forward = shorter
    cut = bound_pass(unet, random(1, 4, 6, 5), context, num_tokens=9)
    del unet.forward
    right = bound_pass(unet, random(1, 4, 6, 5), context[:, :9])
    assert torch.equal(cut[1][2], right[1][2])


def test_every_bypassed_module_is_tried_above():
    assert len({family.bypasses for family in KNOWN.values() if family.bypasses}) == 3
