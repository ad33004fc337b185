"""Plain against steered, with figures.

    python bench/accuracy.py --prompts 200 120 60 --seed 2

draws one, two and three relations (as many prompts of each as told) among pairs of kinds that the classifier never
saw, every GenEval position prompt that the kinds cover first; makes each picture plain, steered by the universal reader
of places, by the model's own classifier and its control, by geometry, by InfSplign's loss, as InfSplign and
Learn-to-Steer were published, with words bound to regions, plain and steered, the best of four by the judge, and
steered only where the judge finds it wrong, in turns, through ComfyUI's sampling; and lets the detector judge. What is
only for comparison is made for fewer of the prompts (--all: for all). Writes bench/results.json, bench/results.md and
bench/results_wrong.png, the steered pictures that are wrong; with --model flow, of the second model,
bench/results_flow and so on. Resumes where it was stopped. --tuning draws from pairs that the classifier knows, and
writes nothing. --trained FILE ... measures classifiers of your own too, and writes bench/trained.
"""

import argparse
import json
import math
import shlex
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import comfy.sample
import numpy as np
import torch
from detector import accuracy, detector, find
from learn_to_steer.nodes import demo_model
from learn_to_steer.nodes.host.binding import bind
from learn_to_steer.nodes.host.capture import model_layers
from learn_to_steer.nodes.host.marks import mark
from learn_to_steer.nodes.host.sampling import steer
from learn_to_steer.nodes.host.words import find_words
from learn_to_steer.nodes.judge import NOISE as LOOKS_AT
from learn_to_steer.nodes.judge import TARGET, by_look
from learn_to_steer.nodes.regions import END
from learn_to_steer.steering.guidance import MANNERS, NOISE, PUBLISHED, SHARING, Steering
from learn_to_steer.steering.judge import Verdict, best, failing, judge
from learn_to_steer.steering.losses import Aim, Loss
from learn_to_steer.steering.losses.geometry import GeometryLoss
from learn_to_steer.steering.losses.infsplign import InfSplignLoss
from learn_to_steer.steering.losses.trained import load as trained_loss
from learn_to_steer.steering.maps import MapSettings
from learn_to_steer.steering.pictures import as_pictures
from learn_to_steer.steering.plan import plan
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.report import Report
from learn_to_steer.steering.words import Words
from paths import BENCH, CLASSIFIERS, WEIGHTS, WORK, arguments
from PIL import Image, ImageDraw, ImageFont
from scenes import GENEVAL, KINDS, RELATIONS, held_out, phrase, relation_prompt
from training import write

TASKS = ("one relation", "two relations", "three relations")
GEOMETRY, INFSPLIGN, INFSPLIGN_PUBLISHED = "geometry", "infsplign", "infsplign published"
BEST, ONLY_WRONG = "best", "only wrong"  # plain pictures that the judge looks at by the classifier
OWN, CONTROL, UNIVERSAL = "own", "control", "universal"
METHODS = {
    "plain": None,
    "steered": UNIVERSAL,
    "steered, own classifier": OWN,
    "steered, true prompts only": CONTROL,
    "steered, geometry alone": GEOMETRY,
    "steered, InfSplign's loss": INFSPLIGN,
    "steered, InfSplign's loss as published": INFSPLIGN_PUBLISHED,
    "InfSplign, as published": INFSPLIGN_PUBLISHED,
    "published settings": OWN,
    "regions": None,
    "regions with steering": UNIVERSAL,
    "best of 4 by the judge": BEST,
    "steer only failures": ONLY_WRONG,
}
AS_PUBLISHED = {  # methods with settings of their own
    "published settings": Steering(end=0.5, refinements=16, target=0.9999, sharing="round-robin", manner=PUBLISHED),
    "InfSplign, as published": Steering(end=1.0, target=0.9999, manner=NOISE),
}
SHOWN = "steered"  # the method whose wrong pictures are kept
BOUND = ("regions", "regions with steering")  # methods that bind words to planned regions
SELDOM = {  # what is only for comparison, or too slow for every prompt, is made for one in so many
    "steered, own classifier": 2,
    "steered, geometry alone": 2,
    "steered, true prompts only": 10,
    "steered, InfSplign's loss": 10,
    "steered, InfSplign's loss as published": 10,
    "InfSplign, as published": 10,
    "regions": 20,
    "regions with steering": 20,
    "best of 4 by the judge": 20,
    "steer only failures": 20,
    "published settings": 40,
}
CFG, SAMPLER = 5.0, "euler"
MODELS = {  # how each is loaded, its scheduler, its own classifier
    "unet": (demo_model.load, "normal", "emoji_world"),
    "flow": (demo_model.load_flow, "simple", "emoji_flow"),
}


def prompts(task: str, n: int, seed: int, tuning: bool) -> list[tuple[str, list[str], list[str]]]:
    """(text, kinds, relations between neighbours); every pair of neighbours is held out, or none is when tuning."""
    rng = np.random.default_rng([seed, TASKS.index(task), tuning])
    drawn = []
    if task == "one relation" and not tuning:
        drawn = [(f"a photo of {phrase(a)} {r} {phrase(b)}", [a, b], [r]) for a, r, b in GENEVAL[:n]]
    while len(drawn) < n:
        kinds = list(map(str, rng.choice(KINDS, TASKS.index(task) + 2, replace=False)))
        known = [frozenset(pair) not in held_out() for pair in zip(kinds, kinds[1:], strict=False)]
        if all(known) if tuning else not any(known):
            relations = list(map(str, rng.choice(RELATIONS, len(kinds) - 1)))
            drawn.append((str(relation_prompt(rng, kinds, relations)), kinds, relations))
    return drawn


class Bench:
    """One of the demo models, its losses and the detector; makes and judges pictures.

    root: the repository, or a folder that they were trained into; steps: sampling steps; trained: files of other
    classifiers, each a method of its own.
    """

    def __init__(self, root: Path, steering: Steering, steps: int, trained: Sequence[Path] = (), model: str = "unet"):
        self.own = {f"steered, {path.stem}": str(path) for path in trained}
        self.methods = METHODS | self.own
        load_model, self.scheduler, own = MODELS[model]
        self.model, self.clip, self.vae = load_model(root / WEIGHTS)
        self.detector = detector(root)
        self.negative = self.encode("")
        self.steering, self.steps = steering, steps
        self.layers = model_layers(self.model)
        files = {OWN: own, CONTROL: f"{own}_true_prompts", UNIVERSAL: "universal"}
        self.losses: dict[str, Loss] = {}
        self.leak = {}  # what the files say of how rightly they read held-out pairs
        for name, file in files.items():
            self.losses[name], notes = trained_loss(root / CLASSIFIERS / f"{file}.safetensors", self.layers)
            self.leak[file] = notes["accuracy"]
        self.losses[GEOMETRY] = GeometryLoss()
        self.losses[INFSPLIGN] = InfSplignLoss(self.layers)
        self.losses[INFSPLIGN_PUBLISHED] = InfSplignLoss(self.layers, published=True)
        self.losses |= {str(path): trained_loss(path, self.layers)[0] for path in trained}

    def encode(self, text: str):
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def picture(
        self, text: str, seed: int, loss: str | None, bound: bool = False, steering: Steering | None = None
    ) -> tuple[torch.Tensor, float, Report]:
        """One picture (1, H, W, 3), the seconds of its sampling, and the steering's report. bound: to regions;
        steering: other than all have."""
        if loss in (BEST, ONLY_WRONG):
            samples, seconds, report = self.by_judge(text, seed, 4 if loss == BEST else 1, loss == ONLY_WRONG)
        else:
            samples, seconds, report = self.samples(text, seed, loss, bound, steering=steering)
        return self.vae.decode(samples), seconds, report

    def by_judge(self, text: str, seed: int, count: int, again: bool) -> tuple[torch.Tensor, float, Report]:
        """The best of so many plain pictures, steered when it is wrong if `again`; the judge's look counts as time."""
        samples, seconds, report = self.samples(text, seed, None, count=count)
        began = time.perf_counter()
        said = self.look(text, samples)
        seconds += time.perf_counter() - began
        if again and failing(said):
            samples, more, report = self.samples(text, seed, OWN)
            return samples, seconds + more, report
        chosen = best(said)
        return samples[chosen : chosen + 1], seconds, report

    def look(self, text: str, samples: torch.Tensor, loss: str = OWN) -> list[list[Verdict]]:
        """What the judge says of finished latents by a loss, when it has no boxes."""
        words = find_words(self.clip, text, parse(text).wishes)
        aim = self.aim(loss, words)
        said, _ = by_look(samples, self.model, mark(self.encode(text), text), aim, words, TARGET, LOOKS_AT)
        return said

    def aim(self, loss: str, words: Words) -> Aim:
        return Aim(self.losses[loss], words, MapSettings().layout(self.layers, self.losses[loss].layout))

    def samples(
        self,
        text: str,
        seed: int,
        loss: str | None,
        bound: bool = False,
        count: int = 1,
        steering: Steering | None = None,
    ) -> tuple[torch.Tensor, float, Report]:
        """Finished latents, the seconds of their sampling, and the steering's report. bound: to regions."""
        report, model = Report(), self.model
        positive = mark(self.encode(text), text)
        began = time.perf_counter()
        words = find_words(self.clip, text, parse(text).wishes)
        if bound:
            model = bind(model, words, plan(words), END, 1.0)
        if loss:
            model = steer(model, self.aim(loss, words), steering or self.steering, report)
        latent = torch.zeros(count, 8, 16, 16)
        noise = comfy.sample.prepare_noise(latent, seed)
        settings = (self.steps, CFG, SAMPLER, self.scheduler)
        samples = comfy.sample.sample(
            model, noise, *settings, positive, self.negative, latent, seed=seed, disable_pbar=True
        )
        return samples, time.perf_counter() - began, report

    def judged(self, picture: torch.Tensor, text: str) -> tuple[bool, bool]:
        """Are all objects there, and is every wish granted (never when one is missing)?"""
        (things,) = find(picture, self.detector)
        whole = 0, 0, picture.shape[2], picture.shape[1]
        said = judge([thing.found() for thing in things.values()], parse(text).wishes, whole)
        return all(verdict.there for verdict in said), all(bool(verdict.granted) for verdict in said)


def interval(hits: int, n: int) -> list[float]:
    """Wilson's 95% interval of a rate."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [abs(round((middle + sign * half) / (1 + z * z / n), 3)) for sign in (-1, 1)]


def rows(done: dict[str, dict], methods: Iterable[str]) -> list[dict]:
    """One row per task and method, from the single pictures' records. Time is compared with the plain pictures of the
    same prompts that were made in the same go, since a machine is not always equally fast."""
    table = []
    for task in TASKS:
        plain = of_method(done, "plain")
        for method in methods:
            made = {number: r for number, r in of_method(done, method).items() if r["task"] == task}
            if not made:
                continue
            records = list(made.values())
            pairs = [(r, plain[number]) for number, r in made.items() if number in plain]
            beside = [(r, usual) for r, usual in pairs if r["go"] == usual["go"]]
            n, right = len(records), sum(r["right"] for r in records)
            there = sum(r["there"] for r in records)
            seconds = sum(r["seconds"] for r in records) / n
            table.append({
                "task": task, "method": method, "n": n,
                "both_present": round(there / n, 3), "both_present_ci95": interval(there, n),
                "relation_correct": round(right / n, 3), "ci95": interval(right, n),
                "correct_where_present": round(right / max(there, 1), 3),
                "seconds_per_image": round(seconds, 3),
                "time_ratio": ratio(beside),
                "gradient_steps": round(sum(r["gradient_steps"] for r in records) / n, 2),
            })  # fmt: skip
    return table


def ratio(beside: list[tuple[dict, dict]]) -> float:
    """How often the time of the second ones the first ones took."""
    seconds = [sum(record["seconds"] for record in records) for records in zip(*beside, strict=True)]
    return round(seconds[0] / seconds[1], 2) if seconds else math.nan


def of_method(done: dict[str, dict], method: str) -> dict[str, dict]:
    """A method's records by task and number of the prompt: one prompt can be drawn twice."""
    return {key.removesuffix(f" {method}"): r for key, r in done.items() if r["method"] == method}


def sheet(done: dict[str, dict], folder: Path) -> Image.Image:
    """The wrong pictures of a folder, the prompt, and why each is wrong."""
    side, line, across = 192, 16, 6
    paths = sorted(folder.glob("*.png"))
    font = ImageFont.load_default(11)
    page = Image.new("RGB", (across * side, max(1, -(-len(paths) // across)) * (side + 4 * line)), "white")
    draw = ImageDraw.Draw(page)
    for number, path in enumerate(paths):
        task, index = path.stem.split("-")
        record = done[f"{TASKS[int(task)]} {int(index)} {SHOWN}"]
        x, y = number % across * side, number // across * (side + 4 * line)
        page.paste(Image.open(path).resize((side - 8, side - 8), Image.Resampling.NEAREST), (x, y))
        words = textwrap.wrap(record["prompt"].removeprefix("a photo of "), 32)[:3]
        draw.multiline_text((x, y + side - 6), "\n".join([*words, cause(record)]), "black", font, spacing=2)
    return page


def believed(report: Report, target: float) -> bool | None:
    """Did the loss, at its last look, take all wishes for granted? None where it did not look."""
    return bool((report.seen[-1].after.satisfaction >= target).all()) if report.seen else None


def cause(record: dict) -> str:
    """Why a picture is wrong."""
    if not record["there"]:
        return "a thing is missing"
    return {True: "wrong, and taken for right", False: "wrong, and known to be", None: "wrong"}[record["believed"]]


def colours(picture: torch.Tensor) -> list[float]:
    """The shares of eight levels of red, green and blue, one after another. picture: (1, H, W, 3)."""
    return torch.cat([torch.histc(one, 8, 0, 1) / one.numel() for one in picture[0].movedim(-1, 0)]).tolist()


def apart(one: dict, other: dict) -> float:
    """How much of the colours of two pictures is not the same, 0 to 1."""
    return sum(abs(a - b) for a, b in zip(one["colours"], other["colours"], strict=True)) / 6


def side_effects(done: dict[str, dict], methods: Iterable[str]) -> list[dict]:
    """One row a method, over all tasks: what becomes of the pictures that plain has right, and of all pictures'
    colours, beside the plain picture of the same noise. Of "plain" itself: beside that of another prompt."""
    plain = of_method(done, "plain")
    others = list(plain.values())[1:]
    table = []
    for method in methods:
        beside = [(r, plain[number]) for number, r in of_method(done, method).items() if number in plain]
        records = [r for r, _ in beside]
        kept = [r for r, usual in beside if usual["right"]]
        if method == "plain":
            beside = list(zip(records, others, strict=False))
        if not kept or not beside:
            continue
        wrong = [cause(r) for r in records if not r["right"]]
        table.append({
            "method": method, "wrong": {why: wrong.count(why) for why in sorted(set(wrong))}, "right_plain": len(kept),
            "still_right": round(sum(r["right"] for r in kept) / len(kept), 3),
            "untouched": round(sum(r["gradient_steps"] == 0 for r in kept) / len(kept), 3),
            "gradient_steps": round(sum(r["gradient_steps"] for r in kept) / len(kept), 2),
            "colours_apart": round(sum(apart(*pair) for pair in beside) / len(beside), 3),
        })  # fmt: skip
    return table


def tabled(columns: Sequence[str], lines: Iterable[str]) -> str:
    """A table in Markdown. lines: as they are written, with their bars."""
    return "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines]) + "\n"


def kept_markdown(table: list[dict]) -> str:
    columns = ("method", "right plain", "still right", "untouched", "gradient steps", "colours apart", "wrong of all")
    lines = []
    for r in table:
        lines.append(
            f"| {r['method']} | {r['right_plain']} | **{r['still_right']:.3f}** | {r['untouched']:.3f} "
            f"| {r['gradient_steps']:.1f} | {r['colours_apart']:.3f} "
            f"| {', '.join(f'{why}: {count}' for why, count in r['wrong'].items())} |"
        )
    return tabled(columns, lines)


def markdown(table: list[dict]) -> str:
    columns = ("task", "method", "n", "all objects", "relations right", "95%")
    columns += ("right where all objects", "time", "gradient steps")
    lines = []
    for r in table:
        low, high = r["ci95"]
        lines.append(
            f"| {r['task']} | {r['method']} | {r['n']} | {r['both_present']:.3f} | **{r['relation_correct']:.3f}** "
            f"| {low:.3f}-{high:.3f} | {r['correct_where_present']:.3f} "
            f"| {r['time_ratio']:.2f}x ({r['seconds_per_image']:.2f} s) | {r['gradient_steps']:.1f} |"
        )
    return tabled(columns, lines)


def read(given: list[str]) -> tuple[argparse.Namespace, Steering]:
    """The arguments, and the settings of steering among them. Says what is wrong with a value and exits."""
    parser = arguments(__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[200, 120, 60], help="of one, two, three relations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=25, help="sampling steps")
    parser.add_argument("--tuning", action="store_true", help="pairs that the classifier knows; nothing is written")
    parser.add_argument("--model", choices=MODELS, default="unet")
    parser.add_argument("--all", action="store_true", help="all methods for all prompts")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--trained", nargs="+", type=Path, default=[], metavar="FILE", help="other classifiers")
    for name, value in asdict(Steering()).items():
        if isinstance(value, bool):
            parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=value)
        else:
            choices = {"sharing": SHARING, "manner": MANNERS}.get(name)
            parser.add_argument(f"--{name}", type=type(value), choices=choices, default=value)
    args = parser.parse_args(given)
    try:
        return args, Steering(**{name: getattr(args, name) for name in asdict(Steering())})
    except ValueError as error:
        parser.error(str(error))


def main(given: list[str] | None = None) -> None:
    given = sys.argv[1:] if given is None else given
    args, steering = read(given)
    command = f"python bench/accuracy.py {shlex.join(given)}"
    bench = Bench(args.into, steering, args.steps, args.trained, args.model)
    settings = {
        "seed": args.seed, "steps": args.steps, "cfg": CFG, "sampler": SAMPLER, "scheduler": bench.scheduler,
        "steering": asdict(steering), "detector_exact": accuracy(args.into), "tuning": args.tuning,
    }  # fmt: skip
    methods = [*args.methods, *bench.own]
    name = ("trained" if args.trained else "results") + ("" if args.model == "unet" else f"_{args.model}")
    log = args.into / WORK / f"bench-{name}-{args.seed}.json"
    wrong = log.with_name(f"{log.stem}-wrong")
    done: dict[str, dict] = {}
    go = 0
    if log.exists() and not args.tuning:
        kept = json.loads(log.read_text())
        done = kept["done"] if kept["settings"] == settings else {}
        go = 1 + max((record["go"] for record in done.values()), default=-1)
    with torch.inference_mode():
        for method in methods:  # warm up: the first run of everything is slow
            bench.picture("a dog left of a cat", 0, bench.methods[method], method in BOUND, AS_PUBLISHED.get(method))
        for task, n in zip(TASKS, args.prompts, strict=False):
            for index, (text, _, _) in enumerate(prompts(task, n, args.seed, args.tuning)):
                # In turns, and each method first as often as the others: the machine's speed drifts.
                turn = index % len(methods)
                for method in methods[turn:] + methods[:turn]:
                    key = f"{task} {index} {method}"
                    if key in done or not args.all and index % SELDOM.get(method, 1):
                        continue
                    picture, seconds, report = bench.picture(
                        text, args.seed * 100000 + index, bench.methods[method], method in BOUND,
                        AS_PUBLISHED.get(method),
                    )  # fmt: skip
                    there, right = bench.judged(picture, text)
                    if method == SHOWN and not right and not args.tuning:
                        wrong.mkdir(parents=True, exist_ok=True)
                        as_pictures(picture)[0].save(wrong / f"{TASKS.index(task)}-{index:03}.png")
                    done[key] = {
                        "task": task, "method": method, "prompt": text, "there": there, "right": right,
                        "seconds": seconds, "gradient_steps": report.gradient_steps, "go": go,
                        "colours": colours(picture), "believed": believed(report, steering.target),
                    }  # fmt: skip
                if (index + 1) % 10 == 0 and not args.tuning:
                    write(lambda path: path.write_text(json.dumps({"settings": settings, "done": done})), log)
                if (index + 1) % 25 == 0 or index + 1 == n:
                    print(f"{task} {index + 1}/{n}", flush=True)
    table, kept_right = rows(done, bench.methods), side_effects(done, bench.methods)
    text = f"{markdown(table)}\n{kept_markdown(kept_right)}"
    print(text)
    if not args.tuning:
        results = {"command": command, "settings": settings, "rows": table, "kept": kept_right, "leak": bench.leak}
        write(lambda path: path.write_text(json.dumps(results, indent=1) + "\n"), args.into / BENCH / f"{name}.json")
        write(lambda path: path.write_text(f"`{command}`\n\n{text}"), args.into / BENCH / f"{name}.md")
        write(lambda path: sheet(done, wrong).save(path, "png"), args.into / BENCH / f"{name}_wrong.png")


if __name__ == "__main__":
    main()
