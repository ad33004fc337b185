"""Maps of the demo model, what a layout may be, and that nothing stays behind."""

import contextlib
import gc
import weakref
from types import SimpleNamespace

import comfy.ldm.modules.diffusionmodules.openaimodel
import comfy.samplers
import pytest
import torch
from inside import CARD, inside, layout_of
from learn_to_steer.nodes.host.capture import Reading, capture
from learn_to_steer.nodes.host.finished import finished_maps
from learn_to_steer.nodes.host.gradient import differentiable
from learn_to_steer.steering.maps import pooling, shapes, stack_layers
from tiny import positive, random, tiny

WORDS = pooling([(2,), (4, 5)])


@pytest.mark.parametrize("heads", ["averaged", "kept"])
def test_maps_equal_the_attention_computed_apart(demo, heads):
    model, clip, _ = demo
    cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog left of a cat"))
    layout, latent, sigma = (
        layout_of(model, "all", heads),
        random(1, 8, 16, 16).to(CARD),
        torch.tensor([1.5], device=CARD),
    )
    apart = []

    def record(function, q, k, v, heads, *args, **kwargs):
        if k.shape[1] == 77:
            size = tuple(kwargs["transformer_options"]["activations_shape"][2:])
            q, k = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))
            attention = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
            rows = WORDS.shape[-1]
            maps = WORDS[:, None].to(q) @ attention[..., :rows].transpose(-1, -2)
            apart.append((maps.cpu(), size))
            q, k = (t.transpose(1, 2).flatten(2) for t in (q, k))
        return function(q, k, v, heads, *args, **kwargs)

    def both(inner, entry, options):
        maps = capture(inner, entry, latent, sigma, options, WORDS, layout)
        options["transformer_options"]["optimized_attention_override"] = record
        comfy.samplers.calc_cond_batch(inner, [[entry]], latent, sigma, options)
        return maps

    maps = inside(model, cond, latent, both)
    assert maps.shape == (1, 2, layout.channels, 16, 16)
    assert len(apart) == layout.last
    expected = stack_layers(apart, heads, 16)
    torch.testing.assert_close(shapes(maps), shapes(expected), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(maps.mean((-1, -2)), expected.mean((-1, -2)), rtol=1e-3, atol=0)


@pytest.mark.parametrize("shape", [(12, 20), (24, 16), (9, 7)])
def test_maps_are_of_one_size_for_any_picture(demo, shape):
    model, clip, _ = demo
    cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog left of a cat"))
    x = random(2, 8, *shape)
    maps = finished_maps(model, cond, x, x, torch.ones(2), WORDS, layout_of(model, "all", resolution=12))
    assert maps.shape == (2, 2, 7, 12, 12)
    assert maps.isfinite().all()


def test_a_video_is_refused_with_a_sentence():
    x = random(1, 16, 3, 12, 10)
    model = tiny("Wan")
    words = pooling([(3,)])
    with pytest.raises(ValueError, match="This latent has 3 frames; steering is for pictures"):
        finished_maps(model, positive("Wan"), x, x, torch.tensor([0.5]), words, layout_of(model))


def test_layers_can_be_chosen(demo):
    layout = layout_of(demo[0], "2-5")
    assert (layout.first, layout.last, layout.channels) == (2, 5, 4)
    assert layout_of(demo[0], "3").channels == 1
    assert layout_of(demo[0], "all", "kept").channels == 33
    for wrong, sentence in (("0-9", "layers 1 to 7"), ("few", 'write "auto", "all", or a range')):
        with pytest.raises(ValueError, match=sentence):
            layout_of(demo[0], wrong)


def test_auto_leaves_out_late_layers_of_large_models():
    """SD1.5's UNet without its weights, and a transformer as deep as Flux."""
    unet = comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel(
        image_size=32, in_channels=4, out_channels=4, model_channels=320, num_res_blocks=[2, 2, 2, 2], num_heads=8,
        channel_mult=(1, 2, 4, 4), transformer_depth=[1, 1, 1, 1, 1, 1, 0, 0], transformer_depth_middle=1,
        transformer_depth_output=[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], use_spatial_transformer=True, context_dim=768,
        legacy=False, device="meta",
    )  # fmt: skip
    config = SimpleNamespace()
    model = SimpleNamespace(model=SimpleNamespace(model_config=config))
    model.get_model_object = lambda name: unet
    assert layout_of(model).last == 10  # the last at 16x16 of a 64x64 latent
    assert layout_of(model, "all").last == 16
    assert layout_of(tiny("Flux")).last == 4
    deep = type("Flux", (torch.nn.Module,), {"num_heads": 24})()
    deep.double_blocks = torch.nn.Sequential(*(torch.nn.Identity() for _ in range(19)))
    deep.single_blocks = torch.nn.Sequential(*(torch.nn.Identity() for _ in range(38)))
    model.get_model_object = lambda name: deep
    assert layout_of(model, "all").last == 57
    assert layout_of(model).last == 29


def test_nothing_stays_behind_a_capture(demo):
    model, clip, _ = demo
    unet = model.model.diffusion_model
    cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog left of a cat"))
    latent, layout = random(1, 8, 16, 16), layout_of(model)
    finished_maps(model, cond, latent, latent, torch.tensor([1.0]), WORDS, layout)
    before, grad = dict(unet.named_parameters()), torch.is_grad_enabled()
    with pytest.raises(KeyError), differentiable(unet):
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

    model.model_options.setdefault("transformer_options", {})["optimized_attention_override"] = counting
    cond = clip.encode_from_tokens_scheduled(clip.tokenize("a dog left of a cat"))
    latent = random(1, 8, 16, 16)
    finished_maps(model, cond, latent, latent, torch.tensor([1.0]), WORDS, layout_of(model))
    assert not calls
    assert model.model_options["transformer_options"]["optimized_attention_override"] is counting


def test_words_are_found_in_the_host_s_tokens(demo):
    from learn_to_steer.nodes.host.words import find_words
    from learn_to_steer.steering.prompts import parse

    prompt = "a photo of a (teddy bear:1.2) left of a dog and above a dog"
    words = find_words(demo[1], prompt, parse(prompt).wishes)
    ids = [token for token, _ in demo[1].tokenize(prompt)["l"][0]]
    spelled = {name: [ids[i] for i in positions] for name, positions in zip(words.names, words.rows, strict=True)}
    assert spelled["teddy bear"] == [i for i in [t for t, _ in demo[1].tokenize("teddy bear")["l"][0]] if i < 49406]
    assert words.names.count("dog") == 2
    assert words.rows[1] != words.rows[2]


@pytest.mark.parametrize("fails", [False, True], ids=["read", "memory runs out"])
@pytest.mark.parametrize("save_memory", [False, True], ids=["kept", "save memory"])
def test_what_a_look_kept_goes_with_its_maps(save_memory, fails, monkeypatch):
    """At once: what waits for Python's collector may wait until memory runs out."""
    model = tiny("SD15")
    left = []
    if fails:
        attention = Reading.attention

        def short_of_memory(self, number, **call):
            if number == 4:
                raise torch.OutOfMemoryError
            return attention(self, number, **call)

        monkeypatch.setattr(Reading, "attention", short_of_memory)

    def look(inner, entry, options):
        layout, sigma = layout_of(model), torch.tensor([1.5], device=CARD)
        with differentiable(inner.diffusion_model):
            x = random(1, 4, 16, 16).to(CARD).requires_grad_()
            left.append(weakref.ref(x))
            maps = capture(inner, entry, x, sigma, options, WORDS, layout, save_memory)
            torch.autograd.grad(maps.sum(), x)

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(torch.OutOfMemoryError):
            inside(model, positive("SD15"), random(1, 4, 16, 16), look)
        assert left[0]() is None
    finally:
        gc.enable()
