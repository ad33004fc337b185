"""How well losses judge finished pictures: their look against the detector's verdict.

    python bench/judges.py --prompts 120 --seed 3

makes a plain picture for each of so many prompts about one relation, of pairs of kinds that no classifier saw, and lets
every loss look at it once, as the Judge node does without boxes. A judge is right where it says what the detector says;
"order" is the share of pairs of a right and a wrong picture of which it is surer of the right one. Writes
bench/judges.json and bench/judges.md; with --model flow bench/judges_flow. --trained FILE ... measures readers of your
own too.
"""

import json
import shlex
import sys
from pathlib import Path

import host  # noqa: F401  makes `comfy` importable

import torch
from accuracy import CONTROL, GEOMETRY, MODELS, OWN, UNIVERSAL, Bench, interval, prompts, tabled
from learn_to_steer.nodes.judge import TARGET
from learn_to_steer.steering.guidance import Steering
from paths import BENCH, arguments
from training import write

JUDGES = {
    "universal reader": UNIVERSAL,
    "own classifier": OWN,
    "true prompts only": CONTROL,
    "geometry alone": GEOMETRY,
}


def rows(right: list[bool], sure: dict[str, list[float]]) -> list[dict]:
    """One row a judge. right: what the detector says of each picture; sure: what each judge says, 0..1."""
    table = []
    for judge, read in sure.items():
        agreed = sum((one >= TARGET) == granted for one, granted in zip(read, right, strict=True))
        of_right = [one for one, granted in zip(read, right, strict=True) if granted]
        of_wrong = [one for one, granted in zip(read, right, strict=True) if not granted]
        ordered = sum((a > b) + (a == b) / 2 for a in of_right for b in of_wrong)
        table.append({
            "judge": judge, "n": len(right), "agrees": round(agreed / len(right), 3),
            "ci95": interval(agreed, len(right)),
            "takes_wrong_for_right": round(sum(one >= TARGET for one in of_wrong) / max(len(of_wrong), 1), 3),
            "takes_right_for_wrong": round(sum(one < TARGET for one in of_right) / max(len(of_right), 1), 3),
            "order": round(ordered / max(len(of_right) * len(of_wrong), 1), 3),
        })  # fmt: skip
    return table


def markdown(table: list[dict]) -> str:
    columns = ("judge", "n", "agrees", "95%", "takes wrong for right", "takes right for wrong", "order")
    lines = []
    for r in table:
        lines.append(
            f"| {r['judge']} | {r['n']} | **{r['agrees']:.3f}** | {r['ci95'][0]:.3f}-{r['ci95'][1]:.3f} "
            f"| {r['takes_wrong_for_right']:.3f} | {r['takes_right_for_wrong']:.3f} | {r['order']:.3f} |"
        )
    return tabled(columns, lines)


def main(given: list[str] | None = None) -> None:
    given = sys.argv[1:] if given is None else given
    parser = arguments(__doc__)
    parser.add_argument("--prompts", type=int, default=120)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25, help="sampling steps")
    parser.add_argument("--model", choices=MODELS, default="unet")
    parser.add_argument("--trained", nargs="+", type=Path, default=[], metavar="FILE", help="other classifiers")
    args = parser.parse_args(given)
    command = f"python bench/judges.py {shlex.join(given)}"
    bench = Bench(args.into, Steering(), args.steps, args.trained, args.model)
    judges = JUDGES | {path.stem: str(path) for path in args.trained}
    right: list[bool] = []
    sure: dict[str, list[float]] = {judge: [] for judge in judges}
    with torch.inference_mode():
        for index, (text, _, _) in enumerate(prompts("one relation", args.prompts, args.seed, tuning=False)):
            samples, _, _ = bench.samples(text, args.seed * 100000 + index, None)
            there, granted = bench.judged(bench.vae.decode(samples), text)
            if not there:
                continue  # what a missing thing's maps say is no relation
            right.append(granted)
            for judge, loss in judges.items():
                ((said,),) = bench.look(text, samples, loss)
                sure[judge].append(said.confidence)
    if not right:
        sys.exit("No picture has all its things, so there is nothing to judge. Give more --prompts or --steps.")
    table = rows(right, sure)
    print(f"{sum(right)} of {len(right)} pictures are right.\n\n{markdown(table)}")
    name = "judges" if args.model == "unet" else f"judges_{args.model}"
    results = {"command": command, "pictures_right": sum(right), "rows": table}
    write(lambda path: path.write_text(json.dumps(results, indent=1) + "\n"), args.into / BENCH / f"{name}.json")
    write(lambda path: path.write_text(f"`{command}`\n\n{markdown(table)}"), args.into / BENCH / f"{name}.md")


if __name__ == "__main__":
    main()
