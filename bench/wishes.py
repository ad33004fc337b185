"""Each relation that they serve, by the universal reader and by geometry alone: how often it holds, plain and steered.

    python bench/wishes.py --prompts 40 --seed 1

draws as many prompts a relation as told among pairs of kinds that the classifier never saw (for a place in the picture,
of one kind; for a row, of four things from left to right), makes each picture plain, steered by the universal reader
and by geometry alone, in turns, and lets the detector judge. Writes bench/wishes.json and bench/wishes.md; with --model
flow bench/wishes_flow. Resumes where it was stopped. --trained FILE ... measures readers of your own too, and writes
bench/wishes_trained.
"""

import json
import shlex
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import numpy as np
import torch
from accuracy import CFG, GEOMETRY, MODELS, SAMPLER, UNIVERSAL, Bench, interval, tabled
from detector import accuracy
from learn_to_steer.steering.guidance import Steering
from learn_to_steer.steering.losses.geometry import GeometryLoss
from learn_to_steer.steering.relations import RELATIONS
from paths import BENCH, WORK, arguments
from scenes import KINDS, held_out, phrase
from training import write

PLACED = {
    "left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
    "centre": "in the centre", "upper left": "in the upper left corner", "upper right": "in the upper right corner",
    "lower left": "in the lower left corner", "lower right": "in the lower right corner",
}  # fmt: skip
ROW = "row of four"
ASKED = (*GeometryLoss().relations, ROW)
METHODS = {"plain": None, "steered": UNIVERSAL, "steered, geometry alone": GEOMETRY}


def prompts(relation: str, n: int, seed: int) -> list[str]:
    """Every pair that a prompt names is held out."""
    rng = np.random.default_rng([seed, [*RELATIONS, ROW].index(relation)])
    drawn: list[str] = []
    while len(drawn) < n:
        kinds = list(map(str, rng.choice(KINDS, 4 if relation == ROW else RELATIONS[relation].things, replace=False)))
        pairs = pairwise(kinds) if relation == ROW else ((kinds[0], other) for other in kinds[1:])
        if all(frozenset(pair) in held_out() for pair in pairs):
            drawn.append(sentence(relation, *map(phrase, kinds)))
    return drawn


def sentence(relation: str, subject: str, *objects: str) -> str:
    if relation == ROW:
        return f"from left to right: {', '.join([subject, *objects[:-1]])} and {objects[-1]}"
    return f"{subject} {PLACED.get(relation, relation)} {' and '.join(objects)}".rstrip()


def rows(done: dict[str, dict], methods: Iterable[str]) -> list[dict]:
    """One row a relation and method, from the single pictures' records."""
    table = []
    for relation in ASKED:
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
    lines = []
    for r in table:
        right = f"**{r['right']:.3f}** | {r['ci95'][0]:.3f}-{r['ci95'][1]:.3f}"
        lines.append(f"| {r['relation']} | {r['method']} | {r['n']} | {r['all_things']:.3f} | {right} |")
    return tabled(("relation", "method", "n", "all things", "right", "95%"), lines)


def main(given: list[str] | None = None) -> None:
    given = sys.argv[1:] if given is None else given
    parser = arguments(__doc__)
    parser.add_argument("--prompts", type=int, default=40, help="of each relation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=25, help="sampling steps")
    parser.add_argument("--relations", nargs="+", choices=ASKED, default=ASKED)
    parser.add_argument("--model", choices=MODELS, default="unet")
    parser.add_argument("--trained", nargs="+", type=Path, default=[], metavar="FILE", help="other classifiers")
    args = parser.parse_args(given)
    command = f"python bench/wishes.py {shlex.join(given)}"
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
                        there, right = bench.judged(picture, text)
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
