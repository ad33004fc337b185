"""The authors' classifiers against the authors' own code, number by number, in the host's own classes.

PUBLISHED_DATA names a folder of reference numbers that their code gave on tiny models of random weights; of those,
tests/published holds the full-size classifiers and the verdicts. `pytest -s` prints every error beside its tolerance.
"""

import functools
import json
import math
import os
import pickle
import zlib
from dataclasses import dataclass
from pathlib import Path

import comfy.model_detection
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import comfy.supported_models
import comfy.utils
import folder_paths
import numpy as np
import pytest
import torch
from inside import inside
from learn_to_steer.nodes import classifier_loss
from learn_to_steer.nodes.attention_capture import Capture
from learn_to_steer.nodes.classifier_loss import L2SClassifierLoss
from learn_to_steer.nodes.host.capture import capture, model_layers
from learn_to_steer.nodes.host.check import check_fits
from learn_to_steer.nodes.host.files import contents
from learn_to_steer.nodes.host.gradient import differentiable
from learn_to_steer.nodes.host.marks import mark
from learn_to_steer.nodes.host.noise import signal_and_noise
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.judge import Found, judge
from learn_to_steer.steering.losses import Moment
from learn_to_steer.steering.losses.published import PublishedLoss, read, relation_of
from learn_to_steer.steering.maps import MapSettings, noise_level, pooling
from learn_to_steer.steering.relations import labels
from learn_to_steer.steering.report import Report
from learn_to_steer.steering.words import Phrase, Wish, Words
from safetensors.torch import load_file
from tiny import positive, tiny

HERE = Path(__file__).resolve().parent.parent / "published"
DATA = Path(os.environ.get("PUBLISHED_DATA", HERE))
TOLERANCE = {"prediction": 1e-5, "maps": 1e-5, "logits": 1e-4, "loss": 1e-5, "gradient": 1e-4, "displacement": 1e-3}
CPU = torch.device("cpu")
LABELS = ("above", "below", None, "left of", "right of")


def given(name: str) -> Path:
    """A file of reference numbers."""
    if DATA == HERE and not (HERE / name).exists():
        pytest.skip(f"{name} comes with the whole set only (PUBLISHED_DATA)")
    return DATA / name


def told(name: str) -> dict:
    return json.loads(given(name).read_text())


def close(kind: str, what: str, got: torch.Tensor, expected: torch.Tensor) -> None:
    """Logits and loss by their greatest difference, the rest by its share of the whole."""
    got, expected = got.double(), expected.double()
    error = (got - expected).abs().max() if kind in ("logits", "loss") else (got - expected).norm() / expected.norm()
    print(f"{what:40} {kind:12} {error.item():.1e} of {TOLERANCE[kind]:.0e}")
    assert error <= TOLERANCE[kind], what


# --- Stable Diffusion and both FLUX -----------------------------------------------------------------------------------

UNET = {
    "use_checkpoint": False, "image_size": 32, "use_spatial_transformer": True, "legacy": False, "in_channels": 4,
    "out_channels": 4, "use_temporal_resblock": False, "use_temporal_attention": False, "model_channels": 32,
    "channel_mult": [1, 1, 1, 2], "num_res_blocks": [2, 2, 2, 2], "transformer_depth": [1] * 6 + [0] * 2,
    "transformer_depth_output": [1] * 9 + [0] * 3, "transformer_depth_middle": 1, "num_heads": -1,
    "num_head_channels": 16, "context_dim": 32, "use_linear_in_transformer": False, "adm_in_channels": None,
}  # fmt: skip
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": 32,
    "hidden_size": 48, "mlp_ratio": 4.0, "num_heads": 3, "axes_dim": [4, 6, 6], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "txt_ids_dims": [],
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """config: class of the host's supported_models; unet: its configuration; weights: the name of their file's end;
    looks: names of the steps at which numbers were taken."""

    config: str
    unet: dict
    weights: str
    looks: tuple[str, ...]


CASES = {
    "official_sd": Case("SD20", UNET, "unet", ("i0", "i7")),
    "official_flux_schnell": Case(
        "FluxSchnell", FLUX | {"depth": 2, "depth_single_blocks": 3, "guidance_embed": False}, "transformer", ("i0",)
    ),
    "official_flux_dev": Case(
        "Flux", FLUX | {"depth": 1, "depth_single_blocks": 2, "guidance_embed": True}, "transformer", ("i0", "i7")
    ),
}
LOOKS = [(name, look) for name, case in CASES.items() for look in case.looks]


def model_of(name: str) -> comfy.model_patcher.ModelPatcher:
    """The host's own model with the weights of a file in diffusers' names."""
    case, weights = CASES[name], load_file(given(f"{name}_{CASES[name].weights}.safetensors"))
    weights = {key: weight.float() for key, weight in weights.items()}
    if case.unet is UNET:
        names = comfy.utils.unet_to_diffusers(case.unet)
        assert set(weights) <= set(names)
        weights = {names[key]: weight for key, weight in weights.items()}
    else:
        weights = comfy.model_detection.convert_diffusers_mmdit(weights)
    cls = getattr(comfy.supported_models, case.config)
    cls = type(case.config, (cls,), {"unet_extra_config": {}})
    config = cls(dict(case.unet))
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=CPU)
    model.diffusion_model.load_state_dict(config.process_unet_state_dict(weights))
    for part in model.diffusion_model.modules():
        if type(part).__name__ == "RMSNorm":
            part.eps = 1e-6  # as in the authors' library; the host's 1e-7 moves FLUX's maps by 6e-6 of themselves
    model.diffusion_model.train(False)
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


class Reading:
    """A case's model, classifier and reference numbers, and what our own code makes of them."""

    def __init__(self, name: str):
        self.name, self.tensors, self.facts = name, load_file(given(f"{name}.safetensors")), told(f"{name}.json")
        self.model = model_of(name)
        self.classifier = read(contents(given(f"{name}_classifier.pth")), name)
        self.loss = PublishedLoss(self.classifier, model_layers(self.model))
        values = {"pooled_output": self.tensors["pooled"]} if "pooled" in self.tensors else {}
        if "guidance" in self.tensors:
            values["guidance"] = self.tensors["guidance"].item()
        self.conditioning = [[self.tensors["context"], values]]

    def inside(self, function):
        """function(the host's BaseModel, the processed conditioning entry, model_options)."""
        return inside(self.model, self.conditioning, self.tensors["latent"], function)

    def words(self, look: str) -> Words:
        """The two words and the wish of a look."""
        subject, relation, object = self.facts["cases"][look]["relation"]
        wish = Wish(Phrase(subject, (0, 0)), relation_of(relation), Phrase(object, (0, 0)))
        rows = tuple(tuple(self.facts["token_positions"][thing]) for thing in (subject, object))
        return Words(self.facts["prompt"], (wish,), (subject, object), rows, ((0, 1),))

    def sigma(self, look: str) -> float:
        case = self.facts["cases"][look]
        if "sigma" in case:
            return case["sigma"]
        return float(self.model.model.model_sampling.sigmas[case["timestep"]])

    def scale(self, look: str) -> float:
        """From the latent's scale in the files to that of the host's samplers."""
        return 1.0 if "sigma" in self.facts["cases"][look] else math.hypot(1.0, self.sigma(look))

    def look(self, inner, entry, options, latent: torch.Tensor, look: str, save_memory=False):
        """What a step of steering does with a latent in the files' scale: its maps, its loss, its gradient."""
        sigma, scale = self.sigma(look), self.scale(look)
        moment = Moment(noise_level(*signal_and_noise(inner, sigma)))
        with differentiable(inner.diffusion_model, self.classifier):
            leaf = (latent * scale).requires_grad_(True)
            words, when = self.words(look), torch.tensor([sigma])
            maps = capture(inner, entry, leaf, when, options, pooling(words.rows), self.loss.layout, save_memory)
            loss = self.loss.score(maps, words, moment).loss
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return maps.detach(), loss.detach()[0], gradient * scale


@pytest.fixture(scope="module")
def reading():
    made: dict[str, Reading] = {}

    def of(name: str) -> Reading:
        if name not in made:
            with torch.inference_mode():
                made[name] = Reading(name)
        return made[name]

    return of


@pytest.mark.parametrize(("name", "look"), LOOKS)
def test_the_host_predicts_what_the_authors_model_does(reading, name, look):
    case = reading(name)
    sigma, scale = torch.tensor([case.sigma(look)]), case.scale(look)

    def predict(inner, entry, options):
        x = case.tensors["latent"] * scale
        (clean,) = comfy.samplers.calc_cond_batch(inner, [[entry]], x, sigma, options)
        return (x - clean) / sigma

    key = "eps_cond" if f"{look}/eps_cond" in case.tensors else "velocity"
    if f"{look}/{key}" in case.tensors:
        close("prediction", f"{name} {look}", case.inside(predict), case.tensors[f"{look}/{key}"])


@pytest.mark.parametrize(("name", "look"), LOOKS)
def test_maps_loss_and_gradient_are_the_authors(reading, name, look):
    case = reading(name)
    expected = {key.removeprefix(f"{look}/"): value for key, value in case.tensors.items() if key.startswith(look)}
    maps, loss, gradient = case.inside(lambda *args: case.look(*args, case.tensors["latent"].clone(), look))
    if case.classifier.config.divided:
        maps = maps / (maps.sum((-1, -2), keepdim=True) + 1e-8)
    for word, key in enumerate(("maps_A", "maps_B")):
        close("maps", f"{name} {look} {key}", maps[0, word], expected[key])
    steps = [int(key.removeprefix("logits_index")) for key in expected if key.startswith("logits")]
    assert sorted(steps) == list(case.classifier.config.trained)
    for step in steps:
        where = case.classifier.where(maps[0], torch.tensor([step, step]))
        logits = case.classifier(where[:1], where[1:], torch.tensor([step]))
        close("logits", f"{name} {look} step {step}", logits[0], expected[f"logits_index{step}"])
    close("loss", f"{name} {look}", loss, expected["loss"])
    close("gradient", f"{name} {look}", gradient, expected["grad"])


@pytest.mark.parametrize("name", CASES)
def test_three_updates_end_where_the_authors_end(reading, name):
    case, look = reading(name), "i0"
    start, size = case.tensors["latent"], case.facts["cases"]["i0"]["step_size"]

    def updated(inner, entry, options):
        latent = start.clone()
        for _ in range(3):
            gradient = case.look(inner, entry, options, latent, look, save_memory=case.classifier.config.flow)[-1]
            latent = latent - size * gradient
        return latent

    moved = case.inside(updated) - start
    close("displacement", name, moved, case.tensors[f"{look}/latent_after_3"] - start)


@pytest.mark.parametrize("name", CASES)
def test_every_step_of_the_authors_run_is_told_the_step_that_they_tell_it(reading, name):
    """Theirs is the next trained step at exactly so many steps; ours goes by the noise level."""
    case = reading(name)
    config, sampling = case.classifier.config, case.model.model.model_sampling
    if config.flow:
        sigmas = case.facts["sigmas"][:-1]
    else:
        sigmas = [float(sampling.sigmas[981 - 20 * step]) for step in range(50)]
    levels = [noise_level(*signal_and_noise(case.model.model, sigma)) for sigma in sigmas]
    assert len(levels) == config.steps
    expected = [next((step for step in config.trained if step >= i), config.trained[-1]) for i in range(config.steps)]
    assert [config.step_at(level) for level in levels] == expected
    assert levels == pytest.approx([config.level(step) for step in range(config.steps)], abs=1e-6)
    assert config.step_at(1.0) == config.trained[0]
    assert config.step_at(0.0) == config.trained[-1]


# --- Full size --------------------------------------------------------------------------------------------------------


def recipe(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers in -1..1 that everybody can make anew (the recipe stands in official_fullsize.json)."""
    i = np.arange(math.prod(shape), dtype=np.uint64)
    h = (i * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))).astype(np.uint32)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
    return torch.from_numpy(((h >> np.uint32(22)).astype(np.float32) - 512) / 512).view(shape)


def by_rule(rule: str, v: torch.Tensor) -> torch.Tensor:
    if rule.startswith("v * 2^"):
        return v * 2.0 ** int(rule.removeprefix("v * 2^"))
    return {"v/8": v / 8, "1 + v/8": 1 + v / 8}[rule]


def waves(entries: int, width: int) -> torch.Tensor:
    angles = torch.arange(entries)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], -1).view(1, entries, width)


@functools.cache
def full_size(kind: str) -> dict:
    """What the authors' training saves, in their form and size. kind: of their four configurations."""
    case = told("official_fullsize.json")["cases"][kind]
    flux, schnell = kind.startswith("flux"), kind.startswith("flux_schnell")
    weights = {
        name: waves(shape[1], shape[2])
        if name.endswith(".pe")
        else by_rule(case["rules"][name], recipe(f"{case['salt']}/{name}", tuple(shape)))
        for name, shape in case["state_dict"].items()
    }
    heads = {"nhead": 4 if flux else 2, "num_layers": 4 if flux else 2, "dim_feedforward": 512 if flux else 128}
    steps = 4 if schnell else 50
    return {
        "model_state_dict": weights,
        "rel_name_to_idx": case["rel_name_to_idx"],
        "idx_to_rel_name": {index: name for name, index in case["rel_name_to_idx"].items()},
        "input_channels": 1368,
        "config": {
            "extractor": {
                **heads, "layer_attn_nheads": heads["nhead"], "dropout": 0.3,
                "timestep_embedding": {"enable": True, "mode": "mid"},
            },
            "classifier": {
                **heads, "nhead": 2 * heads["nhead"], "mode": "multiclass", "timestep_embedding_dim": 16,
                "fc_ver": "v1", "dropout": 0.3,
            },
            "map_size": 16, "d_model": 256, "num_timesteps": steps, "architecture": "attention",
        },
        "training_config": {
            "exp_name": kind.removesuffix("_config"), "timesteps": [1, 3] if schnell else [5, 10, 15, 20, 25, 49],
            "num_timesteps": steps, "orig_map_size": 32 if kind.startswith("flux_dev") else 16,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("sd14_config", "Stable Diffusion 1"),
        ("sd2_config", "Stable Diffusion 2"),
        ("flux_schnell_config", "FLUX.1 schnell"),
        ("flux_dev_config", "FLUX.1 dev"),
    ],
)
def test_full_size_classifiers_give_the_authors_logits(kind, model):
    case = told("official_fullsize.json")["cases"][kind]
    classifier = read(full_size(kind), kind)
    assert classifier.config.model == model and classifier.config.labels == LABELS
    assert sum(p.numel() for p in classifier.parameters()) == case["parameters"]
    maps = torch.stack([recipe(f"{case['salt']}/maps{o}", (case["channels"], 16, 16)) for o in "AB"]) + 1.01
    maps = maps / (maps.sum((-1, -2), keepdim=True) + 1e-8 if classifier.config.divided else 512)
    for step, expected in case["logits"].items():
        when = torch.tensor([int(step)])
        where = classifier.where(maps, when.expand(2))
        logits = classifier(where[:1], where[1:], when)[0]
        close("logits", f"{kind} step {step}", logits, torch.tensor(expected))


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def test_verdicts_are_those_of_geneval_s_rule():
    told_so = told("multi_relation_eval.json")
    right = 0
    for layout in told_so["layouts"]:
        found = [Found(name, tuple(box)) for name, box in layout["boxes"].items() if box is not None]
        wishes = [
            Wish(Phrase(a, (0, 0)), relation.removeprefix("to the "), Phrase(b, (0, 0)))
            for a, relation, b in layout["relations"]
        ]
        verdicts = judge(found, wishes)
        assert all(verdict.granted for verdict in verdicts) == layout["geneval_correct"], layout["id"]
        right += layout["geneval_correct"]
        boxes = {one.name: one.box for one in found}
        for (a, _, b), by_rule_ in zip(layout["relations"], layout["holds_by_rule"], strict=True):
            if by_rule_ is not None:
                straight = {"left of", "right of", "above", "below"}
                assert labels(boxes[a], boxes[b]) & straight == set(by_rule_), layout["id"]
    assert right == told_so["counts"]["geneval"]


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's, in which classifiers are looked for."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, classifier_loss.FOLDER, ([str(tmp_path)], set()))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    paths = folder_paths.folder_names_and_paths[classifier_loss.FOLDER]
    monkeypatch.setattr(folder_paths, "add_model_folder_path", lambda name, path: None)
    classifier_loss.register_folders()
    assert folder_paths.folder_names_and_paths[classifier_loss.FOLDER][0] == paths[0]
    return tmp_path


def captured(family: str, relation="above") -> Capture:
    wish = Wish(Phrase("dog", (0, 0)), relation, Phrase("cat", (0, 0)))
    words = Words("a dog above a cat", (wish,), ("dog", "cat"), ((3,), (5, 6)), ((0, 1),))
    return Capture(words, model_layers(tiny(family)), MapSettings())


def test_a_file_in_the_user_s_folder_is_offered_and_steers_the_model_that_it_was_trained_for(folder):
    torch.save(full_size("sd2_config"), folder / "sd2.pth")
    (folder / "notes.txt").write_text("no classifier")
    assert [name for name in classifier_loss.choices() if not name.startswith("none: ")] == ["sd2.pth"]
    aim, notes = L2SClassifierLoss.execute(captured("SD20"), "sd2.pth").result
    assert "Stable Diffusion 2" in notes and "no commercial use" in notes
    assert (aim.layout.heads, aim.layout.published, aim.words.wishes[0].relation) == ("kept", True, "above")
    check_fits(tiny("SD20"), aim.layout)
    maps = torch.rand(2, 2, aim.layout.channels, 16, 16)
    score = aim.loss.score(maps, aim.words, Moment(0.9))
    assert score.loss.shape == (2, 1)
    torch.testing.assert_close(score.satisfaction, (-score.loss).exp())
    _, notes = L2SClassifierLoss.execute(captured("SD20", "near"), "sd2.pth").result
    assert '"dog | near | cat" is not steered: this loss knows only above, below, left of, right of.' in notes


def test_a_run_is_steered_by_it(folder):
    torch.save(full_size("sd2_config"), folder / "sd2.pth")
    aim, _ = L2SClassifierLoss.execute(captured("SD20"), "sd2.pth").result
    report, start = Report(), torch.zeros(1, 4, 16, 16)
    steered = steer(tiny("SD20"), aim, Steering(refinements=3, end=1.0, target=0.9999), report)
    cond, noise = positive("SD20"), comfy.sample.prepare_noise(start, 1)
    comfy.sample.sample(
        steered, noise, 2, 2.0, "ddim", "ddim_uniform", mark(cond, aim.words.prompt), cond, start, seed=1,
        disable_pbar=True,
    )  # fmt: skip
    assert [seen.step for seen in report.seen] == [0, 1]
    assert all(seen.after.loss < seen.before.loss for seen in report.seen)


@pytest.mark.parametrize(
    ("kind", "family", "sentence"),
    [
        ("sd2_config", "SD15", "trained for Stable Diffusion 2, and this model is SD15"),
        ("sd2_config", "Flux", "trained for Stable Diffusion 2, and this model is Flux"),
        ("flux_schnell_config", "Flux", "trained for FLUX.1 schnell, and this model is Flux"),
        ("flux_dev_config", "SD20", "trained for FLUX.1 dev, and this model is SD20"),
    ],
)
def test_a_file_for_another_model_is_refused(folder, kind, family, sentence):
    torch.save(full_size(kind), folder / "file.pth")
    with pytest.raises(ValueError, match=f'The classifier "file.pth" does not fit: it was {sentence}'):
        L2SClassifierLoss.execute(captured(family), "file.pth")


def test_settings_by_hand_that_the_file_was_not_trained_with_are_named(folder):
    torch.save(full_size("sd2_config"), folder / "file.pth")
    wanted = captured("SD20")
    by_hand = Capture(wanted.words, wanted.layers, MapSettings(heads="averaged"))
    with pytest.raises(ValueError, match="heads is averaged in Attention Capture"):
        L2SClassifierLoss.execute(by_hand, "file.pth")


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_that_would_run_code_is_not_opened(folder):
    evil = Evil()
    evil.path = folder / "was here"
    torch.save({"model_state_dict": evil}, folder / "zip.pth")
    (folder / "bare.pth").write_bytes(pickle.dumps(evil, 2))
    for name in ("zip.pth", "bare.pth"):
        with pytest.raises(ValueError, match=f'"{name}" was not opened: it is damaged, or holds more than numbers'):
            L2SClassifierLoss.execute(captured("SD20"), name)
    assert not evil.path.exists()


def test_damaged_and_foreign_files_are_named(folder):
    whole = full_size("sd2_config")
    torch.save(whole, folder / "whole.pth")
    data = (folder / "whole.pth").read_bytes()
    (folder / "cut.pth").write_bytes(data[: len(data) // 2])
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("<html>Quota exceeded</html>")
    torch.save(torch.zeros(3), folder / "tensor.pth")
    torch.save({"weight": torch.zeros(3), "bias": torch.zeros(3)}, folder / "network.pth")
    lacking = {key: value for key, value in whole["model_state_dict"].items() if "fc.8" not in key}
    torch.save(whole | {"model_state_dict": lacking}, folder / "lacking.pth")
    huge = whole["config"] | {"d_model": 4096, "extractor": whole["config"]["extractor"] | {"num_layers": 64}}
    torch.save(whole | {"config": huge}, folder / "huge.pth")
    torch.save(whole | {"config": whole["config"] | {"architecture": "cnn"}}, folder / "other.pth")
    torch.save(whole | {"rel_name_to_idx": {"above": 0, "below": 2}}, folder / "labels.pth")
    torch.save(whole | {"training_config": {"timesteps": [60]}}, folder / "steps.pth")
    torch.save(whole | {"config": []}, folder / "list.pth")
    torch.save(whole | {"config": {"extractor": {}}}, folder / "half.pth")
    for name, sentence in {
        "cut.pth": "was not opened",
        "empty.pth": "was not opened",
        "text.pth": "was not opened",
        "tensor.pth": "is no relation classifier of the authors|was not opened",
        "network.pth": "is no relation classifier of the authors",
        "lacking.pth": "is damaged, or of another version .* its weights do not fit its configuration, first .*fc.8",
        "huge.pth": "is damaged, or of another version .* its weights do not fit its configuration, first .*query",
        "half.pth": "is damaged, or of another version .* it lacks 'classifier'",
        "other.pth": "its architecture is 'cnn', and only 'attention' is known",
        "labels.pth": "its labels are not numbered from 0 on",
        "steps.pth": "61 is no number from 1 to 50",
        "list.pth": "is damaged, or of another version",
    }.items():
        with pytest.raises(ValueError, match=f'"{name}" .*({sentence})'):
            L2SClassifierLoss.execute(captured("SD20"), name)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("above", "above"),
        ("to the left of", "left of"),
        ("Left of", "left of"),
        ("above and to the right of", "upper right of"),
        ("diagonally lower-left of", "lower left of"),
        ("near", "near"),
        ("is", None),
        ("between", None),
        ("left and right of", None),
        ("left behind", None),
    ],
)
def test_labels_of_the_authors_are_read_as_our_relations(label, name):
    assert relation_of(label) == name
