"""Plain against steered, with figures.

    python bench/accuracy.py --prompts 200 60 30 --seed 1

draws one, two and three relations (as many prompts of each as told) among pairs of kinds that the classifier never
saw, every GenEval position prompt that the kinds cover first; makes each picture plain, steered by the universal reader
of places, by the model's own classifier and its control, by geometry, by InfSplign's loss, as InfSplign and
Learn-to-Steer were published, with words bound to regions, plain and steered, the best of four by the judge, and
steered only where the judge finds it wrong, in turns, through ComfyUI's sampling; and lets the detector judge. The
published settings, at 17 times the time, get every fifth prompt. Writes bench/results.json and bench/results.md; with
--model flow, of the second model, bench/results_flow. Resumes where it was stopped. --tuning draws from pairs that the
classifier knows, and writes nothing. --trained FILE ... measures classifiers of your own too, and writes bench/trained.
"""

import argparse
import json
import math
import sys
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
from learn_to_steer.steering.plan import plan
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.report import Report
from learn_to_steer.steering.words import Words
from paths import BENCH, CLASSIFIERS, WEIGHTS, WORK, arguments
from scenes import GENEVAL, KINDS, RELATIONS, held_out, phrase, relation_prompt
from training import write

TASKS = ("one relation", "two relations", "three relations")
GEOMETRY, INFSPLIGN, INFSPLIGN_PUBLISHED = "geometry", "infsplign", "infsplign published"
UNTRAINED = (GEOMETRY, INFSPLIGN, INFSPLIGN_PUBLISHED)
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
BOUND = ("regions", "regions with steering")  # methods that bind words to planned regions
SELDOM = {"published settings": 5}  # too slow for every prompt: made for one in so many
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

    def look(self, text: str, samples: torch.Tensor) -> list[list[Verdict]]:
        """What the judge says of finished latents when it has no boxes."""
        words = find_words(self.clip, text, parse(text).wishes)
        aim = self.aim(OWN, words)
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
        said = judge([thing.found() for thing in things.values()], parse(text).wishes)
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
        plain = {(r["prompt"], r["go"]): r for r in done.values() if (r["task"], r["method"]) == (task, "plain")}
        for method in methods:
            records = [r for r in done.values() if (r["task"], r["method"]) == (task, method)]
            if not records:
                continue
            beside = [r for r in records if (r["prompt"], r["go"]) in plain]
            usual = sum(plain[r["prompt"], r["go"]]["seconds"] for r in beside)
            n, right = len(records), sum(r["right"] for r in records)
            there = sum(r["there"] for r in records)
            seconds = sum(r["seconds"] for r in records) / n
            table.append({
                "task": task, "method": method, "n": n,
                "both_present": round(there / n, 3), "both_present_ci95": interval(there, n),
                "relation_correct": round(right / n, 3), "ci95": interval(right, n),
                "correct_where_present": round(right / max(there, 1), 3),
                "seconds_per_image": round(seconds, 3),
                "time_ratio": round(sum(r["seconds"] for r in beside) / usual, 2) if beside else math.nan,
                "gradient_steps": round(sum(r["gradient_steps"] for r in records) / n, 2),
            })  # fmt: skip
    return table


def markdown(table: list[dict]) -> str:
    columns = ("task", "method", "n", "all objects", "relations right", "95%")
    columns += ("right where all objects", "time", "gradient steps")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for r in table:
        low, high = r["ci95"]
        lines.append(
            f"| {r['task']} | {r['method']} | {r['n']} | {r['both_present']:.3f} | **{r['relation_correct']:.3f}** "
            f"| {low:.3f}-{high:.3f} | {r['correct_where_present']:.3f} "
            f"| {r['time_ratio']:.2f}x ({r['seconds_per_image']:.2f} s) | {r['gradient_steps']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def read(given: list[str]) -> tuple[argparse.Namespace, Steering]:
    """The arguments, and the settings of steering among them. Says what is wrong with a value and exits."""
    parser = arguments(__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[200, 60, 30], help="of one, two, three relations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=25, help="sampling steps")
    parser.add_argument("--tuning", action="store_true", help="pairs that the classifier knows; nothing is written")
    parser.add_argument("--model", choices=MODELS, default="unet")
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
    command = " ".join(["python bench/accuracy.py", *given])
    bench = Bench(args.into, steering, args.steps, args.trained, args.model)
    settings = {
        "seed": args.seed, "steps": args.steps, "cfg": CFG, "sampler": SAMPLER, "scheduler": bench.scheduler,
        "steering": asdict(steering), "detector_exact": accuracy(args.into), "tuning": args.tuning,
    }  # fmt: skip
    methods = [*args.methods, *bench.own]
    name = ("trained" if args.trained else "results") + ("" if args.model == "unet" else f"_{args.model}")
    log = args.into / WORK / f"bench-{name}-{args.seed}.json"
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
                    if key in done or index % SELDOM.get(method, 1):
                        continue
                    picture, seconds, report = bench.picture(
                        text, args.seed * 100000 + index, bench.methods[method], method in BOUND,
                        AS_PUBLISHED.get(method),
                    )  # fmt: skip
                    there, right = bench.judged(picture, text)
                    done[key] = {
                        "task": task, "method": method, "prompt": text, "there": there, "right": right,
                        "seconds": seconds, "gradient_steps": report.gradient_steps, "go": go,
                    }  # fmt: skip
                if (index + 1) % 10 == 0 and not args.tuning:
                    write(lambda path: path.write_text(json.dumps({"settings": settings, "done": done})), log)
                if (index + 1) % 25 == 0 or index + 1 == n:
                    print(f"{task} {index + 1}/{n}", flush=True)
    table = rows(done, bench.methods)
    print(markdown(table))
    if not args.tuning:
        results = {"command": command, "settings": settings, "rows": table, "leak": bench.leak}
        write(lambda path: path.write_text(json.dumps(results, indent=1) + "\n"), args.into / BENCH / f"{name}.json")
        write(lambda path: path.write_text(f"`{command}`\n\n{markdown(table)}"), args.into / BENCH / f"{name}.md")


if __name__ == "__main__":
    main()
