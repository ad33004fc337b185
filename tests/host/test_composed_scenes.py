"""The node Composed Scenes: what its inputs ask for, what it says, and when it runs again."""

import folder_paths
import pytest
from learn_to_steer.nodes import composed_scenes
from learn_to_steer.nodes.composed_scenes import ComposedScenes
from learn_to_steer.steering import compose
from learn_to_steer.steering.dataset import looks
from PIL import Image


def run(**changed):
    given = {"count": 40, "width": 128, "height": 96, "seed": 1, "most": 4, "bundled": True, "looks": "all"}
    return ComposedScenes.execute(**{**given, "folder": "", "kinds": "", **changed}).result


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of the user's in the input folder: two kinds, and one file that is none."""
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, colour in (("red car.png", "red"), ("blue cup 2.webp", "blue")):
        picture = Image.new("RGBA", (300, 200))
        picture.paste(colour, (50, 50, 250, 150))
        picture.save(folder / name)
    (folder / "broken.png").write_text("no picture")
    return folder


def test_scenes_can_be_learnt_from():
    scenes, preview, notes = run()
    assert scenes.count == 40 and preview.shape == (6, 384, 512, 3)
    assert notes == scenes.made and "40 of 128 x 96 px, seed 1, 2 to 4 things each" in notes
    assert scenes.at(3).picture.size == (128, 96)
    seen = [look for number in range(40) for look in looks(scenes.at(number), number, 2, 0.5, (0, 1), 0)]
    assert len(seen) > 40 and {look.true for look in seen} == {True, False}
    large = run(width=2048, height=1024, count=2, kinds="dog, cat")
    assert large[1].shape == (2, 384, 768, 3)


@pytest.mark.parametrize(
    ("looks", "there"),
    [
        ("photographed", "(photographed)"),
        ("all but drawn", "(rendered, clipart, photographed)"),
        ("all", "(drawn, rendered, clipart, photographed)"),
    ],
)
def test_looks_can_be_left_out(looks, there):
    assert there in run(looks=looks)[2]


def test_a_kind_can_be_without_one_look():
    scenes, _, notes = run(kinds="dog: drawn, cat: rendered clipart, car: photographed")
    assert "3 kinds (drawn, rendered, clipart, photographed)" in notes
    assert {thing.name for number in range(20) for thing in scenes.at(number).found} == {"dog", "cat", "car"}


@pytest.mark.parametrize("by_path", [False, True])
def test_the_users_pictures_are_used(pictures, by_path):
    folder = f' "{pictures}" ' if by_path else "mine"
    scenes, _, notes = run(bundled=False, folder=folder)
    assert {thing.name for number in range(9) for thing in scenes.at(number).found} == {"red car", "blue cup"}
    assert "of 2 kinds (own)" in notes and "1 left out that could not be read: broken.png." in notes
    mixed, _, notes = run(folder=folder, kinds="red car\ndog")
    assert {thing.name for number in range(9) for thing in mixed.at(number).found} == {"red car", "dog"}
    assert mixed.key != scenes.key


def test_it_runs_again_when_the_pictures_are_others(pictures):
    before = ComposedScenes.fingerprint_inputs(folder="mine", count=1)
    assert before == ComposedScenes.fingerprint_inputs(folder="mine", count=1)
    (pictures / "red car.png").unlink()
    assert ComposedScenes.fingerprint_inputs(folder="mine", count=1) != before
    assert ComposedScenes.fingerprint_inputs(folder="", count=1) == ComposedScenes.fingerprint_inputs(folder="gone")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bundled": False}, "nothing to compose: switch bundled on"),
        ({"folder": "gone"}, 'no folder ".*gone"'),
        ({"kinds": "dog, elefant"}, 'no cut-out of "elefant". Near it: "elephant"'),
        ({"kinds": "dog"}, "two kinds or more"),
        ({"kinds": "dog: photographed, cat", "looks": "drawn"}, 'no "dog" that is photographed, only: drawn'),
    ],
)
def test_mistakes_are_said(wrong, said):
    with pytest.raises(ValueError, match=said):
        run(**wrong)


def test_the_node_offers_what_there_is():
    assert (composed_scenes.LOOKS, composed_scenes.MOST, composed_scenes.SIZES) == (
        compose.LOOKS,
        compose.MOST,
        compose.SIZES,
    )
