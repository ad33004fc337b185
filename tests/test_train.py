"""Training on recordings: what each network learns, what the measurement tells, and what cannot be learnt from."""

import json
from dataclasses import replace

import pytest
import torch
from learn_to_steer.steering.losses import Moment
from learn_to_steer.steering.losses.trained import load
from learn_to_steer.steering.maps import MapLayout, ModelLayers
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.recordings import Recording
from learn_to_steer.steering.train import (
    CLASSIFIER,
    NETWORKS,
    PUBLISHED,
    READER,
    Training,
    card,
    leak,
    learner,
    measured,
    mirrored_words,
    pairs_of,
    save,
    split,
    train,
)
from learn_to_steer.steering.words import Words

LAYOUT = MapLayout("Toy", 1, 2, "kept", 4, 16)
NAMES = tuple(["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"])


def kept(a: str, b: str) -> bool:
    return "hen" in (a, b)


def spots(middles: torch.Tensor) -> torch.Tensor:
    """Maps (N, 4, 16, 16) of mean 1, bright at (x, y) in shares of the side."""
    cells = (torch.arange(16) + 0.5) / 16
    x, y = middles[:, 0, None, None], middles[:, 1, None, None]
    maps = torch.exp(-((cells - x) ** 2 + (cells[:, None] - y) ** 2) / 0.02)[:, None].expand(-1, 4, -1, -1)
    return maps / maps.mean((-1, -2), keepdim=True)


def recording(looks: int, seed: int = 0, told: bool = False) -> Recording:
    """Looks at two things each. told: half of the prompts are wrong, and then the maps show where the prompt says."""
    generator = torch.Generator().manual_seed(seed)
    middles = torch.rand(looks, 2, 2, generator=generator) * 0.8 + 0.1
    names = torch.randint(8, (looks,), generator=generator)
    true = torch.arange(looks) % 2 == 0
    shown = middles.clone()
    if told:
        shown[~true] = middles[~true].flip(1)  # the relation turned round
    flat = middles.flatten(0, 1)
    return Recording(
        LAYOUT,
        spots(shown.flatten(0, 1)).half(),
        torch.ones(2 * looks, 4),
        torch.cat([flat - 0.1, flat + 0.1], 1),
        tuple(NAMES[(int(one) + other) % 8] for one in names for other in (0, 1)),
        torch.arange(looks).repeat_interleave(2),
        torch.rand(looks, generator=generator),
        true,
        torch.arange(looks) // 2,
        ("made up",),
    )


@pytest.fixture(scope="module")
def looks() -> Recording:
    return recording(1200)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_learns_where_things_are_and_is_used_from_its_file(looks, network, tmp_path):
    steps = {READER: 100, CLASSIFIER: 100, PUBLISHED: 150}[network]
    heard = []
    trained = train(network, looks, Training(steps, 64, seed=1), tell=lambda step, curve: heard.append(step), kept=kept)
    assert heard == list(range(1, steps + 1)) and trained.curve.steps[-1] == steps
    rows = trained.table["relations"]
    assert min(rows["true"]["all"], rows["wrong"]["all"]) > 0.8  # chance is 0.25
    assert ("places" in trained.table) == (network == READER)
    notes = {
        "network": network, "model": "Toy", "accuracy": trained.table, "leak": leak(trained.table), "made": ["made up"],
    }  # fmt: skip
    save(trained, notes, tmp_path / "c.safetensors")
    loss, told = load(tmp_path / "c.safetensors", ModelLayers("Toy", (2, 2), (1, 2)))
    assert told == json.loads(json.dumps(notes)) and "made up" in card(told) and "true prompts" in card(told)
    assert loss.layout == LAYOUT
    text = "a dog left of a cat"
    words = Words(text, parse(text).wishes, ("dog", "cat"), ((1,), (2,)), ((0, 1),))
    maps = spots(torch.tensor([[0.2, 0.5], [0.8, 0.5], [0.8, 0.5], [0.2, 0.5]])).unflatten(0, (2, 2))
    satisfaction = loss.score(3 * maps, words, Moment(0.4)).satisfaction[:, 0]
    assert satisfaction[0] > 0.6 and satisfaction[1] < 0.2


def test_what_the_maps_take_from_the_prompt_shows_as_a_leak():
    """Half of the prompts are wrong, and the maps show what they say. Learnt under the true ones alone."""
    told, honest = recording(1200, told=True), recording(1200)
    alone = replace(told, true=told.true | True)
    one = learner(CLASSIFIER, honest, "cpu")
    one.network.load_state_dict(train(CLASSIFIER, honest, Training(100, 64), kept=kept).network.state_dict())
    one.network.train(False)
    everything = torch.ones(1200, dtype=torch.bool)
    assert abs(leak(measured(one, honest, everything))) < 0.05
    assert leak(measured(replace(one, pairs=pairs_of(told)), told, everything)) > 0.9
    assert leak(measured(one, alone, everything)) is None


def test_labels_come_from_the_boxes_and_only_neighbours_are_pairs():
    boxes = torch.tensor([[0.1, 0.4, 0.3, 0.6], [0.6, 0.4, 0.8, 0.6], [0.6, 0.0, 0.8, 0.2], [0.1, 0.1, 0.2, 0.2]])
    one = Recording(
        LAYOUT, torch.ones(4, 4, 16, 16), torch.ones(4, 4), boxes, NAMES[:4], torch.tensor([0, 0, 0, 1]),
        torch.rand(2), torch.tensor([True, False]), torch.arange(2), (),
    )  # fmt: skip
    pairs = pairs_of(one)
    assert pairs.subject.tolist() == [0, 1] and pairs.object.tolist() == [1, 2]
    assert pairs.label.tolist() == [0, 3]  # left of, below


def test_pairs_kept_apart_are_never_learnt_from(looks):
    parts = split(looks, kept)
    assert ((parts.learnt.int() + parts.checked.int() + parts.measured.int()) == 1).all()
    for look in range(len(looks.level)):
        names = [name for name, of in zip(looks.names, looks.look.tolist(), strict=True) if of == look]
        assert ("hen" in names) == bool(parts.measured[look])


def test_mirrored_words_stay_where_their_things_are():
    middles = torch.rand(300, 2) * 0.8 + 0.1
    maps, turned = mirrored_words(spots(middles), middles, torch.Generator().manual_seed(0))
    peaks = maps[:, 0].flatten(1).argmax(1)
    seen = (torch.stack([peaks % 16, peaks // 16], 1) + 0.5) / 16
    assert ((seen - turned).abs() <= 0.5 / 16 + 1e-5).all() and not torch.equal(turned, middles)


def test_training_is_seeded_and_leaves_the_global_generator_alone(looks):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train(CLASSIFIER, looks, Training(3, 16, seed=2), kept=kept).network.state_dict()
    assert torch.equal(torch.rand(3), expected)
    second = train(CLASSIFIER, looks, Training(3, 16, seed=2), kept=kept).network.state_dict()
    other = train(CLASSIFIER, looks, Training(3, 16, seed=3), kept=kept).network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_it_stops_when_it_gets_no_better_and_keeps_the_best():
    scrambled = recording(300)
    scrambled = replace(
        scrambled, boxes=scrambled.boxes[torch.randperm(600, generator=torch.Generator().manual_seed(1))]
    )
    trained = train(CLASSIFIER, scrambled, Training(2000, 64, patience=2), kept=kept)
    assert trained.curve.steps[-1] < 2000
    assert trained.step == trained.curve.steps[trained.curve.checked.index(min(trained.curve.checked))]


@pytest.mark.parametrize(
    ("network", "change", "sentence"),
    [
        (READER, {"names": ("ant", "bee") * 1200}, "Record more scenes, of more kinds of things"),
        (PUBLISHED, {"layout": replace(LAYOUT, heads="averaged")}, "Record with heads kept"),
        (CLASSIFIER, {"layout": replace(LAYOUT, resolution=10)}, "needs 4, 8, 12"),
        (CLASSIFIER, {"boxes": torch.tensor([[0.2, 0.2, 0.4, 0.4], [0.4, 0.4, 0.6, 0.6]] * 1200)}, "clear relation"),
    ],
)
def test_what_cannot_be_learnt_from_gets_a_sentence(looks, network, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        train(network, replace(looks, **change), Training(2), kept=kept)
