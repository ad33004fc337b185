"""Annotated pictures: every format gives the same scenes, labels fit the pixels, what is wrong is counted or said."""

import importlib.util
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from learn_to_steer.steering import annotated
from learn_to_steer.steering.annotated import Filters, scenes
from learn_to_steer.steering.dataset import looks
from PIL import Image

SET = Path(__file__).parent / "annotated"
FORMATS = ("ours", "coco", "gqa", "genome")
ANY = Filters(0, 100, 1.01, 0)  # nothing is filtered

spec = importlib.util.spec_from_file_location("make_annotated", SET / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def of_set(format: str, size=(128, 96), **changed):
    return scenes(SET / f"{format}.json", SET, size, **{"filters": ANY, **changed})


@pytest.fixture
def folder(tmp_path):
    """Says what is annotated, of pictures of 100 x 100 px."""

    def written(data, pictures=("a.png",), text: str | None = None):
        for name in pictures:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.new("RGB", (100, 100)).save(tmp_path / name)
        file = tmp_path / "annotations.json"
        file.write_text(json.dumps(data) if text is None else text)
        return scenes(file, tmp_path, (100, 100), filters=ANY)

    return written


BUS, MAN = {"name": "bus", "box": [40, 70, 60, 95]}, {"name": "man", "box": [0, 70, 30, 90]}
DOG, CAT = {"name": "dog", "box": [0, 20, 40, 60]}, {"name": "cat", "box": [60, 20, 95, 60]}
GOOD = {"picture": "a.png", "things": [DOG, CAT]}


def entry(*things, **more) -> dict:
    """A good entry with these things besides."""
    return {**GOOD, "things": [DOG, CAT, *things], **more}


# --- What is right ----------------------------------------------------------------------------------------------------


def test_the_set_is_what_its_script_makes(tmp_path):
    make.main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in SET.glob("*.jp*g")} | {
        f"{format}.json" for format in FORMATS
    }
    for path in tmp_path.glob("*.json"):
        assert path.read_text() == (SET / path.name).read_text()
    for path in tmp_path.glob("*.jpg"):
        with Image.open(path) as anew, Image.open(SET / path.name) as there:
            assert np.abs(np.asarray(anew, int) - np.asarray(there, int)).max() <= 8
    assert sum(path.stat().st_size for path in SET.iterdir() if path.is_file()) < 100_000


@pytest.mark.parametrize("size", [(128, 96), (96, 96), (96, 128), (320, 240)])
@pytest.mark.parametrize("format", FORMATS)
def test_labels_are_where_the_colours_are(format, size):
    made = of_set(format, size)
    assert made.count >= (4 if size == (96, 128) else 8)
    for scene in map(made.at, range(made.count)):
        pixels = np.asarray(scene.picture, int)
        assert scene.picture.size == size
        for thing in scene.found:
            near = np.abs(pixels - make.COLOURS[thing.name]).sum(-1) < 80
            rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
            seen = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            assert np.abs(np.subtract(seen, thing.box)).max() <= 2.5 * max(size) / 128, (thing, seen)


def test_all_formats_give_the_same_scenes_but_for_the_one_on_its_side():
    def told(format: str):
        made = of_set(format)
        return [made.at(number).found for number in range(made.count)]

    assert len(told("coco")) == 10 and told("coco") == told("gqa") == told("genome")
    different = [at for at, (a, b) in enumerate(zip(told("ours"), told("coco"), strict=True), 1) if a != b]
    assert different == [make.SIDEWAYS]


def test_our_prompts_are_shown_and_judged():
    made = of_set("ours")
    own = {number: made.at(number).prompt for number in range(made.count)}
    assert [number + 1 for number, text in own.items() if text] == list(make.PROMPTS)
    for number, true in ((0, True), (3, False)):
        seen = [look for look in looks(made.at(number), number, 8, 0.5, (0, 1), 0) if look.prompt == own[number]]
        assert seen and all(look.true == true for look in seen)
    assert of_set("coco").at(0).prompt is None


def test_no_more_is_read_than_wanted(tmp_path):
    for format in FORMATS:
        assert of_set(format, most=3).count == 3
    broken = tmp_path / "broken.json"
    broken.write_text((SET / "ours.json").read_text()[:-20])
    assert scenes(broken, SET, (96, 96), 3, ANY).count == 3
    heard = []
    of_set("coco", tell=lambda: heard.append(1))
    assert len(heard) > 30  # what may stop it is asked in the middle of the file


def test_pictures_are_opened_when_they_are_asked_for(folder, tmp_path, monkeypatch):
    made = folder([GOOD])
    assert made.at(0).picture.size == (100, 100)
    Image.new("RGB", (50, 50)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r'picture ".*a.png" cannot be used: it has 50 x 50 px now. Put it in order'):
        made.at(0)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match=r'picture ".*a.png" cannot be used'):
        made.at(0)


def test_the_key_and_the_mark_change_with_the_files(folder, tmp_path):
    def now():
        return folder([GOOD], pictures=()).key, annotated.marks(tmp_path / "annotations.json", tmp_path)

    folder([GOOD])
    os.utime(tmp_path / "a.png", (1, 1))
    first = now()
    assert now()[0] == first[0]
    os.utime(tmp_path / "a.png", (2, 2))
    second = now()
    assert second[0] != first[0] and second[1] != first[1]
    assert scenes(tmp_path / "annotations.json", tmp_path, (64, 64), filters=ANY).key != second[0]
    assert folder([entry(prompt="a dog left of a cat")], pictures=()).key != second[0]
    assert annotated.marks(tmp_path / "none", tmp_path / "gone") == annotated.marks(
        tmp_path / "none", tmp_path / "gone"
    )


def test_pictures_may_lie_in_folders_in_the_folder(folder):
    assert folder([{**GOOD, "picture": "train/a.png"}], ("train/a.png",)).count == 1
    assert folder([{**GOOD, "picture": "b.png"}], ("train/b.png",)).count == 1


# --- What is left out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("things", "found", "said"),
    [
        ([{"name": "bus", "box": [0, 70, math.nan, 90]}], "dog cat", "1 box(es) that are none"),
        ([{"name": "bus", "box": [30, 70, 0, 90]}], "dog cat", "1 box(es) that are none"),
        ([{"name": "bus", "box": [0, 70, 30]}], "dog cat", "1 box(es) that are none"),
        ([{"name": "bus", "box": [0, 70, "30", 90]}], "dog cat", "1 box(es) that are none"),
        ([{"name": "bus", "box": [0, 70, True, 90]}], "dog cat", "1 box(es) that are none"),
        ([{"name": "bus", "box": [0, 70, 10**400, 90]}], "dog cat", "1 box(es) that are none"),
        ([{"name": "bus"}, "bus", None], "dog cat", "3 box(es) that are none"),
        ([{"name": "bus", "box": [0, 70, 130, 90]}], "dog cat", "1 box(es) that lie outside their picture"),
        ([{"name": "bus", "box": [0, 70, 105, 90]}], "dog cat bus", ""),
        ([{"name": "", "box": [0, 70, 30, 90]}], "dog cat", "1 thing(s) without a known name"),
        ([{"name": 7, "box": [0, 70, 30, 90]}], "dog cat", "1 thing(s) without a known name"),
        ([{"name": "a bus " * 11, "box": [0, 70, 30, 90]}], "dog cat", "1 thing(s) without a known name"),
        ([{"name": "left", "box": [0, 70, 30, 90]}], "dog cat", "1 thing(s) whose name cannot be read in a prompt"),
        ([{"name": " fire  hydrant ", "box": [0, 70, 30, 90]}], "dog cat fire hydrant", ""),
        ([{"name": "Dogs", "box": [0, 70, 30, 90]}, BUS], "cat bus", "2 thing(s) that share"),
        ([{"name": "dog", "box": [0, 70, math.nan, 90]}, BUS], "cat bus", "1 thing(s) that share"),
        ([{"name": "red dog", "box": [0, 70, 30, 90]}, BUS], "cat bus", "2 thing(s) that share"),
        ([MAN, {"name": "person", "box": [40, 70, 60, 95]}], "dog cat", "2 thing(s) that share"),
        ([MAN, {"name": "woman", "box": [40, 70, 60, 95]}], "dog cat man woman", ""),
    ],
)  # fmt: skip
def test_things_that_cannot_be_used_are_counted(folder, things, found, said):
    made = folder([entry(*things)])
    assert " ".join(thing.name for thing in made.at(0).found) == found
    assert said in made.notes and bool(said) == bool(made.notes)


def test_things_that_may_be_called_the_same():
    for a, b in (
        ("car", "red cars"),
        ("cup", "cup of tea"),
        ("young men", "person"),
        ("woman", "people"),
        ("TV", "tv"),
    ):
        assert annotated._alike(a, b) and annotated._alike(b, a), (a, b)
    for a, b in (("man", "woman"), ("hot dog", "dog"), ("", ""), ("car", "cart"), ("tea", "cup of tea")):
        assert not annotated._alike(a, b) and not annotated._alike(b, a), (a, b)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"picture": "gone.png"}, "1 picture(s) that are not in the folder"),
        ({"picture": "a\0.png"}, "1 picture(s) that are not in the folder"),
        pytest.param({"picture": "x" * 5000}, "1 picture(s) that are not in the folder", id="long"),
        ({"picture": ""}, "1 picture(s) that are not in the folder"),
        ({"picture": "../b.png"}, "1 picture(s) whose name leads out of the folder"),
        ({"picture": "x\\..\\..\\b.png"}, "1 picture(s) whose name leads out of the folder"),
        ({"picture": "/b.png"}, "1 picture(s) whose name leads out of the folder"),
        ({"picture": "C:b.png"}, "1 picture(s) whose name leads out of the folder"),
        ({"picture": "annotations.json"}, "1 picture(s) that cannot be opened"),
        ({"width": 100, "height": 90}, "1 picture(s) of another size than is annotated"),
        ({"width": math.nan, "height": 100}, "1 picture(s) of another size than is annotated"),
        ({"width": -100, "height": 100}, "1 picture(s) of another size than is annotated"),
        ({"things": []}, "1 picture(s) without two such things in a clear relation"),
        ({"things": [DOG]}, "1 picture(s) without two such things in a clear relation"),
        ({"things": [DOG, {**CAT, "box": [50, 70, 90, 100]}]}, "1 picture(s) without two such things"),  # diagonal
        ({"things": "dog"}, "1 entry(ies) that cannot be read"),
        ({"picture": 7}, "1 entry(ies) that cannot be read"),
    ],
)
def test_pictures_that_cannot_be_used_are_counted(folder, wrong, said):
    made = folder([{**GOOD, "picture": "b.png", **wrong}, GOOD], ("a.png", "b.png"))
    assert made.count == 1 and made.notes.startswith(f"Left out: {said}")
    with pytest.raises(ValueError, match=r"(can be used. Left out: 1 |no entry that is one of these)"):
        folder([{**GOOD, "picture": "b.png", **wrong}], ("a.png", "b.png"))


def test_a_picture_counts_once(folder):
    made = folder([GOOD, entry({"name": "bus", "box": [0, 70, 30, 90]})])
    assert made.count == 1 and len(made.at(0).found) == 2
    assert made.notes == "Left out: 1 entry(ies) of a picture that is annotated twice."


def test_what_is_outside_the_crop_is_not_seen_and_what_is_cut_off_counts():
    """A picture of 200 x 100, of which the middle 100 are shown."""
    entry = annotated._Entry("COCO", "", None, [])

    def found(*things):
        from collections import Counter

        left = Counter()
        made = [annotated._Thing(name, box, one) for name, box, one in things]
        return [thing.name for thing in annotated._found(made, (200, 100), (100, 100), ANY, left)], dict(left)

    cat, bus = ("cat", (55, 0, 90, 40), True), ("bus", (60, 60, 95, 100), True)
    assert entry.size is None
    assert found(cat, bus, ("cat", (0, 0, 45, 40), True)) == (["cat", "bus"], {})
    share = {"thing(s) that share their name with another": 1}
    cut = ("cat", (30, 50, 60, 90), True)
    assert found(cat, bus, cut, ("dog", (110, 0, 140, 40), True)) == (
        ["bus", "dog"], share | {"thing(s) that are cut off": 1},
    )  # fmt: skip
    crowd = ("cats", (100, 50, 140, 90), False)
    assert found(cat, bus, crowd, ("dog", (110, 0, 140, 40), True)) == (["bus", "dog"], share | {"crowd(s)": 1})


# --- CoMPaSS's filters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "fits"),
    [
        ((0, 0, 40, 40), (60, 0, 100, 40), True),
        ((0, 0, 31, 31), (60, 0, 91, 31), False),  # 0.19 of the picture
        ((0, 0, 20, 80), (80, 0, 100, 80), True),
        ((0, 0, 100, 10), (0, 90, 100, 100), True),
        ((0, 0, 10, 100), (90, 0, 100, 100), True),
        ((0, 0, 33, 33), (66, 66, 99, 99), True),  # 2.00 diagonals
        ((0, 0, 40, 40), (70, 70, 98, 98), False),  # 28 x 28 has less than half of 40 x 40
        ((0, 0, 40, 40), (28, 0, 68, 40), False),  # 0.3 in common
        ((0, 0, 40, 40), (29, 0, 69, 40), True),
    ],
)
def test_pairs_are_filtered_as_published(a, b, fits):
    assert Filters().fit(a, b, 100 * 100) == Filters().fit(b, a, 100 * 100) == fits


def test_each_filter_alone_can_be_set():
    pair = (0, 0, 20, 20), (80, 80, 90, 90)
    for name, least in (("salience", 0.05), ("distance", 7.51), ("overlap", 0.01), ("sizes", 0.25)):
        assert Filters(**{**vars(ANY), name: least}).fit(*pair, 100 * 100)
    for name, more in (("salience", 0.051), ("distance", 7.49), ("sizes", 0.26)):
        assert not Filters(**{**vars(ANY), name: more}).fit(*pair, 100 * 100)
    assert not Filters(**{**vars(ANY), "overlap": 0.5}).fit((0, 0, 20, 20), (10, 0, 30, 20), 100 * 100)


def test_of_several_the_one_with_the_fewest_good_pairs_goes(tmp_path):
    """The ball is too small beside all, the bus too large beside the cat."""
    boxes = {"dog": [0, 0, 40, 60], "cat": [45, 0, 75, 50], "ball": [80, 0, 90, 10], "bus": [0, 65, 100, 100]}
    things = [{"name": name, "box": box} for name, box in boxes.items()]
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps([{**GOOD, "things": things}]))
    made = scenes(tmp_path / "a.json", tmp_path, (100, 100))
    assert [thing.name for thing in made.at(0).found] == ["dog", "bus"]
    assert made.notes == "Left out: 2 thing(s) that are too small, far away, covered or unlike in size."


# --- What is said before anything is done -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read: it is empty. Give the whole file"),
        ("no JSON", "it is none of these: a list of entries"),
        ("[1, 2, {]", "it is no JSON at character 9"),
        ("[", "it breaks off after 1 character"),
        ("[]", "it has no entry that is one of these"),
        ("{}", "it has no entry that is one of these"),
        ("[3]", "it has no entry that is one of these"),
        ('{"a": 1}', "it has no entry that is one of these"),
        ('{"1": {"objects": {}}, "2": ', "it breaks off after"),
        ('{"images": [], "annotations": []}', 'it has no "categories"'),
        ('{"images": [{"id": 1, "file_name": "a.png"}]}', 'it has no "annotations"'),
        ('{"images": [], "annotations": [], "categories": []}', "it has no entry that is one of these"),
        ('{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{}, 3, {"image_id": []}], "categories": [1]}',
         "Left out: 4 entry.ies. that cannot be read, 1 picture.s. without two"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_a_sentence(folder, tmp_path, text, said):
    with pytest.raises(ValueError, match=said) as told:
        folder(None, text=text)
    assert "annotations.json" in str(told.value) and str(told.value).endswith(".")


def test_a_picture_in_place_of_the_file_and_what_is_not_there_are_a_sentence(tmp_path):
    picture = tmp_path / "a.png"
    Image.new("RGB", (9, 9), "red").save(picture)
    with pytest.raises(ValueError, match='a.png" is no JSON file'):
        scenes(picture, tmp_path, (64, 64))
    with pytest.raises(ValueError, match='no folder ".*gone"'):
        scenes(picture, tmp_path / "gone", (64, 64))
    with pytest.raises(ValueError, match='no folder ".*a.png"'):
        scenes(picture, picture, (64, 64))
    with pytest.raises(ValueError, match='no file ".*gone.json". Give the path of the JSON file'):
        scenes(tmp_path / "gone.json", tmp_path, (64, 64))


def test_unknown_categories_and_crowds_of_coco(tmp_path):
    data = json.loads((SET / "coco.json").read_text())
    data["categories"] = data["categories"][1:]  # no apple
    data["annotations"].append({"image_id": 2, "category_id": 3, "bbox": [0, 0, 20, 20], "iscrowd": 1})
    data["annotations"].append({"image_id": 999, "category_id": 3, "bbox": [0, 0, 20, 20], "iscrowd": 0})
    data["annotations"].append({"image_id": 6, "category_id": None, "bbox": None})
    data["annotations"].append({"image_id": 6, "category_id": 3, "bbox": [math.nan, 0, 20, 20]})
    (tmp_path / "coco.json").write_text("\ufeff" + json.dumps({key: data[key] for key in reversed(data)}))
    made = scenes(tmp_path / "coco.json", SET, (128, 96), filters=ANY)
    for said in ("3 thing(s) without a known name", "1 crowd(s)", "1 thing(s) that share", "2 box(es) that are none"):
        assert said in made.notes
    assert made.count == 6
