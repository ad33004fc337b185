import json

import pytest
import torch
from learn_to_steer.steering.loss import ClassifierLoss, steerable
from learn_to_steer.steering.losses.classifier import ClassifierConfig, RelationClassifier, load, save
from learn_to_steer.steering.maps import MapLayout
from learn_to_steer.steering.prompts import Phrase, Relation, parse
from learn_to_steer.steering.train import Recorded, correct, mirrored, train
from safetensors.torch import save_file

LAYOUT = MapLayout("Toy", 1, 3, "averaged", 3, 16)
LABELS = ClassifierConfig(LAYOUT).labels


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return RelationClassifier(ClassifierConfig(LAYOUT)).requires_grad_(False).train(False)


def blob(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Maps (N, 3, 16, 16) of mean 1, bright at (x, y) in cells."""
    cells = torch.arange(16.0)
    distance = (cells - x[:, None, None]) ** 2 + (cells[:, None] - y[:, None, None]) ** 2
    maps = torch.exp(-distance / 8)[:, None].expand(-1, 3, -1, -1)
    return maps / maps.mean((-1, -2), keepdim=True)


def looks(n: int, seed: int) -> Recorded:
    generator = torch.Generator().manual_seed(seed)
    ax, ay, bx, by = torch.rand(4, n, generator=generator) * 12 + 2
    across, down = ax - bx, ay - by
    sideways = across.abs() > down.abs()
    label = torch.where(sideways, (across > 0).long(), 2 + (down > 0).long())
    return Recorded(blob(ax, ay), blob(bx, by), torch.rand(n, generator=generator), label)


def test_swapping_the_words_mirrors_the_reading(classifier):
    data = looks(8, 1)
    forwards = classifier(data.subject, data.object, data.level)
    backwards = classifier(data.object, data.subject, data.level)
    torch.testing.assert_close(forwards, backwards[:, [1, 0, 3, 2]])


def test_mirrored_looks_have_the_label_that_is_then_right():
    cells = torch.arange(16.0)

    def label_of(looks: Recorded) -> torch.Tensor:
        """Read off where the maps are bright."""
        a, b = looks.subject[:, 0], looks.object[:, 0]  # (N, 16, 16), each of mean 1
        across = ((a - b).sum(1) * cells).sum(1)
        down = ((a - b).sum(2) * cells).sum(1)
        sideways = across.abs() > down.abs()
        return torch.where(sideways, (across > 0).long(), 2 + (down > 0).long())

    torch.manual_seed(0)
    data = looks(300, 6)
    turned = mirrored(data, LABELS)
    assert not torch.equal(turned.label, data.label)
    assert (label_of(data) == data.label).float().mean() > 0.97
    assert (label_of(turned) == turned.label).float().mean() > 0.97


def test_training_learns_where_things_are():
    trained = train(looks(2000, 1), ClassifierConfig(LAYOUT, width=16), steps=120, batch=64, seed=1)
    assert correct(trained, looks(400, 2)).float().mean() > 0.85  # chance is 0.25


def test_saved_and_loaded_reads_the_same(classifier, tmp_path):
    save(classifier, tmp_path / "c.safetensors")
    loaded = load(tmp_path / "c.safetensors")
    assert loaded.config == classifier.config
    data = looks(4, 3)
    half = classifier.half().float()
    torch.testing.assert_close(
        loaded(data.subject, data.object, data.level), half(data.subject, data.object, data.level)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match='"none.safetensors" is not there'):
        load(tmp_path / "none.safetensors")


def test_damaged_and_foreign_files_are_named(classifier, tmp_path):
    path = tmp_path / "c.safetensors"
    save(classifier, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match='"c.safetensors" is damaged'):
        load(path)
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(ValueError, match='"c.safetensors" is damaged'):
        load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no relation classifier of this pack"):
        load(path)
    metadata = {
        "format": "learn-to-steer relation classifier 1",
        "config": json.dumps({"layout": {}}),
    }
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(ValueError, match="do not fit its configuration"):
        load(path)


def test_loss_is_the_cross_entropy_of_every_relation(classifier):
    relations = parse("a dog left of a cat and above a bus").wishes
    loss = ClassifierLoss(classifier, "a prompt", relations, ((1,), (2,), (3,)), ((0, 1), (0, 2)))
    data, other = looks(5, 4), looks(5, 5)
    maps = torch.stack([data.subject, data.object, other.object], 1)
    losses = loss(maps, 0.4)
    level = torch.full((5,), 0.4)
    for column, second, label in ((0, data.object, "left of"), (1, other.object, "above")):
        expected = -classifier(data.subject, second, level).log_softmax(-1)[:, LABELS.index(label)]
        torch.testing.assert_close(losses[:, column], expected)


def test_a_relation_that_the_classifier_does_not_know_is_named_and_left_out(classifier):
    dog, cat = Phrase("dog", (0, 3)), Phrase("cat", (4, 7))
    known, unknown = steerable(classifier, (Relation(dog, "near", cat), Relation(dog, "above", cat)))
    assert [relation.label for relation in known] == ["above"]
    assert unknown == (
        '"dog | near | cat" is not steered: this classifier knows only left of, right of, above, below.',
    )
