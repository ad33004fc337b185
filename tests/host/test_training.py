"""From scenes to a classifier that steers: Record Maps and Train L2S Classifier on the demo model, in small."""

from dataclasses import replace

import comfy.model_management
import folder_paths
import numpy as np
import pytest
import torch
from learn_to_steer.nodes.attention_capture import AttentionCapture
from learn_to_steer.nodes.classifier_loss import FOLDER, L2SClassifierLoss, register_folders
from learn_to_steer.nodes.record_maps import RecordMaps
from learn_to_steer.nodes.relation_parse import RelationParse
from learn_to_steer.nodes.train import TrainClassifier
from learn_to_steer.steering.dataset import Scene, Scenes
from learn_to_steer.steering.losses.files import NETWORKS
from PIL import Image
from scenes import KINDS, compose, render

NAMES = [kind for kind in KINDS if " " not in kind]


def scene(number: int) -> Scene:
    """Of two things of the demo's world."""
    rng = np.random.default_rng([9, number])
    things = compose(rng, list(map(str, rng.choice(NAMES, 2, replace=False))))
    return Scene(Image.fromarray(render(rng, things)), tuple(thing.found() for thing in things))


SCENES = Scenes(90, scene, "test", "Emoji, for a test.")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Output and models go elsewhere."""
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, FOLDER, ([], set()))
    register_folders()
    return tmp_path


@pytest.fixture(scope="module")
def recordings(demo, tmp_path_factory):
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        output = tmp_path_factory.mktemp("output")
        patch.setattr(folder_paths, "get_output_directory", lambda: str(output))
        made, notes = RecordMaps.execute(*demo, SCENES, "mine").result
    assert made.folder == output / "learn-to-steer" / "mine"
    assert f"{made.counts['looks']} looks" in notes and "Emoji, for a test." in notes
    return made


@pytest.mark.parametrize("network", NETWORKS[:2])
def test_what_was_trained_is_used_in_the_same_session(demo, folders, recordings, network):
    model, clip, _ = demo
    classifier, card, chart, losses = TrainClassifier.execute(recordings, "mine", network, steps=60, batch=32).result
    assert classifier == "mine.safetensors" and (folders / "models" / FOLDER / classifier).is_file()
    assert "true prompts" in card and "wrong prompts" in card and "leak" in card
    assert chart.shape[0] == 1 and len(losses["loss"]) == 2
    _, words, *_ = RelationParse.execute(clip, "a dog left of a cat").result
    (capture,) = AttentionCapture.execute(model, words).result
    aim, _ = L2SClassifierLoss.execute(capture, classifier).result
    assert aim.layout == recordings.layout and aim.words.wishes == words.wishes
    assert aim.loss.relations[:4] == ("left of", "right of", "above", "below")


def test_names_that_are_paths_are_refused():
    for name in ("", " ", "..", "../mine", "a/b"):
        assert "write a plain name" in RecordMaps.validate_inputs(folder=name)
        assert "write a plain name" in TrainClassifier.validate_inputs(name=name)
    assert "must be lower" in RecordMaps.validate_inputs(folder="a", least_noise=0.5, most_noise=0.5)
    assert RecordMaps.validate_inputs(folder="a", least_noise=0.1, most_noise=0.5) is True


def test_a_training_that_is_cancelled_leaves_no_file(demo, folders, recordings, monkeypatch):
    def cancelled():
        raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", cancelled)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        TrainClassifier.execute(recordings, "mine", NETWORKS[1], steps=60)
    assert not (folders / "models").exists()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        RecordMaps.execute(*demo, replace(SCENES, count=2), "other", looks=1)
    assert torch.is_inference_mode_enabled()
