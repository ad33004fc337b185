"""Gradients with weights in every form that the host has them in: cast, quantised, patched, streamed."""

import contextlib
import gc
import inspect
import itertools

import comfy.ops
import comfy.quant_ops
import numpy as np
import pytest
import torch
from inside import CARD, inside, layout_of, middle_sigma
from learn_to_steer.nodes.host.capture import capture
from learn_to_steer.nodes.host.gradient import OrdinaryTensors, WrittenOver, differentiable, recomputed
from learn_to_steer.steering.maps import pooling, shapes
from tiny import FAMILIES, latent, positive, random, tiny

on_the_cpu = pytest.mark.skipif(CARD.type != "cpu", reason="the memory that weights stream through is the CPU's here")
# One of each kind of trouble: convolutions, in-place residuals, rotary kernels, gated feed-forwards, cross-attention.
SOME = ("SD15", "Flux", "Z-Image", "Wan", "HiDream", "JoyImage")


def gradient_of(family, model, save_memory=False, around=contextlib.nullcontext, writing=True):
    """The gradient of a scalar of all maps with respect to the latent, and its ratio to finite differences."""
    x, layout = latent(family).to(CARD), layout_of(model, "all", resolution=8)
    words = pooling([(FAMILIES[family].column,)])
    target = random(1, 1, layout.channels, 8, 8, seed=9).to(CARD)

    def measure(inner, entry, options):
        sigma = middle_sigma(inner)

        def value(x):
            maps = capture(inner, entry, x, sigma, options, words, layout, save_memory)
            return (shapes(maps) * target.clone()).double().sum()

        with around(), differentiable(inner.diffusion_model, writing=writing):
            leaf = x.clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(value(leaf), leaf)
        step = 2e-3 / gradient.norm()
        difference = value(x + step * gradient) - value(x - step * gradient)
        return gradient, (difference / (2 * step) / gradient.square().sum()).item()

    return inside(model, positive(family), x, measure)


@contextlib.contextmanager
def streamed_weights():
    """Weights are cast into four stretches of memory in turn, by new tensors, as when they stream through VRAM.

    Nothing tells autograd that what it saved was overwritten: a gradient that kept a weight is silently wrong.
    """
    memories = itertools.cycle(np.zeros((4, 1 << 20), np.float32))
    fetch = comfy.ops.cast_bias_weight

    def streamed(module, *args, **kwargs):
        weight, bias, *rest = fetch(module, *args, **kwargs)
        memory, moved, at = next(memories), [], 0
        memory[:] = np.nan
        for tensor in (weight, bias):
            if tensor is not None:
                view = torch.from_numpy(memory[at : at + tensor.numel()]).view(tensor.shape)
                view.copy_(tensor)
                at, tensor = at + tensor.numel(), view
            moved.append(tensor)
        return (*moved, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.ops, "cast_bias_weight", streamed)
        yield


@on_the_cpu
@pytest.mark.parametrize("save_memory", [False, True], ids=["kept", "save memory"])
@pytest.mark.parametrize("family", SOME)
def test_streamed_weights_give_the_exact_gradient(family, save_memory):
    """cast: the host fetches each weight for each use only when it casts or streams; bfloat16 makes it do so."""
    model = tiny(family, torch.bfloat16, torch.float32)
    expected, _ = gradient_of(family, model)
    streamed, _ = gradient_of(family, model, save_memory, streamed_weights)
    torch.testing.assert_close(streamed, expected)


def test_the_emulation_of_streamed_weights_bites():
    """A plain autograd pass through the same memory is wrong."""
    linear = [comfy.ops.manual_cast.Linear(8, 8, bias=False, dtype=torch.bfloat16) for _ in range(6)]
    with torch.inference_mode(False), torch.enable_grad():
        for i, layer in enumerate(linear):
            weight = random(8, 8, seed=i).bfloat16()
            layer.weight = torch.nn.Parameter(weight, requires_grad=False)

        def gradient():
            x = random(3, 8, seed=7).requires_grad_(True)
            y = x
            for layer in linear:
                y = layer(y).tanh()
            return torch.autograd.grad(y.sum(), x)[0]

        expected = gradient()
        with streamed_weights():
            wrong = gradient()
            with differentiable(*linear):
                right = gradient()
    torch.testing.assert_close(right, expected)
    assert not torch.allclose(wrong, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("family", SOME)
def test_weights_in_few_bits_give_the_exact_gradient(family, dtype):
    """Stored in few bits, computed in float32, as the host does with fp8 checkpoints and on cards without bf16."""
    _, ratio = gradient_of(family, tiny(family, dtype, torch.float32))
    assert ratio == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("family", SOME)
def test_bfloat16_all_through_points_the_same_way(family):
    exact, _ = gradient_of(family, tiny(family, torch.bfloat16, torch.float32))
    coarse, _ = gradient_of(family, tiny(family, torch.bfloat16))
    assert torch.cosine_similarity(exact.flatten(), coarse.flatten(), 0) > 0.9


def test_no_weight_is_kept_for_the_backward_pass():
    """Nor is there a graph node of a linear layer or convolution that could keep one."""
    family = "SD15"
    model = tiny(family, torch.float8_e4m3fn, torch.float32)
    x, layout = latent(family).to(CARD), layout_of(model, "all", resolution=8)
    shapes = {p.shape for p in model.model.diffusion_model.parameters() if p.ndim > 1}
    shapes |= {p.mT.shape for p in model.model.diffusion_model.parameters() if p.ndim == 2}

    def measure(inner, entry, options):
        with differentiable(inner.diffusion_model):
            leaf = x.clone().requires_grad_(True)
            words = pooling([(3,)])
            maps = capture(inner, entry, leaf, middle_sigma(inner), options, words, layout)
            kept, seen, nodes = [], set(), [maps.grad_fn]
            while nodes:
                node = nodes.pop()
                if node is None or node in seen:
                    continue
                seen.add(node)
                kept += [getattr(node, a) for a in dir(node) if a.startswith("_saved_")]
                nodes += [parent for parent, _ in node.next_functions]
            return len(seen), [t.shape for t in kept if isinstance(t, torch.Tensor) and t.shape in shapes]

    nodes, kept = inside(model, positive(family), x, measure)
    assert nodes > 100
    assert kept == []


def test_a_saved_tensor_is_not_mistaken_for_one_that_lay_where_it_lies():
    """As it is by torch's own allow_mutation_on_saved_tensors (torch 2.11), in every other run of just this."""

    def value(x):
        total = 0
        for turn in range(60):
            h = x * (turn + 1.0)
            total = total + h.sin().sum()  # saves h
            h += 1  # writes over it
            del h
            k = x * 2.0  # often lies where h lay
            total = total + k.sin().sum()  # saves k
            del k
        return total

    with differentiable():
        x = random(400, 40).requires_grad_(True)
        gradients = [torch.autograd.grad(value(x), x)[0] for _ in range(10)]
        exact = sum((t + 1) * ((t + 1.0) * x).cos() + 2 * (2 * x).cos() for t in range(60))
    for gradient in gradients:
        torch.testing.assert_close(gradient, exact.detach(), rtol=1e-4, atol=1e-3)


def test_recomputed_keeps_what_goes_in_and_nothing_else():
    weight = random(4, 4)
    calls = []

    def block(x, options, shift=None):
        calls.append(options)
        x += shift  # in place, as Flux adds to its residual stream
        return {"x": (x @ weight).tanh(), "size": 4, "untouched": options["t"]}

    with torch.inference_mode(False), torch.enable_grad():
        weight, t = weight.clone(), torch.ones(1)
        x, shift = random(3, 4).requires_grad_(True), random(3, 4, seed=2)
        middle = x * 1.0
        result = recomputed(block)(middle, {"t": t}, shift=shift)
        assert (result["size"], torch.equal(result["untouched"], t)) == (4, True)
        assert torch.equal(middle, x)
        (gradient,) = torch.autograd.grad(result["x"].square().sum(), x)
        direct = x.detach().requires_grad_(True)
        (expected,) = torch.autograd.grad((((direct + shift) @ weight).tanh()).square().sum(), direct)
    assert len(calls) == 2
    torch.testing.assert_close(gradient, expected)


def test_layers_that_fetch_their_own_weights_are_asked_for_them():
    """As GGUF's do: what they multiply with is not what the host would cast."""

    class Linear(comfy.ops.manual_cast.Linear):
        def cast_bias_weight(self, x):
            return 2 * self.weight.to(x.dtype), None

        def forward_comfy_cast_weights(self, x):
            return torch.nn.functional.linear(x, *self.cast_bias_weight(x))

    layer = Linear(8, 4, bias=False, dtype=torch.bfloat16)
    layer.weight = torch.nn.Parameter(random(4, 8).bfloat16(), requires_grad=False)
    with differentiable(layer):
        x = random(3, 8, seed=2).requires_grad_(True)
        (gradient,) = torch.autograd.grad(layer(x).sum(), x)
        expected = (2 * layer.weight.float()).sum(0).expand(3, 8)
    torch.testing.assert_close(gradient, expected)


QUANTISED = {"TensorCoreFP8E4M3Layout": "float8_e4m3fn", "TensorWiseINT8Layout": "int8_tensorwise"}


@pytest.mark.skipif(not hasattr(comfy.ops, "linear_input_act"), reason="an older host")
@pytest.mark.parametrize("layout", QUANTISED)
def test_quantised_weights_give_the_gradient_of_what_they_stand_for(layout):
    """In the host's own tensor class, whose memory no plain tensor can share; int8 has a kernel without a gradient."""
    layer = comfy.ops.mixed_precision_ops({}, torch.float32).Linear(64, 32, bias=False)
    weight = comfy.quant_ops.QuantizedTensor.from_float(random(32, 64), layout)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    layer.layout_type, layer.quant_format = layout, QUANTISED[layout]
    assert layer.weight.is_inference()
    memory = layer.weight._qdata.data_ptr()
    with differentiable(layer):
        assert layer.weight._qdata.data_ptr() == memory  # as much as the model, were it copied
        x = random(5, 64, seed=2).requires_grad_(True)
        (gradient,) = torch.autograd.grad(comfy.ops.linear_input_act(layer, x, "gelu_tanh").sum(), x)
        leaf = x.detach().requires_grad_(True)
        activated = torch.nn.functional.gelu(leaf, approximate="tanh")
        (expected,) = torch.autograd.grad((activated @ weight.dequantize().clone().T).sum(), leaf)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.skipif("pre_quant_scale" not in inspect.getsource(comfy.ops.mixed_precision_ops), reason="an older host")
def test_a_linear_layer_that_scales_what_goes_in_has_the_scale_in_its_gradient():
    """NVFP4-AWQ checkpoints: MixedPrecisionOps.Linear multiplies its input by pre_quant_scale."""
    layer = comfy.ops.mixed_precision_ops({}, torch.float32).Linear(64, 32, bias=False)
    layer.weight = torch.nn.Parameter(random(32, 64), requires_grad=False)
    layer.layout_type = layer.quant_format = None
    layer.pre_quant_scale = torch.nn.Parameter(random(64, seed=3).abs() + 0.5, requires_grad=False)
    layer.comfy_cast_weights = True
    with differentiable(layer):
        x = random(5, 64, seed=2).requires_grad_(True)
        (gradient,) = torch.autograd.grad(layer(x).sum(), x)
        expected = (layer.weight.sum(0) * layer.pre_quant_scale).expand(5, 64)
    torch.testing.assert_close(gradient, expected)


def test_weights_that_nobody_knows_are_made_ordinary_as_they_are_used():
    weight = random(4, 4)  # made under inference mode, and of no module
    with differentiable(), OrdinaryTensors():
        x = random(3, 4, seed=2).requires_grad_(True)
        (gradient,) = torch.autograd.grad((x * weight.mean() + x @ weight).sum(), x)
    torch.testing.assert_close(gradient, (weight.mean() + weight.sum(1)).expand(3, 4))
    assert weight.is_inference()


def test_recomputed_draws_the_same_again():
    """HyperTile and ToMe draw within a block, from the generator that everybody draws from."""

    def block(x):
        return x * torch.rand(3, 4)

    with torch.inference_mode(False), torch.enable_grad():
        x = random(3, 4).requires_grad_(True)
        torch.manual_seed(7)
        y = recomputed(block)(x)
        following = torch.get_rng_state()
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(torch.get_rng_state(), following)
    torch.testing.assert_close(gradient, (y / x).detach())


def writes_over(x):
    h = 2 * x
    y = h.sin()  # saves h
    h += 1  # writes over it
    return y


def test_recomputed_may_write_over_what_it_needs_on_the_way_back():
    with differentiable():
        x = random(3, 4).requires_grad_(True)
        (gradient,) = torch.autograd.grad(recomputed(writes_over)(x).sum(), x)
        expected = 2 * (2 * x.detach()).cos()
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("block", [writes_over, recomputed(writes_over)], ids=["kept", "recomputed"])
def test_what_is_written_over_unwatched_is_an_error_and_no_wrong_gradient(block):
    with differentiable(writing=False):
        x = random(3, 4).requires_grad_(True)
        with pytest.raises(WrittenOver):
            torch.autograd.grad(block(x).sum(), x)


@pytest.mark.parametrize("save_memory", [False, True], ids=["kept", "save memory"])
@pytest.mark.parametrize(("family", "writes"), [("SD15", False), ("SDXL", False), ("Flux", True)])
def test_the_gradient_is_the_same_bit_for_bit_unwatched_or_an_error(family, writes, save_memory):
    model = tiny(family, torch.bfloat16, torch.float32)
    watched, _ = gradient_of(family, model, save_memory)
    if writes:
        with pytest.raises(WrittenOver):
            gradient_of(family, model, save_memory, writing=False)
    else:
        assert torch.equal(gradient_of(family, model, save_memory, writing=False)[0], watched)


@pytest.mark.parametrize(
    ("writing", "way_back"), [(False, False), (False, True), (True, False)], ids=["unwatched", "failed", "watched"]
)
def test_nothing_stays_of_a_look_without_a_way_back(writing, way_back):
    """Flux adds to its residual stream in place: `x += f(x)`, of which autograd saved x, closes a ring."""

    def count():
        gc.collect()
        return sum(type(one).__name__ == "_ConstantWeightBackward" for one in gc.get_objects())

    model = tiny("Flux", torch.float32, torch.float32)
    words, layout = pooling([(FAMILIES["Flux"].column,)]), layout_of(model, "all", resolution=8)
    before = count()

    def look(inner, entry, options):
        with differentiable(inner.diffusion_model, writing=writing):
            leaf = latent("Flux").to(CARD).requires_grad_(True)
            maps = capture(inner, entry, leaf, middle_sigma(inner), options, words, layout, False)
            assert count() > before
            try:
                if way_back:
                    torch.autograd.grad(maps.sum(), leaf)
            except WrittenOver:
                return True
        return False

    left = []
    for _ in range(2):
        assert inside(model, positive("Flux"), latent("Flux").to(CARD), look) == way_back
        left.append(count())
    assert left[0] == left[1]  # autograd holds the last failure until it is called again
    assert way_back or left[1] == before
