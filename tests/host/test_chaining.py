"""Steering beside the host's own nodes and another pack's attention override, whichever comes first."""

import contextlib
import copy
import functools

import comfy.cldm.cldm
import comfy.controlnet
import comfy.hooks
import comfy.ldm.modules.attention
import comfy.ops
import comfy.sample
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from comfy_extras.nodes_freelunch import FreeU, FreeU_V2
from comfy_extras.nodes_hypertile import HyperTile
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from comfy_extras.nodes_nag import NAGuidance
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_sag import SelfAttentionGuidance
from comfy_extras.nodes_sd3 import SkipLayerGuidanceSD3
from comfy_extras.nodes_slg import SkipLayerGuidanceDiT, SkipLayerGuidanceDiTSimple
from comfy_extras.nodes_tomesd import TomePatchModel
from inside import CARD, PROMPT, aim_of, layout_of
from learn_to_steer.nodes.host import sampling, steered_model, trial
from learn_to_steer.nodes.host.capture import capture
from learn_to_steer.nodes.host.marks import mark
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.maps import shapes
from learn_to_steer.steering.report import Report
from tiny import CPU, changed, latent, positive, random, tiny

import nodes as host_nodes

attention_pytorch = comfy.ldm.modules.attention.attention_pytorch

# --- The other nodes: (model, positive, negative) -> the same, changed ------------------------------------------------


def patch(node, *values):
    """A node that patches the MODEL."""

    def patched(model, *conds):
        output = node.execute(model, *values)
        return getattr(output, "result", output)[0], *conds

    return patched


def lora(load):
    """Of rank 2 on the attention's first weights, named as in most LoRA files."""

    def node(model, *conds):
        file = {}
        for seed, (key, weight) in enumerate(model.model_state_dict().items()):
            if key.endswith((".to_q.weight", ".qkv.weight")):
                name = key.removeprefix("diffusion_model.").removesuffix(".weight")
                name = f"lora_unet_{name.replace('.', '_')}"
                file[f"{name}.lora_up.weight"] = random(weight.shape[0], 2, seed=seed)
                file[f"{name}.lora_down.weight"] = 0.2 * random(2, weight.shape[1], seed=seed)
                file[f"{name}.alpha"] = torch.tensor(2.0)
        return load(model, None, file, 1.0, 0.0)[0], *conds

    return node


def controlnet(seed=1):
    def node(model, positive, negative):
        config = dict(model.model.model_config.unet_config, hint_channels=3, device=CPU)
        del config["out_channels"]
        net = comfy.cldm.cldm.ControlNet(**config, operations=comfy.ops.disable_weight_init)
        for name, p in net.named_parameters():
            if p.ndim > 1:
                p.copy_(random(*p.shape, seed=seed) * p[0].numel() ** -0.5)
            else:
                p.fill_("weight" in name)
        control = comfy.controlnet.ControlNet(net.train(False), load_device=CARD)
        picture = random(1, 128, 128, 3, seed=seed).sigmoid()
        apply = host_nodes.ControlNetApplyAdvanced().apply_controlnet
        return model, *apply(positive, negative, control, picture, 1.0, 0.0, 1.0)

    return node


def replaced_attention(model, *conds):
    """As IP-Adapter does it: attention to the text, and to tokens of a picture through weights of its own."""
    model, size = model.clone(), model.model.model_config.unet_config["context_dim"]
    for part, numbers in (("input", range(12)), ("middle", range(2)), ("output", range(12))):
        for number in numbers:
            model.set_model_attn2_replace(to_a_picture(random(1, 5, size, seed=number)), part, number)
    return model, *conds


def to_a_picture(tokens):
    def attend(q, k, v, extra_options):
        width, heads = q.shape[-1], extra_options["n_heads"]
        to_k, to_v = (random(width, tokens.shape[-1], seed=seed).to(q) * 0.2 for seed in (1, 2))
        of_picture = [torch.nn.functional.linear(tokens.to(q), w).expand(len(q), -1, -1) for w in (to_k, to_v)]
        return attention_pytorch(q, k, v, heads) + attention_pytorch(q, *of_picture, heads)

    return attend


def two_controlnets(*scene):
    return controlnet(2)(*controlnet(1)(*scene))


# Each with the families that it is for. These leave the positive's own pass as it is, and act elsewhere:
UNETS, TRANSFORMERS = ("SD15", "SDXL"), ("SD3.5 medium", "Flux")
ELSEWHERE = {
    "PerturbedAttentionGuidance": (UNETS, patch(PerturbedAttentionGuidance, 3.0)),
    "SelfAttentionGuidance": (UNETS, patch(SelfAttentionGuidance, 0.5, 2.0)),
    "NAGuidance": (("SD15", "Flux"), patch(NAGuidance, 5.0, 0.5, 1.5)),
    "SkipLayerGuidanceDiT": (TRANSFORMERS, patch(SkipLayerGuidanceDiT, 3.0, 0.0, 1.0, "0", "1")),
    "SkipLayerGuidanceDiTSimple": (TRANSFORMERS, patch(SkipLayerGuidanceDiTSimple, 0.0, 1.0, "0", "1")),
    "SkipLayerGuidanceSD3": (("SD3.5 medium",), patch(SkipLayerGuidanceSD3, "1", 3.0, 0.0, 1.0)),
}  # fmt: skip
# These change it:
WITHIN = {
    "FreeU": (UNETS, patch(FreeU, 1.1, 1.2, 0.9, 0.2)),
    "PatchModelAddDownscale": (("SD15",), patch(PatchModelAddDownscale, 1, 2.0, 0.0, 0.9, True, "bicubic", "bicubic")),
    "FreeU_V2": (UNETS, patch(FreeU_V2, 1.3, 1.4, 0.9, 0.2)),
    "LoraLoader": (UNETS + TRANSFORMERS, lora(comfy.sd.load_lora_for_models)),
    "LoraLoaderBypass": (("SD15", "Flux"), lora(comfy.sd.load_bypass_lora_for_models)),
    "ControlNet": (UNETS, controlnet()),
    "two ControlNets": (("SD15",), two_controlnets),
    "replaced attention": (UNETS, replaced_attention),
}
NODES = ELSEWHERE | WITHIN
CASES = [(name, family) for name, (families, _) in NODES.items() for family in families]
each_node = pytest.mark.parametrize(("node", "family"), CASES)
either_order = pytest.mark.parametrize("order", ["before", "after"])


# --- A picture, with the node and the override before or after Steer Model --------------------------------------------


class Override:
    """Another pack's attention override: notes what it is asked."""

    def __init__(self):
        self.calls = []

    def __deepcopy__(self, memo):
        return self

    def __call__(self, function, q, *args, **kwargs):
        self.calls.append((q.shape, tuple(kwargs["transformer_options"]["cond_or_uncond"])))
        return function(q, *args, **kwargs)

    def install(self, model, *conds):
        model = model.clone()
        model.model_options["transformer_options"]["optimized_attention_override"] = self
        return model, *conds


def picture(family, node=None, order=None, **settings):
    """Four steps of a tiny model. order: of the node and the steering; without one it is not steered.

    Returns the samples, the override's calls, and the report.
    """
    model, override, report = tiny(family), Override(), Report()
    aim = aim_of(layout_of(model), (2,), (5,))

    def steer(model, *conds):
        return sampling.steer(model, aim, Steering(**settings), report), *conds

    others = [override.install] + ([NODES[node][1]] if node else [])
    chains = {None: others, "before": [*others, steer], "after": [steer, *others]}
    scene = model, mark(positive(family), PROMPT), changed(family)
    for part in chains[order]:
        scene = part(*scene)
    model, *conds = scene
    options, noise = copy.deepcopy(model.model_options), latent(family)
    samples = comfy.sample.sample(
        model, noise, 4, 4.0, "euler", "normal", *conds, torch.zeros_like(noise), seed=3, disable_pbar=True
    )  # fmt: skip
    assert samples.isfinite().all() and not report.failed
    assert model.model_options == options
    assert options["transformer_options"]["optimized_attention_override"] is override
    return samples, override.calls, report


@functools.cache
def unsteered(family, node=None):
    return picture(family, node)[:2]


@either_order
@each_node
def test_reading_maps_leaves_no_trace_in_the_unguided_passes(node, family, order):
    plain, _ = unsteered(family)
    alone, calls = unsteered(family, node)
    assert calls and not torch.equal(alone, plain)
    # Every wish counts as granted at once: maps are read, and nothing is moved.
    read, calls_beside, report = picture(family, node, order, end=1.0, target=1e-9)
    assert [seen.step for seen in report.seen] == [0, 2] and report.gradient_steps == 0
    assert torch.equal(read, alone)
    assert calls_beside == calls


@each_node
def test_steering_moves_the_picture_and_takes_no_call_from_the_override(node, family):
    alone, calls = unsteered(family, node)
    steered, calls_beside, report = picture(family, node, "before", end=0.25, target=0.9999)
    (seen,) = report.seen
    assert report.gradient_steps == 1
    assert seen.after.satisfaction.item() > seen.before.satisfaction.item()
    assert not torch.equal(steered, alone)
    assert calls_beside == calls


@pytest.mark.parametrize(
    "node", [patch(HyperTile, 32, 3, 1, False), patch(TomePatchModel, 0.5)], ids=["tiles", "tokens"]
)
def test_nodes_that_draw_within_a_pass_draw_what_they_would_have_drawn(node):
    """Reading maps takes no number out of the generator that HyperTile and ToMe draw from."""
    pictures = []
    for target in (None, 1e-9):
        model, report = tiny("SD15"), Report()
        conds = mark(positive("SD15"), PROMPT), changed("SD15")
        model, *conds = node(model, *conds)
        if target:
            model = sampling.steer(model, aim_of(layout_of(model), (2,), (5,)), Steering(end=1, target=target), report)
        torch.manual_seed(5)
        noise = latent("SD15")
        pictures.append(comfy.sample.sample(
            model, noise, 4, 4.0, "euler", "normal", *conds, torch.zeros_like(noise), seed=3, disable_pbar=True
        ))  # fmt: skip
    assert len(report.seen) == 2 and report.gradient_steps == 0
    assert torch.equal(*pictures)


@pytest.mark.parametrize("cache", [EasyCacheNode, LazyCacheNode])
def test_the_host_s_step_caches_neither_see_guided_passes_nor_skip_them(cache):
    """A cache this greedy answers for the model in most steps."""
    model, report, noise = tiny("SD15"), Report(), latent("SD15")
    conds = mark(positive("SD15"), PROMPT), changed("SD15")

    def sample(model, patches):
        if patches:
            model = cache.execute(model, 100.0, 0.0, 1.0, False).result[0]
        return comfy.sample.sample(
            model, noise, 8, 4.0, "euler", "normal", *conds, torch.zeros_like(noise), seed=3, disable_pbar=True
        )  # fmt: skip

    settings = Steering(end=1.0, target=1e-9)
    alone = sample(model, True)
    assert not torch.equal(alone, sample(model, False))
    assert torch.equal(
        sample(sampling.steer(model, aim_of(layout_of(model), (2,), (5,)), settings, report), True),
        alone,
    )
    assert len(report.seen) == 3 and not report.failed


# --- What steering cannot see through: one look before sampling -------------------------------------------------------


def regions(model, *conds):
    """Attention Couple's kind: the picture is asked about once for each region's text, and the answers are masked."""
    model, size = model.clone(), model.model.model_config.unet_config["context_dim"]
    other, kept = random(1, 77, size, seed=9), []

    def attn2_patch(q, k, v, extra_options):
        kept.append(len(q))
        return q.repeat(2, 1, 1), *[torch.cat([k, other.to(k).expand(len(q), -1, -1)])] * 2

    def attn2_output_patch(n, extra_options):
        left = torch.arange(n.shape[1], device=n.device)[None, :, None] % 2
        return n[: kept[-1]] * left + n[kept[-1] :] * (1 - left)

    model.set_model_attn2_patch(attn2_patch)
    model.set_model_attn2_output_patch(attn2_output_patch)
    return model, *conds


def regions_around(model, *conds):
    """The same by a wrapper around the model, as for models that have no such patches."""
    patched, *_ = regions(model)
    patches, model = patched.model_options["transformer_options"]["patches"], model.clone()

    def wrapper(executor, x, sigma, context, y, control, transformer_options, **rest):
        return executor(x, sigma, context, y, control, {**transformer_options, "patches": patches}, **rest)

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "regions", wrapper)
    return model, *conds


def regions_by_hook(model, positive, negative):
    """The same by a hook on the conditioning."""
    patched, *_ = regions(model)
    options = {"patches": patched.model_options["transformer_options"]["patches"]}
    group = comfy.hooks.HookGroup()
    group.add(comfy.hooks.TransformerOptionsHook(options, comfy.hooks.EnumHookScope.HookedOnly))
    return model, comfy.hooks.set_hooks_for_conditioning(positive, group), negative


def tiles(size, together=False, around=contextlib.nullcontext, last_first=False):
    """Tiling: the latent is cut into tiles with a side of `size`, each is asked about, and the answers are joined."""

    def node(model, *conds):
        def tiled(apply_model, arguments):
            x, steps, sigma = arguments["input"], range(0, arguments["input"].shape[-1], size), arguments["timestep"]
            places = [(..., slice(i, i + size), slice(j, j + size)) for i in steps for j in steps]
            if last_first:
                places.reverse()
            given, answer = {**arguments["c"]}, torch.empty_like(x)
            with around():
                if together:
                    given["c_crossattn"] = given["c_crossattn"].repeat(len(places), 1, 1)
                    cut = torch.cat([x[place] for place in places])
                    answers = apply_model(cut, sigma.repeat(len(places)), **given).chunk(len(places))
                else:
                    answers = [apply_model(x[place], sigma, **given) for place in places]
            for place, part in zip(places, answers, strict=True):
                answer[place] = part
            return answer

        model = model.clone()
        model.set_model_unet_function_wrapper(tiled)
        return model, *conds

    return node


def detached(model, *conds):
    def call(apply_model, arguments):
        return apply_model(arguments["input"].detach().clone(), arguments["timestep"], **arguments["c"])

    model = model.clone()
    model.set_model_unet_function_wrapper(call)
    return model, *conds


def failing(model, *conds):
    """Takes the latent out of torch, which it allows only without a gradient."""
    model = model.clone()
    model.set_model_unet_function_wrapper(lambda apply_model, arguments: arguments["input"].numpy())
    return model, *conds


NO_GRADIENT, ANOTHER_PLACE = "the model is asked without a gradient", "a corner of the picture does not hang on that"
TWO = "the model is asked about 2 pictures at once where the latent has 1"
IN_THE_WAY = {  # what made it, and why it is refused
    "regions": (regions, "regions", TWO),
    "regions by a hook": (regions_by_hook, "regions", TWO),
    "regions by a wrapper": (regions_around, "regions_around", TWO),
    "tiles at once": (tiles(8, together=True), "tiles", "asked about 4 pictures at once where the latent has 1"),
    "tiles": (tiles(8), "tiles", ANOTHER_PLACE),
    "tiles, the last first": (tiles(8, last_first=True), "tiles", ANOTHER_PLACE),
    "tiles without gradient": (tiles(8, around=torch.no_grad), "tiles", NO_GRADIENT),
    "tiles in inference mode": (tiles(8, around=torch.inference_mode), "tiles", NO_GRADIENT),
    "detached": (detached, "detached", NO_GRADIENT),
    "failing": (failing, "failing", "a trial look ended in: [Cc]an't c"),
}


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_steering_cannot_see_through_is_refused_before_sampling(name, monkeypatch):
    node, maker, why = IN_THE_WAY[name]
    monkeypatch.setitem(NODES, name, (("SD15",), node))
    monkeypatch.setattr(steered_model.SteeredModel, "__call__", lambda *_, **__: pytest.fail("it samples"))
    sentence = f'^"{maker}" of .*test_chaining stands in the way of steering: .*{why}.*Bypass its node'
    with pytest.raises(ValueError, match=sentence):
        picture("SD15", name, "after")


def test_a_patch_that_begins_later_is_refused_when_it_does(monkeypatch):
    def later(model, *conds):
        patched, *_ = regions(model)
        patch, output = (
            patched.model_options["transformer_options"]["patches"][f"attn2_{n}"][0] for n in ("patch", "output_patch")
        )
        model = model.clone()
        model.set_model_attn2_patch(lambda *qkv: patch(*qkv) if qkv[3]["sigmas"][0] < 5 else qkv[:3])
        model.set_model_attn2_output_patch(lambda n, o: output(n, o) if o["sigmas"][0] < 5 else n)
        return model, *conds

    monkeypatch.setitem(NODES, "later", (("SD15",), later))
    with pytest.raises(ValueError, match="from this step on stands in the way of steering: .*asked about 2 pictures"):
        picture("SD15", "later", "before", end=1.0, target=0.9999)


def test_tiles_as_large_as_the_picture_stay(monkeypatch):
    monkeypatch.setitem(NODES, "one tile", (("SD15",), tiles(16)))
    alone, calls = picture("SD15", "one tile")[:2]
    read, beside, report = picture("SD15", "one tile", "before", end=1.0, target=1e-9)
    assert torch.equal(read, alone) and beside == calls and len(report.seen) == 2


def kept_to_the_left(model, *conds):
    """A mask of another pack's on the attention: the words act in the left half of the picture alone."""

    def block(arguments, extra):
        right = torch.arange(30, device=CARD) % 5 >= 2  # of rows of five image tokens
        mask = torch.ones(1, 1, 50, 50, dtype=torch.bool, device=CARD)
        mask[..., 20:, [2, 5]] = ~right[:, None]
        return extra["original_block"]({**arguments, "attn_mask": mask})

    model = model.clone()
    for kind in ("double_block", "single_block"):
        for number in range(len(getattr(model.model.diffusion_model, f"{kind}s"))):
            model.set_model_patch_replace(block, "dit", kind, number)
    return model, *conds


def test_words_that_act_in_a_part_of_the_picture_stay(monkeypatch):
    monkeypatch.setitem(NODES, "kept", (("Flux",), kept_to_the_left))
    _, _, report = picture("Flux", "kept", "before", end=0.25, target=0.9999)
    (seen,) = report.seen
    assert report.gradient_steps == 1 and seen.maps[..., 0].max() > 0 and seen.maps[..., 15].max() == 0


@each_node
def test_only_what_is_not_the_host_s_own_is_looked_at(node, family):
    model, positive_then, _ = NODES[node][1](tiny(family), positive(family), changed(family))
    found = trial.patches(model, positive_then[0][1], model.model_options)
    assert bool(found) == (node == "replaced attention") and not trial.wrappers(model.model_options)


def test_the_model_is_not_asked_once_more_where_nothing_is_patched(monkeypatch):
    asked, read = [], []
    monkeypatch.setattr(trial, "capture", lambda *args, **kwargs: pytest.fail("it looks"))
    monkeypatch.setattr(steered_model, "capture", lambda *args: read.append(1) or capture(*args))
    hook = tiny("SD15").model.diffusion_model.register_forward_pre_hook(lambda *_: asked.append(1))
    try:
        picture("SD15", None, "before", end=0.25, target=1e-9)
    finally:
        hook.remove()
    assert len(read) == 1 and len(asked) == 4 + 1  # four steps, and one look at the first


def test_this_pack_s_own_wrappers_are_not_looked_at():
    around = {WrappersMP.APPLY_MODEL: {"ours": [sampling.steer], "theirs": [picture]}}
    found = trial.wrappers({"transformer_options": {"wrappers": around}})
    assert found == {WrappersMP.APPLY_MODEL: {"theirs": [picture]}}


def test_a_patch_is_named_by_its_node_and_its_pack(monkeypatch):
    class Couple:
        def go(self):
            return lambda: None

    Couple.__module__, Couple.__qualname__ = "/home/me/ComfyUI/custom_nodes/ComfyUI-ppm.nodes.couple", "Couple"
    patch = Couple().go()
    patch.__module__, patch.__qualname__ = Couple.__module__, "Couple.go.<locals>.<lambda>"
    assert trial.name_of(functools.partial(patch)) == trial.name_of(Couple()) == '"Couple" of ComfyUI-ppm'
    monkeypatch.setitem(host_nodes.NODE_CLASS_MAPPINGS, "Couple_ppm", Couple)
    monkeypatch.setitem(host_nodes.NODE_DISPLAY_NAME_MAPPINGS, "Couple_ppm", "Attention Couple")
    assert trial.name_of(patch) == '"Attention Couple" of ComfyUI-ppm'


# --- The guided passes ------------------------------------------------------------------------------------------------


class Checked:
    """In place of `capture` in a steered run: gives the same, and compares its gradient with finite differences."""

    def __init__(self):
        self.maps, self.ratios = [], []

    def __call__(self, inner, cond, x, *args):
        def value(latent):
            maps = shapes(capture(inner, cond, latent, *args))
            return (maps.double() * random(*maps.shape, seed=7).to(maps.device).double()).sum()

        leaf = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(value(leaf), leaf)
        with torch.no_grad():
            step = gradient * (1e-3 * x.norm() / gradient.norm())
            difference = (value(x + step) - value(x - step)) / 2
        self.ratios.append((difference / (gradient.double() * step.double()).sum()).item())
        maps = capture(inner, cond, x, *args)
        self.maps.append(shapes(maps))
        return maps


@functools.cache
def checked(family, node, order, save_memory=False):
    """The checks of a run's two steered steps."""
    checks = Checked()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(steered_model, "capture", checks)
        _, _, report = picture(family, node, order, end=1.0, target=1e-9, save_memory=save_memory)
    assert len(report.seen) == len(checks.ratios) == 2
    return checks


@pytest.mark.parametrize(("order", "save_memory"), [("before", False), ("after", True)])
@each_node
def test_the_gradient_equals_finite_differences(node, family, order, save_memory):
    ratios = checked(family, node, order, save_memory).ratios
    assert ratios == pytest.approx([1.0, 1.0], abs=0.01)


@each_node
def test_maps_show_what_the_node_changes(node, family):
    # The first steered step: the latent is the same noise with and without the node.
    maps, plain = (checked(family, name, "before").maps[0] for name in (node, None))
    same = torch.allclose(maps, plain, rtol=1e-3, atol=1e-4)
    assert same == (node in ELSEWHERE)
