"""The field's own benchmarks: their prompts, and their rules of judging a picture by boxes.

Each rule is written from its publication and says the same as the benchmark's own code where that judges by boxes;
tests/test_benchmarks.py computes both. What a rule needs beside boxes (colours, depth) is left out, and said.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from learn_to_steer.steering.dataset import STRAIGHT, phrase
from learn_to_steer.steering.judge import Found, judge, singulars
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.relations import RELATIONS, holds

FOLDER = Path(__file__).resolve().parent / "prompts"
NAMED = ("geneval", "visor", "multi")  # those whose prompts are here
# GenEval's names of COCO's kinds, where they are not COCO's.
COCO = {"computer mouse": "mouse", "computer keyboard": "keyboard", "tv remote": "remote"}
VISOR_WAYS = {"to the left of": "left of", "to the right of": "right of", "above": "above", "below": "below"}
# T2I-CompBench's, in the order in which its code searches them; it has no rule for the last, so that counts nothing.
LOCALITIES = (
    "on side of", "next to", "near", "on the left of", "on the right of", "on the bottom of", "on the top of",
    "on top of",
)  # fmt: skip
ASIDE = ("on side of", "next to", "near")
PEOPLE = ("girl", "boy", "man", "woman")  # T2I-CompBench takes each for a person
GENEVAL2_WAYS = {
    "to the left of": "left of", "to the right of": "right of", "on top of": "above", "under": "below",
    "in front of": "in front of", "behind": "behind",
}  # fmt: skip
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SPREAD = 7  # the seed by which some of many prompts are drawn


@dataclass(frozen=True)
class Prompt:
    """A prompt, by which rule its pictures are judged, and what that is asked for.

    task: the row of the table; things: names that the detector must know, or it cannot judge.
    """

    text: str
    rule: str
    task: str
    asked: dict
    things: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """there: are all things of the prompt in the picture; right: is it as asked, as the benchmark has it; score: the
    benchmark's own number, 0 to 1, where it has one that is not just right or wrong; parts: of right ones and of all,
    where a prompt asks for several; reason: for people."""

    there: bool
    right: bool
    reason: str
    score: float
    parts: tuple[int, int] = (0, 1)


# --- Rules ------------------------------------------------------------------------------------------------------------


def geneval(asked: dict, found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    """GenEval's `evaluate` (evaluation/evaluate_images.py), without colours. Of several things of a kind the surest
    count; a relation must hold between all that count; detections from 0.3 on, to count things from 0.9 on."""
    least = 0.9 if asked["tag"] == "counting" else 0.3
    groups: list[list[Found] | None] = []
    there, wrong = True, []
    for group in asked["include"]:
        kind, count = group["class"], group["count"]
        things = surest(kind, found, least)[:count]
        if len(things) < count:
            there = False
            wrong.append(f"{len(things)} {kind} of {count}")
            groups.append(None)
            continue
        groups.append(things)
        if "position" in group:
            relation, other = group["position"]
            target = groups[other]
            if target is None:
                wrong.append(f"nothing for the {kind} to be {relation}")
            elif not all(holds(relation, one.box, another.box) for one in things for another in target):
                wrong.append(f"{kind} not {relation} {asked['include'][other]['class']}")
    for group in asked.get("exclude", []):
        many = len(surest(group["class"], found, least))
        if many >= group["count"]:
            wrong.append(f"{many} {group['class']}, less than {group['count']} asked")
    return Verdict(there, not wrong, "; ".join(wrong) or "as asked", float(not wrong))


def visor(asked: dict, found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    """VISOR's: the middles of both boxes, along the axis of the relation alone; detections from 0.1 on. (Section 3 of
    its paper; its code reads these verdicts from a file.)"""
    pair = [surest(asked[role], found, 0.1)[:1] for role in ("subject", "object")]
    missing = [asked[role] for role, things in zip(("subject", "object"), pair, strict=True) if not things]
    if missing:
        return Verdict(False, False, f"no {' and no '.join(missing)}", 0.0)
    (ax, ay), (bx, by) = (middle(things[0]) for things in pair)
    right = {"left of": ax < bx, "right of": ax > bx, "above": ay < by, "below": ay > by}[asked["relation"]]
    said = f"{asked['subject']} {'' if right else 'not '}{asked['relation']} {asked['object']}"
    return Verdict(True, right, said, float(right))


def t2i_compbench(asked: dict, found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    """T2I-CompBench's 2D spatial score (UniDet_eval/2D_spatial_eval.py): half of how sure both detections are, half of
    how they lie; below 0.5 it is nothing. Detections from 0.5 on, in px of a picture of 480 px. Right: the whole half
    of how they lie."""
    width, height = size
    scale = min(479 / min(width, height), 480 / max(width, height))
    pair = [surest(kind, found, 0.5)[:1] for kind in asked["things"]]
    sure = sum(0.25 * things[0].confidence for things in pair if things)
    missing = [kind for kind, things in zip(asked["things"], pair, strict=True) if not things]
    if missing:
        return Verdict(False, False, f"no {' and no '.join(missing)}", sure if sure >= 0.5 else 0.0)
    place = t2i_place(asked["locality"], *(tuple(scale * side for side in things[0].box) for things in pair))
    score = sure + place / 2
    said = f"{asked['things'][0]} {asked['locality']} {asked['things'][1]}: place {place:.2f}"
    return Verdict(True, place == 1, said, score if score >= 0.5 else 0.0)


def t2i_place(locality: str, a: Sequence[float], b: Sequence[float]) -> float:
    """0 to 1 (`determine_position`): 0.1/IoU where boxes overlap by more than that, and 150 px are near."""
    right, down = ((a[axis] + a[axis + 2] - b[axis] - b[axis + 2]) / 2 for axis in (0, 1))
    if locality in ASIDE:
        far = max(abs(right), abs(down))
        return 1.0 if min(abs(right), abs(down)) < 150 else 150 / far
    along = {"on the left of": -right, "on the right of": right, "on the top of": -down, "on the bottom of": down}
    if locality not in along:
        return 0.0
    across = abs(down) if locality in ("on the left of", "on the right of") else abs(right)
    if not along[locality] > across:
        return 0.0
    shared = [max(0.0, min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis])) for axis in (0, 1)]
    common = shared[0] * shared[1]
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common
    overlap = common / both
    return 1.0 if overlap < 0.1 else 0.1 / overlap


def geneval2(asked: dict, found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    """GenEval 2's questions about places, each by GenEval's rule on boxes, from 0.3 on, in place of a language model's
    answer. "In front of" and "behind" cannot be told from boxes and are not among those asked. score: of the questions
    that are answered with yes."""
    right, said, there = 0, [], True
    for subject, relation, object in asked["atoms"]:
        groups = [surest(kind, found, 0.3)[: asked["counts"].get(kind, 1)] for kind in (subject, object)]
        if not all(groups):
            there = False
            said.append(f"no {subject if not groups[0] else object}")
            continue
        good = all(holds(relation, one.box, other.box) for one in groups[0] for other in groups[1])
        right += good
        said.append(f"{subject} {'' if good else 'not '}{relation} {object}")
    many = len(asked["atoms"])
    return Verdict(there, right == many, "; ".join(said), right / many, (right, many))


def strict(asked: dict, found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    """All that the prompt wishes at once, each by GenEval's rule: the same thing counts in all of them. What boxes
    cannot tell is not granted. Detections from 0.3 on."""
    said = judge([one for one in found if one.confidence > 0.3], parse(asked["text"]).wishes)
    right = sum(verdict.granted is True for verdict in said)
    there = all(bool(verdict.there) for verdict in said)
    reason = "; ".join(verdict.reason for verdict in said)
    return Verdict(there, right == len(said), reason, right / len(said), (right, len(said)))


Rule = Callable[[dict, Sequence[Found], tuple[int, int]], Verdict]
RULES: dict[str, Rule] = {
    "geneval": geneval,
    "visor": visor,
    "t2i-compbench": t2i_compbench,
    "geneval2": geneval2,
    "strict": strict,
}


def surest(kind: str, found: Sequence[Found], least: float) -> list[Found]:
    """All of this kind above a confidence, the surest first, at most 16 (GenEval's MAX_OBJECTS)."""
    names = singulars(COCO.get(kind, kind))
    things = [one for one in found if one.confidence > least and singulars(one.name) & names]
    return sorted(things, key=lambda one: -one.confidence)[:16]


def middle(thing: Found) -> tuple[float, float]:
    left, top, right, bottom = thing.box
    return (left + right) / 2, (top + bottom) / 2


def visor_numbers(pictures: Sequence[tuple[str, bool, bool]]) -> dict[str, float]:
    """VISOR's table, in shares. pictures: (prompt, there, right) of each; VISOR-n: of prompts with n right pictures or
    more."""
    of_prompt: dict[str, int] = {}
    for text, _, right in pictures:
        of_prompt[text] = of_prompt.get(text, 0) + right
    there = sum(there for _, there, _ in pictures)
    right = sum(right for *_, right in pictures)
    numbers = {"OA": there / len(pictures), "uncond": right / len(pictures), "cond": right / max(there, 1)}
    at_least = {f"{n}": sum(count >= n for count in of_prompt.values()) / len(of_prompt) for n in range(1, 5)}
    return numbers | at_least


# --- Prompts ----------------------------------------------------------------------------------------------------------


def read(source: str, rule: str | None = None, kinds: Sequence[str] | None = None) -> list[Prompt]:
    """The prompts of a benchmark by its name, or of a file. rule: that judges them, when it is not to be guessed from
    the file; kinds: that the detector knows, of which "multi" draws its things.

    Raises ValueError where there is no such file, or a line of it is not as the rule wants it.
    """
    if source == "geneval":
        return _geneval((FOLDER / "geneval.jsonl").read_text().splitlines())
    if source == "visor":
        return _visor()
    if source == "multi":
        return _multi(kinds or coco_kinds())
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"There are no prompts {source!r}. Choose {', '.join(NAMED)}, or give the path of a file.")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{source} is empty. Write one prompt a line.")
    try:
        return READERS[rule or guess(lines)](lines)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{source} is not a file of the benchmark {rule or guess(lines)} ({error!r}). Give its own file, or choose "
            f"another --rule: {', '.join(READERS)}."
        ) from None


def guess(lines: Sequence[str]) -> str:
    """The rule that a file's lines are written for."""
    if lines[0].startswith("{"):
        return "geneval2" if "vqa_list" in lines[0] else "geneval"
    return "t2i-compbench" if all(map(_as_t2i, lines)) else "strict"


def chosen(
    prompts: Sequence[Prompt], tasks: Sequence[str] | None, kinds: Sequence[str] | None, most: int | None
) -> tuple[list[Prompt], str]:
    """Those of some tasks (None: all) whose things the detector knows (None: any), at most so many a task, drawn by
    chance but always the same ones. And what was left out, a sentence.

    Raises ValueError for a task that there is not, and where nothing is left.
    """
    known = sorted({prompt.task for prompt in prompts})
    if unknown := [task for task in tasks or () if task not in known]:
        raise ValueError(f"These prompts have no task {unknown[0]!r}, only {', '.join(known)}.")
    wanted = [prompt for prompt in prompts if not tasks or prompt.task in tasks]
    names = None if kinds is None else set().union(*map(singulars, kinds))
    left = [p for p in wanted if names is None or all(singulars(COCO.get(t, t)) & names for t in p.things)]
    if not left:
        raise ValueError("The detector knows the things of none of these prompts. Choose other prompts or another one.")
    said = f"{len(wanted) - len(left)} prompts have things that the detector does not know." if left != wanted else ""
    if most:
        rng = random.Random(SPREAD)
        kept = []
        for task in known:
            of_task = [number for number, prompt in enumerate(left) if prompt.task == task]
            kept += rng.sample(of_task, min(most, len(of_task)))
        left = [left[number] for number in sorted(kept)]
    return left, said


def coco_kinds() -> list[str]:
    """COCO's 80, in alphabetical order."""
    asked = map(json.loads, (FOLDER / "geneval.jsonl").read_text().splitlines())
    names = {group["class"] for one in asked for group in one["include"]}
    return sorted(COCO.get(name, name) for name in names)


def _geneval(lines: Sequence[str]) -> list[Prompt]:
    """What boxes can judge; prompts about colours are left out."""
    every = [json.loads(line) for line in lines]
    asked = [one for one in every if not any("color" in group for group in one["include"])]
    return [
        Prompt(one["prompt"], "geneval", one["tag"], one, tuple(group["class"] for group in one["include"]))
        for one in asked
    ]


def _visor() -> list[Prompt]:
    """All ordered pairs of COCO's kinds in four relations, the 25,280 spatial prompts of VISOR."""
    kinds = coco_kinds()
    return [
        Prompt(
            f"{_article(a)} {a} {way} {_article(b)} {b}", "visor", "visor",
            {"subject": a, "relation": relation, "object": b}, (a, b),
        )
        for a in kinds
        for b in kinds
        if a != b
        for way, relation in VISOR_WAYS.items()
    ]  # fmt: skip


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


def _multi(kinds: Sequence[str]) -> list[Prompt]:
    """Two and three relations in one prompt, 100 of each, drawn from pairs of different kinds."""
    rng, prompts = random.Random(SPREAD), {}
    names = [kind for kind in kinds if phrase(kind) != kind]  # "skis" and "scissors" have no article
    for count, task in ((2, "two relations"), (3, "three relations")):
        while sum(prompt.task == task for prompt in prompts.values()) < 100:
            things, relations = rng.sample(names, count + 1), rng.choices(STRAIGHT, k=count)
            text = "a photo of " + phrase(things[0])
            text += "".join(f" {r} {phrase(thing)}" for r, thing in zip(relations, things[1:], strict=True))
            prompts[text] = Prompt(text, "strict", task, {"text": text}, tuple(things))
    return list(prompts.values())


def _as_t2i(line: str) -> re.Match | None:
    return re.fullmatch(rf"an? (\w+) ({'|'.join(LOCALITIES)}) an? (\w+)\.?", line.strip())


def _t2i(lines: Sequence[str]) -> list[Prompt]:
    prompts = []
    for line in lines:
        match = _as_t2i(line)
        if not match:
            raise ValueError(f'T2I-CompBench has no prompt like "{line}". Its file is spatial_val.txt.')
        things = ["person" if name in PEOPLE else name for name in (match[1], match[3])]
        asked = {"things": things, "locality": match[2]}
        prompts.append(Prompt(line.strip(), "t2i-compbench", "spatial", asked, tuple(things)))
    return prompts


def _geneval2(lines: Sequence[str]) -> list[Prompt]:
    """Prompts with a question about a place that boxes can tell."""
    prompts = []
    for one in map(json.loads, lines):
        questions = list(zip(one["vqa_list"], one["skills"], strict=True))
        counts = {
            found[1]: NUMBERS.index(number)
            for (question, number), skill in questions
            if skill == "count" and (found := re.fullmatch(r"How many (.+) are in the image\?", question))
        }
        of = {name: (kind, count) for kind, count in counts.items() for name in singulars(kind)}
        atoms = []
        for (question, _), skill in questions:
            match = re.fullmatch(rf"(?:Is|Are) the (.+?) ({'|'.join(GENEVAL2_WAYS)}) the (.+)\?", question)
            if skill == "position" and match:
                relation = GENEVAL2_WAYS[match[2]]
                if RELATIONS[relation].visible:
                    atoms.append([match[1], relation, match[3]])
        if atoms:
            kinds = sorted({kind for subject, _, object in atoms for kind in (subject, object)})
            many = {kind: of.get(kind, (kind, 1))[1] for kind in kinds}
            asked = {"atoms": atoms, "counts": many}
            prompts.append(Prompt(one["prompt"], "geneval2", "position", asked, tuple(kinds)))
    return prompts


def _strict(lines: Sequence[str]) -> list[Prompt]:
    prompts = []
    for line in map(str.strip, lines):
        wishes = parse(line).wishes
        if not wishes:
            raise ValueError(
                f'No relation is read from "{line}", so nothing can be judged. Write "a dog left of a cat".'
            )
        things = dict.fromkeys(thing.name for wish in wishes for thing in wish.things)
        prompts.append(Prompt(line, "strict", "own prompts", {"text": line}, tuple(things)))
    return prompts


READERS: dict[str, Callable[[Sequence[str]], list[Prompt]]] = {
    "geneval": _geneval,
    "t2i-compbench": _t2i,
    "geneval2": _geneval2,
    "strict": _strict,
}
