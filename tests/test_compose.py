"""Composed scenes: boxes that fit, places that cover the picture, and the cut-outs that come with the pack."""

import json
import os
import re
from collections import Counter

import cutouts
import numpy as np
import pytest
from learn_to_steer.steering import compose
from learn_to_steer.steering.compose import BUNDLED, LOOKS, OWN, Cutout, chosen, own, scenes
from PIL import Image, ImageDraw
from sprites import CODEPOINTS

COLOURS = {"disc": (255, 0, 0, 255), "slab": (0, 255, 0, 255), "pole": (0, 0, 255, 255)}
COCO = """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, computer mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush"""  # its "mouse" is a computer's


def shape(name: str, colour=None, size=(40, 40)) -> Image.Image:
    picture = Image.new("RGBA", size)
    ImageDraw.Draw(picture).ellipse((0, 0, size[0] - 1, size[1] - 1), fill=colour or COLOURS[name])
    return picture


@pytest.fixture(scope="module")
def three() -> tuple[Cutout, ...]:
    sizes = {"disc": (40, 40), "slab": (40, 16), "pole": (12, 40)}
    return tuple(Cutout(name, "drawn", shape(name, size=size)) for name, size in sizes.items())


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setattr(compose, "_background", lambda rng, size, others, clutter: Image.new("RGB", size))


def all_of(made, count=None):
    return [made.at(number) for number in range(count or made.count)]


def boxes(scene) -> list[tuple]:
    return [thing.box for thing in scene.found]


# --- Boxes and places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (128, 512), (776, 520)])
def test_boxes_fit_what_is_seen_at_any_size(three, plain, size):
    """Each thing has a channel of its own, so where it is seen can be read off the finished picture."""
    for scene in all_of(scenes(three, 60, size, seed=1)):
        assert scene.picture.size == size and scene.picture.mode == "RGB" and len(scene.found) >= 2
        pixels = np.asarray(scene.picture)
        for thing in scene.found:
            seen = pixels[..., list(COLOURS).index(thing.name)] >= compose.VISIBLE
            rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            tight = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            assert np.abs(np.subtract(thing.box, tight)).max() <= 1, (thing, tight)


def test_what_lies_under_another_thing_or_outside_is_not_in_the_box():
    square = Image.new("RGBA", (40, 40), "white")
    below, outside = compose._Placed("below", square, 20, 20), compose._Placed("outside", square, 70, -10)
    above = compose._Placed("above", Image.new("RGBA", (60, 10), "white"), 10, 20)
    found = compose._found([below, above, outside], (100, 100))
    assert [thing.name for thing in found] == ["below", "above", "outside"]
    assert [thing.box for thing in found] == [(20, 30, 60, 60), (10, 20, 70, 30), (70, 0, 100, 30)]


def test_places_cover_the_picture_alike():
    cutouts = [Cutout(name, "drawn", shape("disc")) for name in "abcdef"]
    middles = np.zeros((3, 3))
    for scene in all_of(scenes(cutouts, 1000, (64, 64))):
        for left, top, right, bottom in boxes(scene):
            middles[int((top + bottom) / 2 / 64 * 3), int((left + right) / 2 / 64 * 3)] += 1
    shares = middles / middles.sum()
    assert shares.min() > 0.095 and shares.max() < 0.13, shares  # 0.111 were even


def test_things_differ_in_size_and_hardly_overlap(three):
    made = [boxes(scene) for scene in all_of(scenes(three, 300, (128, 128)))]
    sides = [max(box[2] - box[0], box[3] - box[1]) / 128 for found in made for box in found]
    assert min(sides) < 0.2 and max(sides) > 0.5 and 0.2 < np.median(sides) < 0.4
    pairs = [(a, b) for found in made for at, a in enumerate(found) for b in found[:at]]
    shared = [compose._covered(a, b) for a, b in pairs]
    assert max(shared) < 0.3  # 0.2, more where a hidden part made a box smaller
    assert 0.03 < np.mean(np.array(shared) > 0) < 0.3
    gaps = [max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3]) for a, b in pairs]
    assert 0.02 < np.mean(np.abs(gaps) <= 1) < 0.4  # touching


def test_small_things_and_clutter_can_be_left_out(three):
    made = all_of(scenes(three, 60, (128, 128), smallest=0.4, clutter=0))
    assert (
        min(max(b[2] - b[0], b[3] - b[1]) for scene in made for b in boxes(scene)) > 0.3 * 128
    )  # some lie half hidden
    bare, busy = (
        [compose._background(np.random.default_rng(seed), (64, 64), [shape("disc")], clutter) for seed in range(60)]
        for clutter in (0.0, 1.0)
    )

    def rough(picture: Image.Image) -> float:
        """How far cells differ from the mean of their neighbours; a gradient's do not."""
        cells = np.asarray(picture, float)
        return np.abs(cells[1:-1, 1:-1] - (cells[:-2, 1:-1] + cells[2:, 1:-1]) / 2).max()

    assert max(map(rough, bare)) < 4 < np.median([rough(picture) for picture in busy])


def test_kinds_and_looks_come_alike_and_mirrored():
    """Many cut-outs of a kind or a look make it no more frequent."""
    arrow = shape("disc")
    arrow.paste((0, 0, 0, 0), (20, 0, 40, 20))
    cutouts = [Cutout("a", look, arrow) for look in ("drawn", "drawn", "drawn", "rendered")]
    cutouts += [Cutout(name, "drawn", arrow) for name in "bbbcd"]
    found = [thing for scene in all_of(scenes(cutouts, 400, (64, 64), most=2)) for thing in scene.found]
    counts = Counter(thing.name for thing in found)
    assert set(counts) == set("abcd") and all(0.2 < count / len(found) < 0.3 for count in counts.values())
    looks = compose._any_look
    rng = np.random.default_rng(0)
    kind = {"drawn": cutouts[:3], "rendered": cutouts[3:4]}
    assert 0.4 < np.mean([looks(rng, kind).look == "rendered" for _ in range(300)]) < 0.6
    upper = []
    for seed in range(200):
        picture = compose._place(np.random.default_rng(seed), cutouts[0], (64, 64), [], 0.0, 0.14).picture
        alpha = np.asarray(picture.getchannel("A"), float)[: picture.height // 2]
        upper.append(np.average(np.arange(picture.width), weights=alpha.sum(0)) > picture.width / 2)
    assert 0.4 < np.mean(upper) < 0.6  # of a cut-out whose upper right is missing


def test_backgrounds_differ_and_show_only_kinds_that_the_scene_lacks(monkeypatch):
    given = []
    monkeypatch.setattr(
        compose, "_background", lambda rng, size, others, clutter: given.append(others) or Image.new("RGB", size)
    )
    cutouts = {name: Cutout(name, "drawn", shape("disc")) for name in ("dog", "hot dog", "bird", "owl", "cup", "key")}
    made = all_of(scenes(tuple(cutouts.values()), 100, (64, 64), most=3))
    for scene, others in zip(made, given, strict=True):
        names = {thing.name for thing in scene.found}
        behind = {name for name, cutout in cutouts.items() for other in others if cutout.picture is other}
        assert behind and not any(compose._alike(a, b) for a in names for b in behind)
        assert not {"dog", "hot dog"} <= names and not {"bird", "owl"} <= names  # which would be "a bird"?
    monkeypatch.undo()
    rng = np.random.default_rng(0)
    drawn = [np.asarray(compose._background(rng, (64, 96), [shape("disc")], 1.0), float) for _ in range(40)]
    assert {picture.shape for picture in drawn} == {(96, 64, 3)}
    spread = [picture.std((0, 1)).max() for picture in drawn]
    assert min(spread) < 15 and max(spread) > 50  # plain and cluttered ones
    assert min(picture.mean() for picture in drawn) < 80 and max(picture.mean() for picture in drawn) > 170


# --- The same again ---------------------------------------------------------------------------------------------------


def test_scenes_follow_from_seed_and_number(three):
    def content(scene):
        return scene.picture.tobytes(), scene.found

    first = [content(scene) for scene in all_of(scenes(three, 6, (64, 48), 3))]
    again = scenes(three, 9, (64, 48), 3)
    assert [content(again.at(number)) for number in (5, 0, 3)] == [first[5], first[0], first[3]]
    assert len(set(first)) == 6 and content(scenes(three, 6, (64, 48), 4).at(0)) != first[0]
    for number in (-1, 9):
        with pytest.raises(IndexError, match="9 scenes"):
            again.at(number)


def test_the_key_tells_what_decides_a_scene(three):
    def key(cutouts=three, size=(64, 64), seed=0, most=4, count=5, **more):
        return scenes(cutouts, count, size, seed, most, **more).key

    repainted = (*three[:2], Cutout("pole", "drawn", shape("pole", (9, 9, 9, 255), (12, 40))))
    renamed = (*three[:2], Cutout("post", "drawn", three[2].picture))
    others = [key(size=(64, 72)), key(seed=1), key(most=3), key(three[:2]), key(repainted), key(renamed)]
    others += [key(smallest=0.3), key(clutter=0.5)]
    assert len({key(), *others}) == 9 and key() == key(count=9)


def test_made_says_what_the_scenes_are_of(three):
    made = scenes((*three, Cutout("mine", OWN, shape("disc"))), 7, (64, 48), 5, 3, notes="One left out.")
    assert (made.count, made.notes) == (7, "One left out.")
    assert made.made == "Composed scenes: 7 of 64 x 48 px, seed 5, 2 to 3 things each, of 4 kinds (drawn, own)."


# --- Which cut-outs ---------------------------------------------------------------------------------------------------


def kinds_of(cutouts) -> set[tuple[str, str]]:
    return {(cutout.name, cutout.look) for cutout in cutouts}


def test_kinds_are_chosen_by_name_and_look():
    cutouts = [Cutout(name, look, shape("disc")) for name in ("dog", "Cat", "red car") for look in LOOKS[:3]]
    assert len(chosen(cutouts)) == 9 and len(chosen(cutouts, looks=["drawn"])) == 3
    assert kinds_of(chosen(cutouts, "dog: rendered clipart\n\ncat,", ["drawn", "rendered"])) == {
        ("dog", "rendered"), ("Cat", "drawn"), ("Cat", "rendered"),
    }  # fmt: skip
    for kinds, said in (
        ("dog, cart", 'no cut-out of "cart". Near it: "Cat".'),
        ("dog, car", 'no cut-out of "car". Near it: "Cat", "red car".'),
        ("dog, xylophone", "Put your own into a folder"),
        ("dog, cat: photographed", 'no "cat" that is photographed, only: drawn, rendered, clipart.'),
        ("dog, cat: painted", 'no "cat" that is painted, only'),
        ("dog", r"two kinds or more, and there is 1 \(dog\)"),
    ):
        with pytest.raises(ValueError, match=said):
            chosen(cutouts, kinds)
    with pytest.raises(ValueError, match="there is none"):
        chosen([])
    with pytest.raises(ValueError, match=r"called the same \(dog, hot dog\)"):
        chosen([Cutout(name, OWN, shape("disc")) for name in ("dog", "hot dog")])


def test_the_user_s_pictures_are_called_what_they_show(tmp_path):
    names = ["dog.png", "dog 2.PNG", "dog_03.webp", "red_car (1).png", "7.png", "boeing 747/1.png", "fox/a b.webp"]
    for at, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture = Image.new("RGBA", (200, 100))
        picture.paste(shape("disc"), (30 + at, 20))
        picture.save(tmp_path / name, lossless=True)
    shape("disc").convert("P").save(tmp_path / "palette.png")
    (tmp_path / "about.txt").write_text("no picture")
    found, left_out = own(tmp_path, 30)
    assert Counter(cutout.name for cutout in found) == {
        "dog": 3, "red car": 1, "7": 1, "boeing 747": 1, "fox": 1, "palette": 1,
    }  # fmt: skip
    assert not left_out and {cutout.look for cutout in found} == {OWN}
    assert {cutout.picture.size for cutout in found} == {(30, 30)}  # cropped, and as large as they are needed


def test_what_cannot_be_used_is_counted_and_named(tmp_path):
    with pytest.raises(ValueError, match='no folder "'):
        own(tmp_path / "nowhere", 30)
    with pytest.raises(ValueError, match="no picture with a transparent background in "):
        own(tmp_path, 30)
    whole = Image.new("RGB", (20, 20), "red")
    whole.save(tmp_path / "whole.png")
    Image.new("RGBA", (20, 20)).save(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("no picture")
    shape("disc", size=(300, 300)).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:200])
    with pytest.raises(
        ValueError, match=r"2 left out that could not be read: half.png, text.png\. 2 left out that cut"
    ):
        own(tmp_path, 30)
    shape("disc").save(tmp_path / "good.png")
    for at in range(6):
        whole.save(tmp_path / f"more {at}.png")
    found, left_out = own(tmp_path, 30)
    assert [cutout.name for cutout in found] == ["good"]
    assert "8 left out that cut nothing out: empty.png, more 0.png, more 1.png, more 2.png, more 3.png, ..." in left_out


def test_the_folder_s_marks_tell_of_every_change(tmp_path):
    seen = {compose.marks(tmp_path)}
    shape("disc").save(tmp_path / "a.png")
    seen.add(compose.marks(tmp_path))
    assert compose.marks(tmp_path) in seen
    os.utime(tmp_path / "a.png", (1, 1))  # another of the same size
    seen.add(compose.marks(tmp_path))
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    seen.add(compose.marks(tmp_path))
    assert len(seen) == 4


# --- What comes with the pack -----------------------------------------------------------------------------------------


def test_bundled_kinds_have_many_looks():
    looks: dict[str, set[str]] = {}
    for cutout in compose.bundled():
        looks.setdefault(cutout.name, set()).add(cutout.look)
        alpha = np.asarray(cutout.picture.getchannel("A"))
        assert max(cutout.picture.size) > 80 and (alpha >= compose.VISIBLE).mean() > 0.05, cutout
    three = sum(len(of_kind) >= 3 for of_kind in looks.values())
    assert len(looks) >= 80 and three >= 60 and looks.keys() >= CODEPOINTS.keys()
    told = (BUNDLED / "README.md").read_text()
    assert re.search(rf"\b{len(looks)} kinds .*; {three} of them in three looks or more", " ".join(told.split()))
    missing = re.search(r"these are missing: (.*)\.", " ".join(told.split()))[1].split(", ")
    assert missing == sorted({name.strip() for name in COCO.split(",")} - looks.keys())
    assert all(len(looks[name] - {"drawn"}) >= 1 for name in CODEPOINTS)  # without the demo world's own pictures


def test_the_bundle_is_small_and_every_look_has_its_licence():
    files = [path for path in BUNDLED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6e6
    licences = ("SIL OPEN FONT LICENSE", "MIT License", "Public Domain Dedication", "GNU GENERAL PUBLIC LICENSE")
    for look, licence in zip(LOOKS, licences, strict=True):
        assert licence in (BUNDLED / look / "LICENSE").read_text()
    assert {path.name for path in BUNDLED.iterdir()} == {*LOOKS, "README.md", "index.json"}


def test_the_sheets_hold_what_the_table_says():
    names = json.loads((BUNDLED / "index.json").read_text())["names"]
    taken = cutouts.table(cutouts.TABLE.read_text())
    assert names == {look: [kind for kind, _ in of_look] for look, of_look in taken.items()}
