"""The benchmarks' rules against their own arithmetic, written once more from what they publish, on random boxes."""

import json
import random
from itertools import permutations
from pathlib import Path

import benchmarks
import numpy as np
import pytest
from benchmarks import RULES, Prompt, chosen, coco_kinds, geneval, read, visor_numbers
from learn_to_steer.steering.judge import Found
from learn_to_steer.steering.prompts import parse

LAYOUTS = 400
SIDE = 512
STRAIGHT = ("left of", "right of", "above", "below")
PUBLISHED = Path(__file__).resolve().parent / "published" / "multi_relation_eval.json"


@pytest.fixture
def rng() -> random.Random:
    return random.Random(1)


def box(rng: random.Random, side: int = SIDE) -> tuple[float, float, float, float]:
    """Any, some of them the same or one in another."""
    xs, ys = (sorted(rng.sample(range(0, side + 1, 16 if rng.random() < 0.5 else 1), 2)) for _ in range(2))
    return (xs[0], ys[0], xs[1], ys[1])


def scene(rng: random.Random, kinds: list[str], most: int = 3) -> list[Found]:
    """None to `most` of each kind, in any order, with any confidence."""
    found = [Found(kind, box(rng), rng.choice((0.05, 0.2, 0.31, 0.45, 0.6, 0.91, 0.97)) + 0.01 * rng.random())
             for kind in kinds for _ in range(rng.randint(0, most))]  # fmt: skip
    rng.shuffle(found)
    return found


def pair(rng: random.Random, a: str, b: str) -> list[Found]:
    """One of each, mostly, so that the place decides."""
    return [Found(kind, box(rng), rng.uniform(0.31, 1)) for kind in (a, b) if rng.random() < 0.95]


# --- GenEval ----------------------------------------------------------------------------------------------------------


def positions(a, b) -> set[str]:
    """Its relative_position: offsets of the middles, each made shorter by a tenth of both sizes, over their length."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a, b
    offset = np.array([(ax0 + ax1) / 2 - (bx0 + bx1) / 2, (ay0 + ay1) / 2 - (by0 + by1) / 2])
    sizes = np.array([ax1 - ax0 + bx1 - bx0, ay1 - ay0 + by1 - by0])
    shortened = np.sign(offset) * np.clip(np.abs(offset) - 0.1 * sizes, 0, None)
    if (np.abs(shortened) < 1e-3).all():
        return set()
    x, y = shortened / np.sqrt((offset**2).sum())
    signs = {"left of": -x, "right of": x, "above": -y, "below": y}
    return {name for name, much in signs.items() if much > 0.5}


def by_geneval(asked: dict, found: list[Found]) -> bool:
    """Its evaluate: every group there, related to all of its target's, and no group that must not be."""
    least = 0.9 if asked["tag"] == "counting" else 0.3
    of = {}
    for one in sorted(found, key=lambda one: one.confidence, reverse=True):
        if one.confidence > least:
            of.setdefault(one.name, []).append(one.box)
    matched = []
    for group in asked["include"]:
        things = of.get(group["class"], [])[: group["count"]]
        good = len(things) == group["count"]
        if good and "position" in group:
            relation, target = group["position"]
            good = matched[target] is not None and all(
                relation in positions(one, other) for one in things for other in matched[target]
            )
        matched.append(things if good else None)
    return None not in matched and all(len(of.get(g["class"], [])) < g["count"] for g in asked.get("exclude", []))


def test_geneval_s_positions(rng):
    right = 0
    for _ in range(LAYOUTS):
        relation = rng.choice(STRAIGHT)
        include = [{"class": "dog", "count": 1}, {"class": "cat", "count": 1, "position": [relation, 0]}]
        asked, found = {"tag": "position", "include": include}, pair(rng, "dog", "cat")
        verdict = geneval(asked, found, (SIDE, SIDE))
        assert verdict.right == by_geneval(asked, found), (asked, found)
        assert verdict.there == (len(found) == 2)
        right += verdict.right
    assert 0.1 * LAYOUTS < right < 0.5 * LAYOUTS


@pytest.mark.parametrize("task", ["single_object", "two_object", "counting", "groups"])
def test_geneval_s_other_tasks(rng, task):
    """ "groups" is none of its own: several things of a kind in a relation."""
    right = 0
    for _ in range(LAYOUTS):
        count = rng.randint(1, 2)
        asked = {
            "single_object": {"include": [{"class": "dog", "count": 1}]},
            "two_object": {"include": [{"class": "dog", "count": 1}, {"class": "cat", "count": 1}]},
            "counting": {"include": [{"class": "dog", "count": count}],
                         "exclude": [{"class": "dog", "count": count + 1}]},
            "groups": {"include": [{"class": "dog", "count": count},
                                   {"class": "cat", "count": 1, "position": [rng.choice(STRAIGHT), 0]}]},
        }[task] | {"tag": task}  # fmt: skip
        found = scene(rng, ["dog", "cat", "bus"], 4)
        assert geneval(asked, found, (SIDE, SIDE)).right == by_geneval(asked, found), (asked, found)
        right += geneval(asked, found, (SIDE, SIDE)).right
    assert 0.02 * LAYOUTS < right < LAYOUTS


@pytest.mark.parametrize("rule", ["geneval", "strict"])
def test_published_verdicts(rule):
    """200 layouts with two and three relations, and what GenEval's own code says of them."""
    layouts = json.loads(PUBLISHED.read_text())["layouts"]
    for layout in layouts:
        found = [Found(name, tuple(place)) for name, place in layout["boxes"].items() if place]
        relations = [(a, relation.removeprefix("to the "), b) for a, relation, b in layout["relations"]]
        if rule == "strict":
            verdict = RULES[rule]({"text": ", ".join(f"a {a} {r} a {b}" for a, r, b in relations)}, found, (512, 512))
            assert verdict.parts[1] == len(relations)
            assert verdict.right == layout["geneval_correct"], layout["id"]
        else:
            for (a, relation, b), hold in zip(relations, layout["holds_by_rule"], strict=True):
                include = [{"class": b, "count": 1}, {"class": a, "count": 1, "position": [relation, 0]}]
                verdict = geneval({"tag": "position", "include": include}, found, (512, 512))
                assert verdict.right == (relation in (hold or [])), layout["id"]
    assert len(layouts) == 200


def test_geneval_s_names_are_known_under_coco_s():
    asked = {"tag": "single_object", "include": [{"class": "computer mouse", "count": 1}]}
    assert geneval(asked, [Found("mouse", (0, 0, 9, 9))], (64, 64)).right
    assert not geneval(asked, [Found("remote", (0, 0, 9, 9))], (64, 64)).right


# --- VISOR ------------------------------------------------------------------------------------------------------------


def test_visor_s_rule(rng):
    right = 0
    for _ in range(LAYOUTS):
        relation = rng.choice(STRAIGHT)
        found = pair(rng, "dog", "cat")
        verdict = RULES["visor"]({"subject": "dog", "object": "cat", "relation": relation}, found, (SIDE, SIDE))
        of = {one.name: one.box for one in found}
        said = False
        if len(of) == 2:
            axis, sign = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}[relation]
            dog, cat = (np.mean([of[name][axis], of[name][axis + 2]]) for name in ("dog", "cat"))
            said = sign * dog < sign * cat
        assert (verdict.there, verdict.right) == (len(of) == 2, said)
        right += said
    assert 0.3 * LAYOUTS < right < 0.7 * LAYOUTS


def test_visor_s_numbers(rng):
    """Its get_visor_spatial: conditional is right among both there, unconditional that times both there."""
    for _ in range(200):
        pictures = []
        for number in range(rng.randint(1, 9)):
            for _ in range(4):
                there = rng.random() < 0.7
                pictures.append((f"prompt {number}", there, there and rng.random() < 0.6))
        both = sum(there for _, there, _ in pictures)
        conditional = sum(right for *_, right in pictures) / both if both else 0
        counts = {}
        for text, _, right in pictures:
            counts.setdefault(text, []).append(int(right))
        numbers = visor_numbers(pictures)
        assert numbers["OA"] == both / len(pictures)
        assert numbers["cond"] == pytest.approx(conditional)
        assert numbers["uncond"] == pytest.approx(conditional * both / len(pictures))
        for n in range(1, 5):
            assert numbers[str(n)] == sum(sum(of) >= n for of in counts.values()) / len(counts)


# --- T2I-CompBench ----------------------------------------------------------------------------------------------------


def by_t2i(locality: str, a, b) -> float:
    """Its determine_position, from the text of its paper: the longer way decides, overlap beyond a tenth costs."""
    x, y = (((a[i] + a[i + 2]) - (b[i] + b[i + 2])) / 2 for i in (0, 1))
    if locality in ("next to", "near", "on side of"):
        return 1.0 if abs(x) < 150 or abs(y) < 150 else 150 / max(abs(x), abs(y))
    wide, high = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    iou = wide * high / (sum(areas) - wide * high)
    good = {
        "on the left of": x < 0 and abs(x) > abs(y), "on the right of": x > 0 and abs(x) > abs(y),
        "on the top of": y < 0 and abs(y) > abs(x), "on the bottom of": y > 0 and abs(y) > abs(x),
    }.get(locality, False)  # fmt: skip
    return 0.0 if not good else 1.0 if iou < 0.1 else 0.1 / iou


def test_t2i_compbench_s_score(rng):
    """Where a picture is 480 px wide its px are the benchmark's."""
    scores, partial, near = 0, 0, 0
    for number in range(20 * LAYOUTS):
        locality = benchmarks.LOCALITIES[number % len(benchmarks.LOCALITIES)]
        found = [Found(one.name, one.box, rng.choice((0.4, rng.uniform(0.5, 1)))) for one in scene(rng, ["dog", "cat"])]
        # The smaller the picture, the larger its px.
        verdict = RULES["t2i-compbench"]({"things": ["dog", "cat"], "locality": locality}, found, (1920, 479))
        scale = 480 / 1920
        of = {}
        for one in sorted(found, key=lambda one: one.confidence):
            if one.confidence > 0.5:
                of[one.name] = one
        sure = sum(0.25 * one.confidence for one in of.values())
        place = by_t2i(locality, *([scale * v for v in of[k].box] for k in ("dog", "cat"))) if len(of) == 2 else 0
        score = sure + place / 2
        assert verdict.score == pytest.approx(score if score >= 0.5 else 0.0), (locality, found)
        assert verdict.there == (len(of) == 2) and verdict.right == (place == 1)
        scores += verdict.score > 0
        partial += 0 < place < 1
    for _ in range(LAYOUTS):
        a, b = box(rng, 2000), box(rng, 2000)
        place = benchmarks.t2i_place("near", a, b)
        assert place == pytest.approx(by_t2i("near", a, b))
        near += place < 1
    assert scores > 50 and partial > 20 and near > 50


# --- GenEval 2 --------------------------------------------------------------------------------------------------------

QUESTIONS = {  # in the form of its file
    "prompt": "three metal dogs to the right of two sheeps behind a cat on top of a bus",
    "atom_count": 9,
    "vqa_list": [
        ["How many dogs are in the image?", "three"], ["Are the dogs metal?", "Yes"],
        ["Are there any dogs in the image?", "Yes"], ["Are the dogs to the right of the sheeps?", "Yes"],
        ["How many sheeps are in the image?", "two"], ["Are the sheeps behind the cat?", "Yes"],
        ["How many cats are in the image?", "one"], ["Is the cat on top of the bus?", "Yes"],
    ],
    "skills": ["count", "attribute", "object", "position", "count", "position", "count", "position"],
}  # fmt: skip


def test_geneval_2_s_questions_about_places(rng, tmp_path):
    """Those that boxes can tell; each holds between all things that count."""
    path = tmp_path / "geneval2.jsonl"
    path.write_text(json.dumps(QUESTIONS) + "\n" + json.dumps(QUESTIONS | {"vqa_list": [], "skills": []}) + "\n")
    (prompt,) = read(str(path))
    assert prompt.asked["atoms"] == [["dogs", "right of", "sheeps"], ["cat", "above", "bus"]]
    assert prompt.asked["counts"] == {"dogs": 3, "sheeps": 2, "cat": 1, "bus": 1}
    shares = []
    for _ in range(LAYOUTS):
        found = scene(rng, ["dog", "sheep", "cat", "bus"])
        of = {}
        for one in sorted(found, key=lambda one: -one.confidence):
            if one.confidence > 0.3:
                of.setdefault(one.name, []).append(one.box)
        answers = [
            name in of and other in of
            and all(way in positions(a, b) for a in of[name][:many] for b in of[other][:others])
            for name, many, way, other, others in (("dog", 3, "right of", "sheep", 2), ("cat", 1, "above", "bus", 1))
        ]  # fmt: skip
        verdict = RULES["geneval2"](prompt.asked, found, (SIDE, SIDE))
        assert verdict.parts == (sum(answers), 2) and verdict.right == all(answers)
        assert verdict.there == (of.keys() >= {"dog", "sheep", "cat", "bus"})
        shares.append(verdict.score)
    assert {0, 0.5} <= set(shares)


# --- All at once ------------------------------------------------------------------------------------------------------


def test_several_relations_must_hold_of_the_same_things(rng):
    """Of the surest of each kind, from 0.3 on."""
    wishes = (("dog", "left of", "cat"), ("dog", "above", "bus"))
    right = 0
    for _ in range(4 * LAYOUTS):
        found, of = scene(rng, ["dog", "cat", "bus"], 2), {}
        for one in sorted(found, key=lambda one: one.confidence):
            if one.confidence > 0.3:
                of[one.name] = one.box
        hold = [a in of and b in of and way in positions(of[a], of[b]) for a, way, b in wishes]
        verdict = RULES["strict"]({"text": "a dog left of a cat and above a bus"}, found, (SIDE, SIDE))
        assert (verdict.right, verdict.parts) == (all(hold), (sum(hold), 2)), found
        assert verdict.there == (len(of) == 3)
        right += verdict.right
    assert right > 5


# --- Prompts ----------------------------------------------------------------------------------------------------------


def test_geneval_s_prompts_but_for_colours():
    prompts = read("geneval")
    counts = {task: sum(prompt.task == task for prompt in prompts) for task in {prompt.task for prompt in prompts}}
    assert counts == {"position": 100, "single_object": 80, "two_object": 99, "counting": 80}
    for prompt in prompts:
        if prompt.task == "position":  # what is judged is what is read, and steered
            (wish,) = parse(prompt.text).wishes
            (target, subject) = prompt.asked["include"]
            assert (wish.subject.text, wish.object.text) == (subject["class"], target["class"])
            assert [wish.relation, 0] == subject["position"]


def test_visor_s_prompts():
    prompts = read("visor")
    assert len(prompts) == len({prompt.text for prompt in prompts}) == 25280
    assert {(p.asked["subject"], p.asked["object"]) for p in prompts} == set(permutations(coco_kinds(), 2))
    for prompt in prompts[::100]:
        (wish,) = parse(prompt.text).wishes
        assert (wish.subject.text, wish.relation, wish.object.text) == tuple(
            prompt.asked[name] for name in ("subject", "relation", "object")
        )


def test_prompts_of_several_relations_are_read_as_they_are_meant():
    prompts = read("multi")
    assert len(prompts) == 200 and prompts == read("multi")
    for prompt in prompts:
        wishes = parse(prompt.text).wishes
        assert len(wishes) == {"two relations": 2, "three relations": 3}[prompt.task], prompt.text
        assert tuple(dict.fromkeys(t.name for wish in wishes for t in wish.things)) == prompt.things


def written(tmp_path, *lines: str) -> str:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(lines))
    return str(path)


def test_a_file_s_rule_is_seen(tmp_path):
    own = written(tmp_path, "a dog left of a cat", "", "a red bus above a dog")
    assert [(p.rule, p.things) for p in read(own)] == [("strict", ("dog", "cat")), ("strict", ("red bus", "dog"))]
    (girl, _) = read(written(tmp_path, "a girl on the top of a frog", "a bird on side of a airplane"))
    assert (girl.rule, girl.asked) == ("t2i-compbench", {"things": ["person", "frog"], "locality": "on the top of"})
    assert read(written(tmp_path, "a dog near a cat"), "strict")[0].rule == "strict"


@pytest.mark.parametrize(
    ("lines", "rule", "said"),
    [
        (["a dog and a cat"], None, 'No relation is read from "a dog and a cat"'),
        (["a dog left of a cat"], "t2i-compbench", 'T2I-CompBench has no prompt like "a dog left of a cat"'),
        (['{"prompt": "a dog"}'], None, "is not a file of the benchmark geneval"),
        ([""], None, "is empty"),
    ],
)
def test_files_that_cannot_be_used_are_a_sentence(tmp_path, lines, rule, said):
    with pytest.raises(ValueError, match=said):
        read(written(tmp_path, *lines), rule)
    with pytest.raises(ValueError, match="There are no prompts 'nowhere'. Choose geneval, visor, multi, or give"):
        read("nowhere")


def test_what_the_detector_does_not_know_is_left_out_and_counted():
    prompts = [Prompt(f"{a} {b}", "visor", a, {}, (a, b)) for a, b in permutations(("dog", "tv remote", "bee"), 2)]
    kept, said = chosen(prompts, None, ["dog", "remote"], None)
    assert [prompt.things for prompt in kept] == [("dog", "tv remote"), ("tv remote", "dog")]
    assert said == "4 prompts have things that the detector does not know."
    assert chosen(prompts, ["dog"], None, None) == (prompts[:2], "")
    assert [prompt.task for prompt in chosen(prompts, None, None, 1)[0]] == ["dog", "tv remote", "bee"]
    assert chosen(prompts, None, None, 1) == chosen(prompts, None, None, 1)
    with pytest.raises(ValueError, match="These prompts have no task 'cow', only bee, dog, tv remote"):
        chosen(prompts, ["cow"], None, None)
    with pytest.raises(ValueError, match="knows the things of none"):
        chosen(prompts, None, ["cow"], None)
