"""InfSplign's loss against its authors' own code, number by number; PUBLISHED_DATA as in test_published_classifiers."""

import json
import os
from pathlib import Path

import folder_paths
import pytest
import torch
from learn_to_steer.nodes.attention_capture import Capture
from learn_to_steer.nodes.classifier_loss import FOLDER, INFSPLIGN, INFSPLIGN_PUBLISHED, L2SClassifierLoss
from learn_to_steer.steering.losses import Moment
from learn_to_steer.steering.losses.infsplign import CLI, JOB, InfSplignLoss
from learn_to_steer.steering.maps import MapSettings, ModelLayers, stack_layers
from learn_to_steer.steering.prompts import override
from learn_to_steer.steering.words import Words
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent.parent / "published"
DATA = Path(os.environ.get("PUBLISHED_DATA", HERE))
SETS = {"cli": CLI, "job": JOB}
RELATIONS = {"left": "left of", "right": "right of", "above": "above", "below": "below", "near": "near"}
CASES = [(s, r, n) for s in SETS for r in RELATIONS for n in (("one", "two") if r in ("left", "near") else ("one",))]
LOSS, GRADIENT = 1e-6, 1e-5  # tolerances
SD = ModelLayers("SD15", (2,) * 16, (1, 16))


def words_of(relation: str) -> Words:
    wishes = override("dog cat", f"dog | {relation} | cat").wishes
    return Words("", wishes, ("dog", "cat"), ((1,), (2,)), ((0, 1),))


def off(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.fixture(scope="module")
def given() -> tuple[dict, dict]:
    path = DATA / "infsplign_loss.safetensors"
    # tests/published holds only the columns that are read, and one case's gradients
    return load_file(path), json.loads(path.with_suffix(".json").read_text())["cases"]


@pytest.mark.parametrize(("weights", "relation", "tokens"), CASES)
@torch.inference_mode(False)
@torch.enable_grad()
def test_infsplign_as_published(given, weights, relation, tokens):
    tensors, cases = given
    case = f"{weights}/{relation}/{tokens}"
    columns = cases[case]["token_positions"]
    heads = [
        tensors[f"heads/{i}"].float()[..., columns].clone().requires_grad_() for i in range(6)
    ]  # (heads, r, r, columns)
    layers = [(h.permute(0, 3, 1, 2).flatten(2)[None], tuple(h.shape[1:3])) for h in heads]
    layout = InfSplignLoss(SD, published=True).layout
    maps = stack_layers(layers, layout.heads, layout.resolution)
    maps.retain_grad()
    pooled = torch.stack([maps[:, 0], maps[:, 1:].mean(1)], 1)
    loss = InfSplignLoss(SD, published=True, weights=SETS[weights])
    by_layer, _ = loss.by_layer(pooled[:, 0], pooled[:, 1], RELATIONS[relation])
    value = loss.score(pooled, words_of(RELATIONS[relation]), Moment(0.5)).loss
    value.sum().backward()
    errors = {
        "loss": (value[:, 0] - tensors[f"{case}/loss"]).abs().max().item(),
        "per_layer": (by_layer[0] - tensors[f"{case}/per_layer"]).abs().max().item(),
    }
    for i, head in enumerate(heads):
        if f"{case}/grad_heads/{i}" in tensors:
            errors[f"grad_heads/{i}"] = off(head.grad, tensors[f"{case}/grad_heads/{i}"].expand_as(head))
        if f"{case}/grad_maps/{i}" in tensors:
            theirs = tensors[f"{case}/grad_maps/{i}"]
            errors[f"grad_maps/{i}"] = off(maps.grad[0, :, i].permute(1, 2, 0), theirs)
    print(case, {kind: f"{error:.1e}" for kind, error in errors.items()})
    assert all(error <= (GRADIENT if "grad" in kind else LOSS) for kind, error in errors.items()), errors


def test_as_published_it_reads_the_decoder_at_their_size():
    layout = MapSettings().layout(SD, InfSplignLoss(SD, published=True).layout)
    assert (layout.first, layout.last, layout.heads, layout.resolution) == (8, 13, "averaged", 64)
    assert InfSplignLoss(SD).layout is None


def blobs(*middles: tuple[float, float]) -> torch.Tensor:
    """Maps (1, words, 2, 16, 16), bright at the middles, x and y."""
    cells = torch.linspace(0, 1, 16)
    maps = [torch.exp(-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / 0.006) for x, y in middles]
    return torch.stack(maps)[None, :, None].repeat(1, 1, 2, 1, 1)


def loss_at(relation: str, x: float, published: bool) -> float:
    """Of a subject at x and an object at 0.1."""
    loss = InfSplignLoss(SD, published)
    return loss.score(blobs((x, 0.5), (0.1, 0.5)), words_of(relation), Moment(0.5)).loss.item()


def test_near_pulls_together_where_theirs_drives_apart():
    assert loss_at("near", 0.5, False) < loss_at("near", 0.8, False)
    assert loss_at("near", 0.5, True) > loss_at("near", 0.7, True)


def test_far_enough_is_left_alone_where_theirs_pulls_back():
    assert loss_at("right of", 0.85, False) == pytest.approx(loss_at("right of", 0.6, False), abs=1e-3)
    # GELU's lowest point is 0.75 / slope beyond the margin: with their slope of 3, inside the picture
    steep = InfSplignLoss(SD, True, JOB._replace(slope=3.0))
    near, far = (
        steep.score(blobs((x, 0.5), (0.1, 0.5)), words_of("right of"), Moment(0.5)).loss.item() for x in (0.6, 0.9)
    )
    assert far > near


@pytest.mark.parametrize("relation", RELATIONS.values())
def test_satisfaction_is_the_share_of_the_way(relation):
    ends = {"left of": ((0.2, 0.5), (0.8, 0.5)), "above": ((0.5, 0.2), (0.5, 0.8)), "near": ((0.3, 0.5), (0.6, 0.5))}
    ends |= {"right of": ends["left of"][::-1], "below": ends["above"][::-1]}
    loss = InfSplignLoss(SD)
    assert loss.score(blobs(*ends[relation]), words_of(relation), Moment(0.5)).satisfaction.item() == 1
    if relation != "near":
        assert loss.score(blobs(*ends[relation][::-1]), words_of(relation), Moment(0.5)).satisfaction.item() == 0


@pytest.mark.parametrize("choice", [INFSPLIGN, INFSPLIGN_PUBLISHED])
def test_it_is_offered_and_says_what_it_does_not_serve(choice, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, FOLDER, ([], set()))
    assert L2SClassifierLoss.validate_inputs(choice) is True
    aim, notes = L2SClassifierLoss.execute(Capture(words_of("inside"), SD, MapSettings()), choice).result
    assert aim.words.wishes == () and '"dog | inside | cat" is not steered' in notes
    aim, notes = L2SClassifierLoss.execute(Capture(words_of("near"), SD, MapSettings()), choice).result
    assert (aim.loss.published, len(aim.words.wishes)) == (choice == INFSPLIGN_PUBLISHED, 1)
    assert "not steered" not in notes
