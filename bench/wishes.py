"""Each relation that they serve, by the universal reader and by geometry alone: how often it holds, plain and steered.

    python bench/wishes.py --prompts 40 --seed 1

draws as many prompts a relation as told among pairs of kinds that the classifier never saw, makes each picture plain,
steered by the universal reader and by geometry alone, in turns, and lets the detector judge. Writes bench/wishes.json
and bench/wishes.md; with --model flow bench/wishes_flow. Resumes where it was stopped. --trained FILE ... measures
readers of your own too, and writes bench/wishes_trained.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import numpy as np
import torch
from accuracy import CFG, GEOMETRY, MODELS, SAMPLER, UNIVERSAL, Bench, interval
from detector import accuracy, find
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.judge import judge
from learn_to_steer.steering.losses.geometry import GeometryLoss
from learn_to_steer.steering.prompts import parse
from learn_to_steer.steering.relations import RELATIONS
from paths import BENCH, WORK, arguments
from scenes import KINDS, held_out, phrase
from training import write

METHODS = {"plain": None, "steered": UNIVERSAL, "steered, geometry alone": GEOMETRY}


def prompts(relation: str, n: int, seed: int) -> list[str]:
    """Every pair that a prompt names is held out."""
    rng, drawn = np.random.default_rng([seed, list(RELATIONS).index(relation)]), []
    while len(drawn) < n:
        kinds = list(map(str, rng.choice(KINDS, RELATIONS[relation].things, replace=False)))
        if all(frozenset((kinds[0], other)) in held_out() for other in kinds[1:]):
            drawn.append(f"{phrase(kinds[0])} {relation} " + " and ".join(map(phrase, kinds[1:])))
    return drawn


def judged(bench: Bench, picture: torch.Tensor, text: str) -> tuple[bool, bool]:
    """Are all things there, and does the relation hold?"""
    (things,) = find(picture, bench.detector)
    (verdict,) = judge([thing.found() for thing in things.values()], parse(text).wishes)
    return bool(verdict.there), bool(verdict.granted)


def rows(done: dict[str, dict], methods: Iterable[str]) -> list[dict]:
    """One row a relation and method, from the single pictures' records."""
    table = []
    for relation in RELATIONS:
        for method in methods:
            records = [r for r in done.values() if (r["relation"], r["method"]) == (relation, method)]
            if records:
                n, right = len(records), sum(r["right"] for r in records)
                there = round(sum(r["there"] for r in records) / n, 3)
                table.append({
                    "relation": relation, "method": method, "n": n, "all_things": there,
                    "right": round(right / n, 3), "ci95": interval(right, n),
                })  # fmt: skip
    return table


def markdown(table: list[dict]) -> str:
    lines = ["| relation | method | n | all things | right | 95% |", "|---|---|---|---|---|---|"]
    for r in table:
        right = f"**{r['right']:.3f}** | {r['ci95'][0]:.3f}-{r['ci95'][1]:.3f}"
        lines.append(f"| {r['relation']} | {r['method']} | {r['n']} | {r['all_things']:.3f} | {right} |")
    return "\n".join(lines) + "\n"


def main(given: list[str] | None = None) -> None:
    given = sys.argv[1:] if given is None else given
    parser = arguments(__doc__)
    parser.add_argument("--prompts", type=int, default=40, help="of each relation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=25, help="sampling steps")
    parser.add_argument("--relations", nargs="+", choices=GeometryLoss().relations, default=GeometryLoss().relations)
    parser.add_argument("--model", choices=MODELS, default="unet")
    parser.add_argument("--trained", nargs="+", type=Path, default=[], metavar="FILE", help="other classifiers")
    args = parser.parse_args(given)
    command = " ".join(["python bench/wishes.py", *given])
    bench = Bench(args.into, Steering(), args.steps, args.trained, args.model)
    settings = {
        "seed": args.seed, "steps": args.steps, "cfg": CFG, "sampler": SAMPLER, "scheduler": bench.scheduler,
        "detector_exact": accuracy(args.into),
    }  # fmt: skip
    methods = METHODS | bench.own
    name = ("wishes_trained" if args.trained else "wishes") + ("" if args.model == "unet" else f"_{args.model}")
    log = args.into / WORK / f"{name}-{args.seed}.json"
    kept = json.loads(log.read_text()) if log.exists() else {}
    done: dict[str, dict] = kept["done"] if kept.get("settings") == settings else {}
    with torch.inference_mode():
        for relation in args.relations:
            for index, text in enumerate(prompts(relation, args.prompts, args.seed)):
                for method, loss in methods.items():
                    key = f"{relation} {index} {method}"
                    if key not in done:
                        picture, _, _ = bench.picture(text, args.seed * 100000 + index, loss)
                        there, right = judged(bench, picture, text)
                        done[key] = {
                            "relation": relation, "method": method, "prompt": text, "there": there, "right": right,
                        }  # fmt: skip
            write(lambda path: path.write_text(json.dumps({"settings": settings, "done": done})), log)
            print(f"{relation}: {args.prompts}", flush=True)
    table = rows(done, methods)
    print(markdown(table))
    results = {"command": command, "settings": settings, "rows": table}
    write(lambda path: path.write_text(json.dumps(results, indent=1) + "\n"), args.into / BENCH / f"{name}.json")
    write(lambda path: path.write_text(f"`{command}`\n\n{markdown(table)}"), args.into / BENCH / f"{name}.md")


if __name__ == "__main__":
    main()
