"""What is shown of a steered run: live, and afterwards as pictures."""

import base64
import io
import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
import server
import torch
from comfy_execution import progress
from comfy_execution.graph import DynamicPrompt
from learn_to_steer.nodes.attention_capture import AttentionCapture
from learn_to_steer.nodes.classifier_loss import L2SClassifierLoss, register_folders
from learn_to_steer.nodes.host import screen
from learn_to_steer.nodes.relation_parse import RelationParse
from learn_to_steer.nodes.steered_ksampler import SteeredKSampler, SteeringReport, SteerModel
from learn_to_steer.steering import pictures
from learn_to_steer.steering.losses import Score
from learn_to_steer.steering.report import Report, SteeredStep
from PIL import Image
from tiny import FAMILIES, latent, tiny

SETTINGS = dict(strength=1.0, start=0.0, end=0.6, refinements=1, target=0.9, sharing="together")


@pytest.fixture
def sent(monkeypatch):
    """What a browser is sent, as JSON would carry it."""
    messages = []

    def send_sync(event, data, sid):
        messages.append((event, json.loads(json.dumps(data)), sid))

    browser = SimpleNamespace(client_id="me", sockets={"me": None}, send_sync=send_sync)
    monkeypatch.setattr(server.PromptServer, "instance", browser, raising=False)
    return messages


@pytest.fixture(scope="module")
def scene():
    from learn_to_steer.nodes import demo_model

    register_folders()
    with torch.inference_mode():
        model, clip, vae = demo_model.load()
        positive, words, _ = RelationParse.execute(clip, "a giraffe above an airplane").result
        negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
        (capture,) = AttentionCapture.execute(model, words).result
        aim, _ = L2SClassifierLoss.execute(capture, "emoji_world.safetensors").result
        return model, aim, positive, negative


def sample(scene, batch=1, steps=25, node_id="7", **settings):
    model, aim, positive, negative = scene
    latent = {"samples": torch.zeros(batch, 8, 16, 16)}
    node = type("Node", (SteeredKSampler,), {"hidden": SimpleNamespace(unique_id=node_id)})
    return node.execute.__func__(
        node, model, aim, 2, steps, 5.0, "euler", "normal", positive, negative, latent, 1.0, **SETTINGS | settings
    )  # fmt: skip


def test_a_run_is_shown_step_by_step_to_the_browser_that_queued_it(scene, sent):
    run = sample(scene).result[3]
    assert {(event, data["node"], sid) for event, data, sid in sent} == {(screen.STEERING, "7", "me")}
    states = [data for _, data, _ in sent]
    assert states[0]["seen"] == [] and states[0]["picture"] is None
    counts = [len(state["seen"]) for state in states]
    assert counts == sorted(counts) and set(counts) == set(range(len(run.seen) + 1))
    last = states[-1]
    assert last["relations"] == ["giraffe | above | airplane"]
    assert last["words"] == ["giraffe", "airplane"]
    assert last["steps"] == 25 and last["steered"] == [0, 15] and last["target"] == 0.9
    for (step, before, after, spent), seen in zip(last["seen"], run.seen, strict=True):
        assert step == seen.step and spent == int(seen.spent[0])
        assert before == seen.before.satisfaction[0].tolist() and after == seen.after.satisfaction[0].tolist()
    kind, data = last["picture"].split(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == "data:image/jpeg;base64" and picture.size == (screen.SIDE, screen.SIDE)


def test_the_last_state_stays_with_the_node(scene, sent):
    output = sample(scene)
    (kept,) = output.ui["l2s_steering"]
    assert json.loads(kept) | {"node": "7", "display_node": "7"} == sent[-1][1]


@pytest.mark.parametrize("gone", ["no node", "no browser"])
def test_nothing_is_drawn_where_nobody_watches(scene, sent, monkeypatch, gone):
    if gone == "no browser":
        server.PromptServer.instance.sockets = {}
    monkeypatch.setattr(screen, "overlay", lambda *_: pytest.fail("drawn"))
    output = sample(scene, node_id=None if gone == "no node" else "7")
    assert not sent and json.loads(output.ui["l2s_steering"][0])["picture"] is None
    assert output.result[3].seen


def test_what_a_loop_runs_is_shown_on_the_node_that_it_copied(scene, sent):
    prompt = DynamicPrompt({"7": {}, "9": {}})
    prompt.add_ephemeral_node("9.0.0.7", {}, parent_id="9", display_id="7")
    prompt.add_ephemeral_node("9.0.0.9", {}, parent_id="9", display_id="9")
    prompt.add_ephemeral_node("9.0.0.9.0.0.7", {}, parent_id="9.0.0.9", display_id="9.0.0.7")
    progress.reset_progress_state("loop", prompt)
    try:
        sample(scene, steps=2, node_id="9.0.0.9.0.0.7")
        node = type("Node", (RelationParse,), {"hidden": SimpleNamespace(unique_id="9.0.0.7")})
        screen.show(node, "why")
    finally:
        progress.reset_progress_state("", DynamicPrompt({}))
    *run, (event, said, sid) = sent
    assert run and {(data["node"], data["display_node"]) for _, data, _ in run} == {("9.0.0.9.0.0.7", "7")}
    assert (event, sid) == (screen.SAID, "me")
    assert said == {"node": "9.0.0.7", "display_node": "7", "text": "why"}


def test_being_watched_changes_nothing_in_the_picture(scene, sent):
    watched = sample(scene).result[0]["samples"]
    assert sent
    assert torch.equal(watched, sample(scene, node_id=None).result[0]["samples"])


def test_steer_model_shows_its_runs_on_itself(scene, sent):
    model, aim, positive, negative = scene
    node = type("Node", (SteerModel,), {"hidden": SimpleNamespace(unique_id="3:9")})
    patched, run = node.execute.__func__(node, model, aim, **SETTINGS).result
    import comfy.sample

    for _ in range(2):
        sent.clear()
        comfy.sample.sample(
            patched, torch.randn(1, 8, 16, 16), 6, 5.0, "euler", "normal", positive, negative,
            torch.zeros(1, 8, 16, 16), seed=0,
        )  # fmt: skip
        assert sent[0][1]["seen"] == [] and sent[0][1]["picture"] is None  # a new run begins
        assert len(sent[-1][1]["seen"]) == len(run.seen) and sent[-1][1]["picture"]
        assert {data["node"] for _, data, _ in sent} == {"3:9"}


def test_showing_a_run_costs_less_than_two_percent(scene, sent, monkeypatch):
    """Time spent in what is called to show it, of the whole run's."""
    spent = 0.0

    def timed(function):
        def call(*values):
            nonlocal spent
            began = time.perf_counter()
            try:
                return function(*values)
            finally:
                spent += time.perf_counter() - began

        return call

    monkeypatch.setattr(screen.Live, "_draw", timed(screen.Live._draw))
    monkeypatch.setattr(server.PromptServer.instance, "send_sync", timed(lambda *_: None))
    sample(scene)
    shares = []
    for _ in range(3):
        spent, began = 0.0, time.perf_counter()
        sample(scene)
        shares.append(spent / (time.perf_counter() - began))
    print("shares of the run's time:", shares)
    assert min(shares) < 0.02


# --- Pictures ---------------------------------------------------------------------------------------------------


def spot(row: int, column: int) -> torch.Tensor:
    maps = torch.full((16, 16), 0.01)
    maps[row - 2 : row + 3, column - 2 : column + 3] = 1.0
    return maps


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])


def hue(image: Image.Image, at: tuple[int, int]) -> np.ndarray:
    colour = np.asarray(image, float)[at[1], at[0]]
    return colour / colour.max()


def test_words_have_their_own_colours_where_the_model_looks():
    grey = Image.new("RGB", (256, 256), "#808080")
    maps = torch.stack([spot(3, 3), spot(12, 12)])
    seen = pictures.overlay(grey, maps, ["giraffe", "airplane"])
    assert seen.size == grey.size
    for word, above_its_name in ((0, (56, 32)), (1, (200, 176))):
        wanted = rgb(pictures.WORDS[word])
        assert np.abs(hue(seen, above_its_name) - wanted / wanted.max()).max() < 0.3
    far = np.asarray(seen, float)[200, 40]
    assert far.max() - far.min() < 6  # where nothing is attended to, no colour
    only = pictures.overlay(grey, maps[1:], ["airplane"], first=1)
    assert np.array_equal(np.asarray(only)[180:], np.asarray(seen)[180:])


def test_names_stay_inside_the_picture_and_apart():
    grey = Image.new("RGB", (128, 128), "#808080")
    corner = torch.zeros(2, 16, 16)
    corner[:, 0, 0] = 1.0
    seen = np.asarray(pictures.overlay(grey, corner, ["a very long name", "another"]), int)
    boxes = [np.argwhere(np.abs(seen - rgb(colour)).max(-1) < 3) for colour in pictures.WORDS[:2]]
    assert all(len(box) > 100 for box in boxes)
    (top, bottom), (after, _) = ((box[:, 0].min(), box[:, 0].max()) for box in boxes)
    assert bottom < after


def test_words_that_the_font_lacks_are_numbered():
    assert pictures._drawable("chat gris", 0) == "chat gris"
    assert pictures._drawable("長頸鹿", 1) == "2"


def test_words_without_a_name_are_left_out():
    grey = Image.new("RGB", (64, 64), "#808080")
    maps = torch.stack([spot(3, 3), spot(12, 12)])
    alone = pictures.overlay(grey, maps, ["", "airplane"])
    assert np.asarray(alone, float)[:24, :24].std(-1).max() < 1


def report(batch=1, wishes=2) -> Report:
    run = Report([f"dog | above | {name}" for name in ("cat", "bus")[:wishes]])
    run.names, run.steps, run.steered, run.target = ["dog", "cat", "bus"], 20, range(0, 10), 0.9
    for step in range(5):
        before = torch.tensor([[0.15 * step, 0.05 * step]])[:, :wishes].repeat(batch, 1)
        maps = torch.stack([torch.stack([spot(3, 3), spot(8, 8), spot(12, 12)])] * batch)
        scores = (Score(-satisfaction.log(), satisfaction) for satisfaction in (before, before + 0.1))
        run.seen.append(SteeredStep(step, 0.5, *scores, torch.ones(batch).long(), maps))
    return run


def test_chart_has_a_line_for_each_wish():
    seen = np.asarray(pictures.chart(report()), int)
    assert seen.shape == (480, 640, 3)

    def has(colour):
        return (np.abs(seen - rgb(colour)).max(-1) < 12).sum()

    assert has(pictures.WISHES[0]) > 100 and has(pictures.WISHES[1]) > 100
    assert has(pictures.WISHES[2]) == 0 and has(pictures.STEERED) > 1000


def test_steering_report_gives_pictures_and_text(tmp_path):
    run = report(batch=2)
    node = SteeringReport
    overlays, charts, text = node.execute(run, torch.rand(2, 96, 64, 3)).result
    assert overlays.shape == (2, 96, 64, 3) and charts.shape == (2, 480, 640, 3)
    assert text == run.text()
    with pytest.raises(ValueError, match="The run made 2 pictures and 1 are given"):
        node.execute(run, torch.rand(1, 96, 64, 3))


def test_steering_report_of_a_run_that_was_not_steered_gives_the_picture_back():
    images = torch.rand(1, 96, 64, 3)
    output = SteeringReport.execute(Report(), images)
    overlays, charts, text = output.result
    assert (overlays - images).abs().max() < 1 / 255 and text == "Not steered."
    assert charts.shape == (1, 480, 640, 3) and len(output.ui["images"]) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_latent_of_every_family_is_drawn(family):
    run, live = report(wishes=1), screen.Live("7")
    live._draw(run, latent(family), tiny(family).model.latent_format)
    assert live.picture.startswith("data:image/jpeg;base64,")
