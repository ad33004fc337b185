import json

import pytest
import torch
from learn_to_steer.steering.losses import Moment, not_served
from learn_to_steer.steering.losses.classifier import ClassifierConfig, ClassifierLoss, RelationClassifier, load, save
from learn_to_steer.steering.maps import MapLayout
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.relations import RELATIONS
from learn_to_steer.steering.train import Seen, mirrored
from learn_to_steer.steering.words import Words
from safetensors import safe_open
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


def recorded(n: int, seed: int) -> Seen:
    generator = torch.Generator().manual_seed(seed)
    ax, ay, bx, by = torch.rand(4, n, generator=generator) * 12 + 2
    across, down = ax - bx, ay - by
    sideways = across.abs() > down.abs()
    label = torch.where(sideways, (across > 0).long(), 2 + (down > 0).long())
    return Seen(blob(ax, ay), blob(bx, by), torch.rand(n, generator=generator), label)


def test_swapping_the_words_mirrors_the_reading(classifier):
    data = recorded(8, 1)
    forwards = classifier(data.subject, data.object, data.level)
    backwards = classifier(data.object, data.subject, data.level)
    torch.testing.assert_close(forwards, backwards[:, [1, 0, 3, 2]])


def test_mirrored_maps_have_the_label_that_is_then_right():
    cells = torch.arange(16.0)

    def label_of(data: Seen) -> torch.Tensor:
        """Read off where the maps are bright."""
        a, b = data.subject[:, 0], data.object[:, 0]  # (N, 16, 16), each of mean 1
        across = ((a - b).sum(1) * cells).sum(1)
        down = ((a - b).sum(2) * cells).sum(1)
        sideways = across.abs() > down.abs()
        return torch.where(sideways, (across > 0).long(), 2 + (down > 0).long())

    torch.manual_seed(0)
    data = recorded(300, 6)
    turned = mirrored(data, LABELS)
    assert not torch.equal(turned.label, data.label)
    assert (label_of(data) == data.label).float().mean() > 0.97
    assert (label_of(turned) == turned.label).float().mean() > 0.97


def test_saved_and_loaded_reads_the_same(classifier, tmp_path):
    save(classifier, tmp_path / "c.safetensors")
    loaded = load(tmp_path / "c.safetensors")
    assert loaded.config == classifier.config
    data = recorded(4, 3)
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
    with pytest.raises(ValueError, match="its configuration"):
        load(path)
    save(classifier, path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(ValueError, match="do not fit its configuration"):
        load(path)


def test_loss_is_the_cross_entropy_of_every_wish_and_its_satisfaction_the_probability(classifier):
    wishes = parse("a dog left of a cat and above a bus").wishes
    words = Words("a prompt", wishes, ("dog", "cat", "bus"), ((1,), (2,), (3,)), ((0, 1), (0, 2)))
    data, other = recorded(5, 4), recorded(5, 5)
    maps = torch.stack([data.subject, data.object, other.object], 1)
    score = ClassifierLoss(classifier).score(3 * maps, words, Moment(0.4))  # how strong maps are says nothing
    level = torch.full((5,), 0.4)
    for column, second, label in ((0, data.object, "left of"), (1, other.object, "above")):
        expected = -classifier(data.subject, second, level).log_softmax(-1)[:, LABELS.index(label)]
        torch.testing.assert_close(score.loss[:, column], expected)
        torch.testing.assert_close(score.satisfaction[:, column], (-expected).exp())


def test_a_wish_that_the_classifier_does_not_know_is_named_and_left_out(classifier):
    prompt = "a dog near a cat, a bus above a dog"
    wishes = parse(prompt).wishes
    assert [wish.relation for wish in wishes] == ["near", "above"]
    words = Words(prompt, wishes, ("dog", "cat", "bus"), ((1,), (2,), (3,)), ((0, 1), (2, 0)))
    loss = ClassifierLoss(classifier)
    assert not_served(loss, wishes) == (
        '"dog | near | cat" is not steered: this loss knows only left of, right of, above, below.',
    )
    left = words.only(lambda wish: wish.relation in loss.relations)
    assert left == Words(prompt, wishes[1:], ("dog", "bus"), ((1,), (3,)), ((1, 0),))


WIDER = ("left of", "right of", "upper left of", "lower right of", "near", "inside", "behind")


def test_labels_without_an_opposite_are_read_one_way():
    torch.manual_seed(0)
    classifier = RelationClassifier(ClassifierConfig(LAYOUT, WIDER)).requires_grad_(False).train(False)
    data = recorded(8, 1)
    forwards = classifier(data.subject, data.object, data.level)
    backwards = classifier(data.object, data.subject, data.level)
    opposite = [1, 0, 3, 2, 4]  # near is its own
    torch.testing.assert_close(forwards[:, :5], backwards[:, opposite])
    assert not torch.allclose(forwards[:, 5:], backwards[:, 5:])


def test_a_classifier_of_any_two_things_is_saved_and_read_again(tmp_path):
    save(RelationClassifier(ClassifierConfig(LAYOUT, WIDER)), tmp_path / "c.safetensors")
    assert load(tmp_path / "c.safetensors").config.labels == WIDER


@pytest.mark.parametrize(
    ("label", "sentence"), [("between", '"between" is about 3 things'), ("beyond", '"beyond" is none of the relations')]
)
def test_labels_that_no_pair_can_have_are_named_and_not_called_damage(classifier, tmp_path, label, sentence):
    with pytest.raises(ValueError, match=sentence):
        ClassifierConfig(LAYOUT, ("left of", label))
    path = tmp_path / "c.safetensors"
    save(classifier, path)
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"]) | {"labels": ["left of", label]}
    metadata = {"format": "learn-to-steer relation classifier 1", "config": json.dumps(config)}
    save_file(classifier.state_dict(), path, metadata)
    with pytest.raises(ValueError, match=sentence) as error:
        load(path)
    assert "c.safetensors" in str(error.value) and "damaged" not in str(error.value)


def test_mirroring_leaves_no_false_label():
    """Of all relations of two things: what the mirrored maps show is what they are labelled with."""
    labels = tuple(name for name, relation in RELATIONS.items() if relation.things == 2)
    diagonal = labels.index("upper left of")
    near, far = torch.full((2, 200), 3.0), torch.full((2, 200), 12.0)
    data = Seen(blob(*near), blob(*far), torch.rand(200), torch.full((200,), diagonal))
    torch.manual_seed(0)
    turned = mirrored(data, labels)
    for name, x, y in (("upper left of", 3, 3), ("upper right of", 12, 3), ("lower left of", 3, 12)):
        chosen = turned.label == labels.index(name)
        assert chosen.any()
        peaks = turned.subject[chosen, 0].flatten(1).argmax(1)
        assert set(zip((peaks % 16).tolist(), (peaks // 16).tolist(), strict=True)) == {(x, y)}
    # Labels whose mirror image the classifier does not know stay as they are, picture and label.
    alone = mirrored(Seen(data.subject, data.object, data.level, torch.zeros(200).long()), ("upper left of",))
    flipped = (alone.subject != data.subject).flatten(1).any(1)
    assert (alone.label == 0).all() and not flipped.any()  # its mirror image about the diagonal is itself
