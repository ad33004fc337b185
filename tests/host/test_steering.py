"""Steering inside the host's own samplers."""

import comfy.model_management
import comfy.sample
import comfy.samplers
import pytest
import torch
from inside import layout_of
from learn_to_steer.nodes.attention_capture import AttentionCapture, Capture
from learn_to_steer.nodes.classifier_loss import L2SClassifierLoss, register_folders
from learn_to_steer.nodes.host import sampling, steered_model
from learn_to_steer.nodes.host.capture import capture, model_layers
from learn_to_steer.nodes.host.finished import finished_maps
from learn_to_steer.nodes.host.noise import sigma_at
from learn_to_steer.nodes.host.samplers import REFUSED
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.nodes.host.steered_model import SteeredModel
from learn_to_steer.nodes.relation_parse import RelationParse
from learn_to_steer.nodes.steered_ksampler import SteeredKSampler, SteerModel
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.losses import Moment, Score
from learn_to_steer.steering.losses.classifier import ClassifierLoss
from learn_to_steer.steering.maps import MapSettings, pooling
from learn_to_steer.steering.report import Report
from learn_to_steer.steering.words import Words
from tiny import tiny

PROMPT = "a giraffe above an airplane"
register_folders()


@pytest.fixture(scope="module")
def scene(demo):
    """(MODEL, positive, negative, Aim) of the demo prompt, made by the nodes."""
    with torch.inference_mode():
        model, clip, _ = demo
        positive, relations, _ = RelationParse.execute(clip, PROMPT).result
        (capture,) = AttentionCapture.execute(model, relations).result
        aim, _ = L2SClassifierLoss.execute(capture, "emoji_world.safetensors").result
        negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
        return model, positive, negative, aim


def plain(scene, sampler="euler", steps=6, seed=3, mask=None, batch=1, latent=None, denoise=1.0):
    """What the host's KSampler gives."""
    model, positive, negative, _ = scene
    latent = torch.zeros(batch, 8, 16, 16) if latent is None else latent
    noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample(
        model, noise, steps, 4.0, sampler, "normal", positive, negative, latent,
        denoise=denoise, noise_mask=mask, seed=seed, disable_pbar=True,
    )  # fmt: skip


def steered(
    scene,
    sampler="euler",
    steps=6,
    seed=3,
    mask=None,
    batch=1,
    latent=None,
    denoise=1.0,
    report=None,
    **settings,
):
    model, positive, negative, aim = scene
    settings = Steering(**{"end": 1.0, "refinements": 3, **settings})
    return plain(
        (steer(model, aim, settings, report or Report()), positive, negative, aim),
        sampler,
        steps,
        seed,
        mask,
        batch,
        latent,
        denoise,
    )


def probability(scene, samples) -> float:
    """How surely the classifier reads the wanted relation in finished latents, at half noise (mean of four noises)."""
    model, positive, _, aim = scene
    pool = pooling(aim.words.rows)
    total = 0.0
    for seed in range(4):
        noise = comfy.sample.prepare_noise(samples, seed)
        sigmas = torch.full((len(samples),), sigma_at(model, 0.5))
        maps = finished_maps(model, positive, samples, noise, sigmas, pool, aim.layout)
        total += aim.loss.score(maps, aim.words, Moment(0.5)).satisfaction.mean().item() / 4
    return total


SAMPLERS = [name for name in comfy.samplers.KSampler.SAMPLERS if name not in REFUSED]


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_is_steered(scene, sampler, masked):
    mask, latent = None, None
    if masked:  # the outermost cells are kept
        mask = torch.zeros(1, 1, 16, 16)
        mask[..., 1:-1, 1:-1] = 1
        latent = torch.zeros(1, 8, 16, 16) + 0.01
    report = Report()
    steps = 10
    before = plain(scene, sampler, steps, mask=mask, latent=latent)
    after = steered(scene, sampler, steps, mask=mask, latent=latent, report=report, end=0.5)
    assert after.isfinite().all()
    assert [seen.step for seen in report.seen][0] == 0
    assert max(seen.step for seen in report.seen) < 5
    assert report.gradient_steps > 0
    assert not torch.equal(before, after)
    assert probability(scene, after) >= min(probability(scene, before), Steering().target)  # granted is enough
    if masked:
        # What lies outside the mask is not touched (uni_pc itself does not keep it to the last digit).
        torch.testing.assert_close(after[..., 0, :], before[..., 0, :])
        torch.testing.assert_close(after[..., 0, :], latent[..., 0, :], rtol=0, atol=0.01)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_s_first_question_is_at_its_own_noise_level(scene, sampler, monkeypatch):
    """The counter of questions, step_of, against what the sampler really asks."""
    asked, call = [], SteeredModel.__call__

    def noting(self, x, sigma, **kwargs):
        denoised = call(self, x, sigma, **kwargs)
        asked.append((self.step, float(sigma[0])))
        return denoised

    monkeypatch.setattr(SteeredModel, "__call__", noting)
    steered(scene, sampler, 6, end=0.2, target=1e-9)
    firsts = dict(reversed(asked))
    sigmas = comfy.samplers.KSampler(scene[0], 6, "cpu", sampler, "normal").sigmas.tolist()
    assert sorted(firsts) == list(range(6))
    assert [firsts[step] for step in range(6)] == pytest.approx(sigmas[:6], rel=1e-3)


@pytest.mark.parametrize("sampler", REFUSED)
def test_a_sampler_that_cannot_be_steered_is_named(scene, sampler):
    with pytest.raises(ValueError, match=f'The sampler "{sampler}" chooses its own steps'):
        steered(scene, sampler)


@pytest.mark.parametrize("off", [{"strength": 0.0}, {"start": 0.5, "end": 0.5}, {"refinements": 0}], ids=str)
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m_sde", "uni_pc"])
def test_steering_that_is_off_is_the_host_s_ksampler_bit_for_bit(scene, sampler, off):
    assert torch.equal(steered(scene, sampler, **off), plain(scene, sampler))


def test_a_prompt_without_a_relation_is_the_host_s_ksampler_bit_for_bit(demo, scene):
    model, clip, _ = demo
    positive, relations, understood = RelationParse.execute(clip, "a dog and a cat").result
    assert understood.startswith("No place or relation found")
    (capture,) = AttentionCapture.execute(model, relations).result
    aim, _ = L2SClassifierLoss.execute(capture, "emoji_world.safetensors").result
    without = (model, positive, scene[2], aim)
    assert torch.equal(steered(without), plain(without))


def test_a_second_run_is_identical_and_a_plain_run_after_it_unchanged(scene):
    before = plain(scene)
    first, second = steered(scene), steered(scene)
    assert torch.equal(first, second)
    assert not torch.equal(first, before)
    assert torch.equal(plain(scene), before)


def test_reading_without_moving_leaves_the_picture_bit_for_bit(scene):
    report = Report()
    # Every wish counts as granted at once: the passes run, and must leave no trace.
    assert torch.equal(steered(scene, target=1e-9, report=report), plain(scene))
    assert report.seen and report.gradient_steps == 0


def test_granted_wishes_are_read_ever_more_rarely(scene):
    report = Report()
    steered(scene, steps=16, target=1e-9, report=report)
    assert [seen.step for seen in report.seen] == [0, 2, 6, 14]


def test_after_an_error_or_a_cancel_a_plain_run_is_unchanged(scene, monkeypatch):
    before = plain(scene)
    sampler = comfy.samplers.sampler_object("euler")
    function = sampler.sampler_function
    calls = []

    def cancelled():
        calls.append(1)
        if len(calls) == 3:
            raise comfy.model_management.InterruptProcessingException

    with monkeypatch.context() as patch:
        patch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", cancelled)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            steered(scene, target=0.9999)
    assert len(calls) == 3  # within one model call
    with monkeypatch.context() as patch:
        patch.setattr(ClassifierLoss, "score", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            steered(scene)
    assert sampler.sampler_function is function
    assert torch.equal(plain(scene), before)
    assert torch.is_inference_mode_enabled()


def test_a_gradient_that_is_no_number_stops_steering_and_finishes_the_picture(scene, monkeypatch):
    right = ClassifierLoss.score

    def broken(*args):
        loss, satisfaction = right(*args)
        return Score(loss * float("nan"), satisfaction)

    monkeypatch.setattr(ClassifierLoss, "score", broken)
    report = Report()
    samples = steered(scene, report=report)
    assert torch.equal(samples, plain(scene))
    assert report.failed and not report.seen
    assert "Steering stopped at step 1: The loss is not a finite number." in report.text()


def test_pictures_of_a_batch_are_steered_each_on_its_own(scene):
    report = Report()
    samples = steered(scene, batch=2, report=report)
    assert samples.isfinite().all()
    assert all(seen.before.satisfaction.shape == (2, 1) for seen in report.seen)


def test_img2img_counts_steps_of_its_own_run(scene):
    latent = plain(scene, seed=5)
    report = Report()
    steered(scene, steps=4, latent=latent, denoise=0.5, report=report, target=0.9999)
    assert [seen.step for seen in report.seen] == [0, 1, 2, 3]
    assert report.seen[0].level < 0.9


def test_steer_model_gives_the_same_picture_as_steered_ksampler(scene):
    model, positive, negative, aim = scene
    settings = dict(strength=1.0, start=0.0, end=0.5, refinements=3, target=0.9, sharing="together")
    latent = {"samples": torch.zeros(1, 4, 16, 16)}  # EmptyLatentImage's four channels
    samples, text, loss_map, run = SteeredKSampler.execute(
        model, aim, 3, 6, 4.0, "euler", "normal", positive, negative, latent, 1.0, **settings
    ).result
    patched, of_patched = SteerModel.execute(model, aim, **settings).result
    assert torch.equal(plain((patched, positive, negative, aim)), samples["samples"])
    assert text == run.text() == of_patched.text()
    plain((patched, positive, negative, aim))
    assert text == of_patched.text()  # the latest run's, not both
    assert text.startswith("step 1: giraffe | above | airplane: ")
    assert len(loss_map["loss"]) >= 2
    assert latent["samples"].shape[1] == 4  # the input is left alone


def test_a_lora_on_the_model_is_steered_too(scene):
    model, positive, negative, aim = scene
    patched = model.clone()
    name = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_q.weight"
    weight = dict(model.model.named_parameters())[name]
    patched.add_patches({name: ("diff", (torch.full(weight.shape, 0.01),))})
    with_lora = (patched, positive, negative, aim)
    report = Report()
    samples = steered(with_lora, report=report)
    assert samples.isfinite().all() and report.seen
    assert not torch.equal(plain(with_lora), plain(scene))


def test_a_classifier_for_another_layout_is_refused_with_a_sentence(demo, scene):
    model, clip, _ = demo
    _, relations, _ = RelationParse.execute(clip, PROMPT).result
    (capture,) = AttentionCapture.execute(model, relations, layers="1-3").result
    with pytest.raises(
        ValueError, match="layers is 1-3 in Attention Capture, and it was trained with 1-7. Set layers to auto"
    ):
        L2SClassifierLoss.execute(capture, "emoji_world.safetensors")


def test_a_classifier_for_another_family_is_refused_with_a_sentence(scene):
    capture = Capture(Words(PROMPT, (), (), (), ()), model_layers(tiny("SD15")), MapSettings())
    with pytest.raises(ValueError, match="maps of EmojiWorld.*gives SD15"):
        L2SClassifierLoss.execute(capture, "emoji_world.safetensors")


def test_the_wrong_words_are_named_before_any_sampling(demo):
    _, clip, _ = demo
    for corrections, sentence in (
        ("cow | above | airplane", '"cow" is not in the prompt'),
        ("giraffe | behold | airplane", "behold"),
        ("giraffe above airplane", "giraffe above airplane"),
    ):
        with pytest.raises(ValueError, match=sentence):
            RelationParse.execute(clip, PROMPT, corrections)


def test_the_first_step_after_the_last_is_refused_before_any_sampling(scene):
    model, positive, negative, aim = scene
    with pytest.raises(ValueError, match="the first must not come after the last"):
        SteerModel.execute(model, aim, 1.0, 0.6, 0.4, 3, 0.9, "together")


@pytest.mark.parametrize(
    ("name", "module", "advice"),
    [
        ("Identity", "torch.nn", "none of the families"),
        ("TrTUnet", "tensorrt_loader", "A TensorRT engine has no gradient. Bypass TensorRT Loader"),
        ("ComfyFluxWrapper", "nunchaku.wrappers", "Nunchaku's kernels have no gradient"),
        ("OptimizedModule", "torch._dynamo", "It is compiled. Bypass the node"),
    ],
)
def test_a_model_that_has_no_gradient_is_refused_before_any_sampling(scene, name, module, advice):
    cls = type(name, (torch.nn.Module,), {"__module__": module})
    model = scene[0].clone()
    steered_before = steer(model, scene[3], Steering())
    for patched in (model, steered_before):
        patched.add_object_patch("diffusion_model", cls())
    sentence = f"The attention of {name} cannot be read.*{advice}"
    for act in (
        lambda: layout_of(model),
        lambda: steer(model, scene[3], Steering()),
        lambda: plain((steered_before, *scene[1:])),
    ):
        with pytest.raises(ValueError, match=sentence):
            act()


def test_a_step_cache_in_the_model_s_place_is_refused_before_any_sampling(scene):
    def cached_forward(apply_model, arguments):
        return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

    model = steer(scene[0], scene[3], Steering())
    model.set_model_unet_function_wrapper(cached_forward)
    with pytest.raises(ValueError, match="A step cache .*in_the_model_s_place.* of .*test_steering.* Bypass its node"):
        plain((model, *scene[1:]))


def test_when_memory_runs_out_blocks_are_computed_again(scene, monkeypatch):
    asked = []

    def short_of_memory(*args):
        asked.append(args[-1])
        if not args[-1]:
            raise torch.OutOfMemoryError("out of memory")
        return capture(*args)

    monkeypatch.setattr(steered_model, "capture", short_of_memory)
    report = Report()
    after = steered(scene, report=report)
    assert asked[:2] == [False, True] and all(asked[1:])
    assert report.gradient_steps > 0 and not report.failed
    monkeypatch.undo()
    torch.testing.assert_close(after, steered(scene), rtol=1e-3, atol=1e-3)


class Accelerator(RuntimeError):
    """As torch.AcceleratorError, which cannot be made by hand."""

    error_code = 2


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("out of memory"),
        RuntimeError("MPS backend out of memory (...)"),
        Accelerator("CUDA error"),
    ],
    ids=["torch", "MPS", "accelerator"],
)
def test_when_there_is_not_memory_enough_the_picture_is_finished_with_advice(scene, monkeypatch, error):
    monkeypatch.setattr(comfy.model_management, "ACCELERATOR_ERROR", Accelerator, raising=False)

    def short_of_memory(*args):
        raise error

    monkeypatch.setattr(steered_model, "capture", short_of_memory)
    report = Report()
    assert torch.equal(steered(scene, report=report), plain(scene))
    assert report.failed
    assert "not enough memory. Make a smaller picture, or fewer at once." in report.text()


def test_a_model_is_told_of_the_inpainting_mask(scene, monkeypatch):
    """As newer hosts tell it; this stands in for a model that shows another surrounding then."""
    told, inpaint = [], scene[0].model.scale_latent_inpaint

    def scaled(denoise_mask=None, **kwargs):
        told.append(denoise_mask)
        return inpaint(**kwargs)

    monkeypatch.setattr(scene[0].model, "scale_latent_inpaint", scaled)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 1:-1, 1:-1] = 1
    steered(scene, steps=2, end=0.5, target=1e-9, mask=mask)
    assert told[0] is not None and torch.equal(told[0][:, :1].cpu(), mask)


def test_another_error_is_no_lack_of_memory(scene, monkeypatch):
    monkeypatch.setattr(steered_model, "capture", lambda *args: [][0])
    with pytest.raises(IndexError):
        steered(scene)


def test_the_host_is_asked_for_the_memory_of_the_way_back(scene, monkeypatch):
    asked, load = [], comfy.model_management.load_models_gpu

    def loading(models, memory_required=0, **kwargs):
        asked.append(memory_required)
        return load(models, memory_required=memory_required, **kwargs)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", loading)
    plain(scene, steps=1)
    steered(scene, steps=1)
    steered(scene, steps=1, save_memory=True)
    layers = scene[3].layout.last
    assert asked[1] >= sampling.room(layers, False) * asked[0] > 2 * asked[0]
    assert asked[2] >= sampling.room(layers, True) * asked[0] > asked[0]
