"""The node Annotated Pictures: what its inputs ask for, what it says, when it runs again and how it is stopped."""

import shutil
from pathlib import Path

import comfy.model_management
import folder_paths
import pytest
from learn_to_steer.nodes import annotated_pictures as node
from learn_to_steer.nodes.annotated_pictures import AnnotatedPictures
from learn_to_steer.steering.annotated import Filters
from learn_to_steer.steering.dataset import looks

SET = Path(__file__).parent.parent / "annotated"


def run(**changed):
    return AnnotatedPictures.execute(
        **{"folder": str(SET), "annotations": "ours.json", "width": 128, "height": 96, **changed}
    ).result


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A copy of the set in the input folder."""
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    return shutil.copytree(SET, tmp_path / "shapes")


@pytest.mark.parametrize("annotations", ["ours.json", "coco.json", "gqa.json", "genome.json"])
def test_scenes_can_be_learnt_from(annotations):
    scenes, preview, notes = run(annotations=annotations)
    assert scenes.count == 10 and preview.shape[0] == 6 and notes == scenes.made
    assert notes.startswith("Annotated pictures: 10 of 128 x 96 px with things of 8 kinds, from " + annotations)
    seen = [look for number in range(10) for look in looks(scenes.at(number), number, 4, 0.5, (0, 1), 0)]
    assert len(seen) == 40 and {look.true for look in seen} == {True, False}


def test_what_was_left_out_is_told():
    scenes, _, notes = run(width=96, count=5)
    assert scenes.count == 5 and f"\n{scenes.notes}" in notes and "thing(s) that are cut off" in scenes.notes
    assert run(salience=0.45)[0].count < 10 > run(sizes=0.99)[0].count
    assert run(distance=0.9)[0].count < 10


@pytest.mark.parametrize("folder", ["shapes", "by path"])
def test_folders_are_paths_or_names_in_the_input_folder(pictures, folder):
    folder = f' "{pictures}" ' if folder == "by path" else folder
    assert run(folder=folder)[0].count == 10
    assert run(folder=folder, annotations=f' "{SET / "gqa.json"}"')[0].count == 10


def test_it_runs_again_when_the_files_are_others(pictures):
    def now():
        return AnnotatedPictures.fingerprint_inputs(folder="shapes", annotations="ours.json", count=3)

    before = now()
    assert before == now()
    (pictures / "3.jpg").unlink()
    after = now()
    assert after != before
    (pictures / "ours.json").write_text("[]")
    assert now() != after
    linked = AnnotatedPictures.fingerprint_inputs(folder=None, annotations="ours.json")
    assert linked != linked  # not a number: always again
    assert AnnotatedPictures.fingerprint_inputs(folder="", annotations="ours.json") == ""


def test_reading_can_be_cancelled(monkeypatch):
    def cancelled():
        raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", cancelled)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"folder": " "}, "folder is empty. Name the folder of your pictures"),
        ({"annotations": ""}, "annotations is empty. Name"),
        ({"folder": "gone"}, 'no folder ".*gone"'),
        ({"annotations": "gone.json"}, 'no file ".*gone.json"'),
        ({"annotations": "1.jpg"}, '1.jpg" is no JSON file'),
        ({"salience": 1.0}, "None of the 10 picture.s. of .* Left out: "),
    ],
)
def test_mistakes_are_said(wrong, said):
    with pytest.raises(ValueError, match=said):
        run(**wrong)


def test_the_node_begins_as_published():
    assert Filters() == Filters(node.SALIENCE, node.DISTANCE, node.OVERLAP, node.SIZES)
