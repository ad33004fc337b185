"""Maps and their gradient, on the demo model and on tiny models of every UNet family."""

import comfy.samplers
import pytest
import torch
from families import FAMILIES, positive, random, tiny
from learn_to_steer.nodes import host as pack
from learn_to_steer.steering.attention import MapLayout, pooling, stack_layers, word_maps

WORDS = pooling([(2,), (4, 5)], 77)


@pytest.fixture(params=["demo", *FAMILIES])
def case(request):
    """(MODEL, positive, latent) of a family."""
    if request.param == "demo":
        model, clip, _ = request.getfixturevalue("demo")
        cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog left of a cat"))
        return model, cond, random(1, 8, 16, 16)
    return tiny(request.param), positive(request.param), random(1, 4, 16, 16)


class _With(comfy.samplers.Sampler):
    """Runs a function where the host would sample: model loaded, conditioning processed."""

    def __init__(self, function):
        self.function = function

    def sample(
        self,
        model_wrap,
        sigmas,
        extra_args,
        callback,
        noise,
        latent_image=None,
        denoise_mask=None,
        disable_pbar=False,
    ):
        cond = model_wrap.conds["positive"][0]
        self.result = self.function(model_wrap.inner_model, cond, extra_args["model_options"])
        return latent_image


def inside(model, cond, latent, function):
    guider, sampler = comfy.samplers.CFGGuider(model), _With(function)
    guider.set_conds(cond, cond)
    guider.sample(latent, torch.zeros_like(latent), sampler, torch.tensor([1.0]), disable_pbar=True)
    return sampler.result


@pytest.mark.parametrize("heads", ["averaged", "kept"])
def test_maps_equal_the_attention_computed_apart(case, heads):
    model, cond, latent = case
    layout = pack.map_layout(model, heads=heads)
    sigma = torch.tensor([1.5])
    apart = []

    def record(func, q, k, v, heads, *args, **kwargs):
        if k.shape[1] == 77:
            size = kwargs["transformer_options"]["activations_shape"][2:]
            apart.append((word_maps(q, k, heads, WORDS), tuple(size)))
        return func(q, k, v, heads, *args, **kwargs)

    def both(inner, entry, options):
        maps = pack.capture(inner, entry, latent, sigma, options, WORDS, layout)
        options["transformer_options"]["optimized_attention_override"] = record
        comfy.samplers.calc_cond_batch(inner, [[entry]], latent, sigma, options)
        return maps

    maps = inside(model, cond, latent, both)
    assert maps.shape == (1, 2, layout.channels, 16, 16)
    assert len(apart) == layout.last
    # The pass that captures always uses the host's SDPA, the other one its default: equal up to rounding.
    torch.testing.assert_close(maps, stack_layers(apart, heads, 16), rtol=1e-3, atol=1e-4)


def test_a_word_s_own_row_moves_its_map_and_no_pooling_mixes_words(case):
    model, cond, latent = case
    layout = pack.map_layout(model)
    if layout.family == "EmojiWorld":
        pytest.skip("its rows come from the text encoder")
    changed = [[cond[0][0].clone(), cond[0][1]]]
    changed[0][0][:, 2] += 1.0
    sigma = torch.tensor([1.5])
    one = MapLayout(
        layout.family, 1, 1, "averaged", 1, 16
    )  # the first layer: later ones see the change through the picture
    maps = [
        inside(
            model,
            c,
            latent,
            lambda inner, entry, options: pack.capture(
                inner, entry, latent, sigma, options, WORDS, one
            ),
        )
        for c in (cond, changed)
    ]
    moved = (maps[0] - maps[1]).abs().amax((0, 2, 3, 4))
    assert moved[0] > 10 * moved[1]


def test_gradient_equals_finite_differences(case):
    model, cond, latent = case
    layout = pack.map_layout(model)
    target = random(1, 2, layout.channels, 16, 16, seed=3).double()
    sigma, direction = torch.tensor([1.5]), random(*latent.shape, seed=4)

    def measure(inner, entry, options):
        inner.diffusion_model.double()  # finite differences need the digits
        inner.diffusion_model.dtype = torch.float64
        try:

            def value(x):
                # word_maps works in float32 whatever comes in: the steps below are large enough for that
                maps = pack.capture(inner, entry, x, sigma.double(), options, WORDS, layout)
                return (maps.double() * target.clone()).mean()

            with pack.differentiable(inner.diffusion_model):
                x = latent.double().clone().requires_grad_(True)
                (gradient,) = torch.autograd.grad(value(x), x)
            step = 1e-2 * direction.double()
            difference = (value(latent.double() + step) - value(latent.double() - step)) / 2
            return (gradient * step).sum().item(), difference.item()
        finally:
            inner.diffusion_model.float()
            inner.diffusion_model.dtype = torch.float32

    analytic, difference = inside(model, cond, latent, measure)
    assert analytic == pytest.approx(difference, rel=0.01)


def test_layers_can_be_chosen(demo):
    layout = pack.map_layout(demo[0], "2-5")
    assert (layout.first, layout.last, layout.channels) == (2, 5, 4)
    assert pack.map_layout(demo[0], "3").channels == 1
    assert pack.map_layout(demo[0], heads="kept").channels == 33
    for wrong, sentence in (("0-9", "layers 1 to 7"), ("few", 'write "all", or a range')):
        with pytest.raises(ValueError, match=sentence):
            pack.map_layout(demo[0], wrong)


def test_nothing_stays_behind_a_capture(demo):
    model, clip, _ = demo
    unet = model.model.diffusion_model
    cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog left of a cat"))
    latent, layout = random(1, 8, 16, 16), pack.map_layout(model)
    pack.look(model, cond, latent, latent, torch.tensor([1.0]), WORDS, layout)
    before, grad = dict(unet.named_parameters()), torch.is_grad_enabled()
    with pytest.raises(KeyError), pack.differentiable(unet):
        assert not any(p.is_inference() for p in unet.parameters())
        assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
        raise KeyError
    after = dict(unet.named_parameters())
    assert all(after[name] is p and p.is_inference() for name, p in before.items())
    assert torch.is_inference_mode_enabled() and torch.is_grad_enabled() == grad
    assert "optimized_attention_override" not in model.model_options.get("transformer_options", {})


def test_another_pack_s_attention_override_stays_and_is_not_called(demo):
    model, clip, _ = demo
    model = model.clone()
    calls = []

    def counting(func, *args, **kwargs):
        calls.append(1)
        return func(*args, **kwargs)

    model.model_options.setdefault("transformer_options", {})["optimized_attention_override"] = (
        counting
    )
    cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog left of a cat"))
    latent = random(1, 8, 16, 16)
    pack.look(model, cond, latent, latent, torch.tensor([1.0]), WORDS, pack.map_layout(model))
    assert not calls
    assert model.model_options["transformer_options"]["optimized_attention_override"] is counting


def test_words_are_found_in_the_host_s_tokens(demo):
    from learn_to_steer.nodes.host_words import find_words
    from learn_to_steer.steering.relations import parse

    prompt = "a photo of a (teddy bear:1.2) left of a dog and above a dog"
    words = find_words(demo[1], prompt, parse(prompt).relations)
    ids = [token for token, _ in demo[1].tokenize(prompt)["l"][0]]
    spelled = {
        name: [ids[i] for i in positions]
        for name, positions in zip(words.names, words.words, strict=True)
    }
    assert spelled["teddy bear"] == [
        i for i in [t for t, _ in demo[1].tokenize("teddy bear")["l"][0]] if i < 49406
    ]
    assert words.names.count("dog") == 2
    assert words.words[1] != words.words[2]
