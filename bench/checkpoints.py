"""Plain against steered on your own checkpoint, by the field's own benchmarks.

    python bench/checkpoints.py --workflow "SDXL - steered" --checkpoint mine.safetensors --rtdetr rtdetr.safetensors \\
        --prompts geneval --into FOLDER

makes every prompt's picture by each method from the same noise, has a detector find its things, judges it by the
benchmark's own rule, and writes pictures, records.jsonl (a line a picture), table.md, table.json, and index.html, a
page to look through. Started again it goes on where it was stopped, however it was stopped; what is finished is never
made again. A picture that fails is recorded with its error (--again tries those once more). --workers shares the
pictures among Ray's workers, --servers among ComfyUI servers that run already.
"""

import argparse
import fcntl
import html
import io
import json
import math
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import host  # noqa: F401  makes `learn_to_steer` importable

import comfyui_version
import numpy as np
import torch
from accuracy import colours, interval, kept_markdown, side_effects
from benchmarks import NAMED, READERS, RULES, Prompt, chosen, coco_kinds, read, visor_numbers
from learn_to_steer.steering.judge import Found
from live_server import Server
from methods import METHODS, USUAL, Methods, opened, sized
from paths import ROOT
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scenes import KINDS
from workers import Here, Job, OverRay, Remote, Work, Worker, share, start_ray, with_scheme

SDXL = "SDXL - steered"
RECORD = "learn-to-steer"  # where a picture holds its record
OF_THE_RUN = ("seconds", "peak_memory", "run", "cold")  # what of a record may be other in another run
WAIT = 3600  # s, for one picture
EVERY = 20  # s, between lines of progress
FUSE = 5  # so many pictures, all failed alike before one was made, end a run: the fault is not the prompts'
GB = 1e9
Key = tuple[str, str, int, str]


# --- The folder -------------------------------------------------------------------------------------------------------


class Folder:
    """Pictures and their records. A picture holds its own record and appears as a whole, so however a run ends,
    nothing is there by half, and what is there is known."""

    def __init__(self, path: Path):
        self.path, self.pictures, self.log = path, path / "pictures", path / "records.jsonl"
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.records: dict[Key, dict] = {}
        self.writing = threading.Lock()  # workers keep theirs at the same time

    @contextmanager
    def alone(self):
        """Nobody else writes here. Raises ValueError where another run does."""
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"Another run writes to {self.path}. Wait for it, or choose another --into.") from None
            self.recover()
            yield

    def recover(self) -> None:
        """Read what is there: whole lines, then pictures whose line was not written any more."""
        text = self.log.read_bytes() if self.log.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            with self.log.open("r+b") as file:
                file.truncate(len(whole))
        for line in whole.splitlines():
            record = json.loads(line)
            self.records[key(record)] = record
        for part in self.pictures.glob("*.part"):
            part.unlink()
        known = {record["picture"] for record in self.records.values()}
        for path in sorted(self.pictures.glob("*.png")):
            if path.name not in known:
                with Image.open(path) as picture:
                    self.append(json.loads(picture.text[RECORD]))

    def keep(self, picture: bytes | None, record: dict) -> None:
        """The picture first, then its record."""
        if picture is not None:
            info = PngInfo()
            info.add_text(RECORD, json.dumps(record))
            path = self.pictures / record["picture"]
            with Image.open(io.BytesIO(picture)) as image, path.with_suffix(".part").open("wb") as file:
                image.save(file, "png", pnginfo=info)
                file.flush()
                os.fsync(file.fileno())
            path.with_suffix(".part").rename(path)
        self.append(record)

    def append(self, record: dict) -> None:
        with self.writing, self.log.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self.records[key(record)] = record

    def settle(self, settings: dict) -> None:
        """Raises ValueError where the folder holds pictures that were made otherwise."""
        path = self.path / "settings.json"
        if path.exists() and any(record["picture"] for record in self.records.values()):
            before = json.loads(path.read_text())
            if other := [name for name in settings if before.get(name) != settings[name]]:
                raise ValueError(
                    f"{self.path} holds pictures that were made otherwise ({', '.join(other)}). Choose another folder "
                    "with --into, or call for what was called there: see its settings.json."
                )
        self.write("settings.json", json.dumps(settings, indent=1) + "\n")

    def write(self, name: str, text: str) -> None:
        part = self.path / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.rename(self.path / name)


def key(record: dict) -> Key:
    return record["rule"], record["prompt"], record["seed"], record["method"]


def name_of(prompt: Prompt, seed: int, method: str) -> str:
    """A file name that people can read and no other picture has."""
    words = re.sub(r"\W+", "-", prompt.text.lower())[:60].strip("-")
    mark = sha256(f"{prompt.rule}\n{prompt.text}".encode()).hexdigest()[:8]
    return f"{words}-{mark}-{seed}-{re.sub(r'[^a-z0-9]+', '-', method.lower())}.png"


def judged(prompt: Prompt, seed: int, method: str, picture: Image.Image, known: dict, run: str, cold: bool) -> dict:
    """The record of a picture."""
    found = [Found(name, tuple(box), sure) for name, sure, *box in known["boxes"]]
    verdict = RULES[prompt.rule](prompt.asked, found, picture.size)
    tensor = torch.from_numpy(np.asarray(picture).copy())[None] / 255
    return {
        "rule": prompt.rule, "task": prompt.task, "prompt": prompt.text, "seed": seed, "method": method,
        "picture": name_of(prompt, seed, method), "size": list(picture.size), "error": None,
        "pixels": sha256(picture.tobytes()).hexdigest()[:16],
        "verdict": asdict(verdict), "asked": prompt.asked, "colours": [round(share, 4) for share in colours(tensor)],
        **known, "run": run, "cold": cold,
    }  # fmt: skip


def failed(prompt: Prompt, seed: int, method: str, error: str, run: str) -> dict:
    return {
        "rule": prompt.rule, "task": prompt.task, "prompt": prompt.text, "seed": seed, "method": method,
        "picture": None, "error": error, "asked": prompt.asked, "run": run,
    }  # fmt: skip


# --- Tables -----------------------------------------------------------------------------------------------------------


def mcnemar(worse: int, better: int) -> float:
    """The exact test, two-sided: how likely are so uneven changes, if right became wrong as easily as wrong right?"""
    changed = worse + better
    tail = sum(math.comb(changed, k) for k in range(min(worse, better) + 1))
    return min(1.0, 2 * tail / 2**changed)


def rows(records: Sequence[dict]) -> list[dict]:
    """One row a task and method. Paired with the plain picture of the same prompt and seed; times with those that the
    same worker made in the same run, without the first of each method, which are slow."""
    table = []
    plain = {(r["task"], r["prompt"], r["seed"]): r for r in records if r["method"] == "plain" and not r["error"]}
    for task, rule in sorted({(r["task"], r["rule"]) for r in records}):
        for method in METHODS:
            every = [r for r in records if (r["task"], r["rule"], r["method"]) == (task, rule, method)]
            those = [r for r in every if not r["error"]]
            if not every:
                continue
            row = {"rule": rule, "task": task, "method": method, "n": len(those), "errors": len(every) - len(those)}
            table.append(row)
            if not those:
                continue
            n, right = len(those), sum(r["verdict"]["right"] for r in those)
            there = sum(r["verdict"]["there"] for r in those)
            pairs = [(r, plain[at]) for r in those if (at := (task, r["prompt"], r["seed"])) in plain]
            worse = sum(p["verdict"]["right"] and not r["verdict"]["right"] for r, p in pairs)
            better = sum(r["verdict"]["right"] and not p["verdict"]["right"] for r, p in pairs)
            parts = [sum(r["verdict"]["parts"][place] for r in those) for place in (0, 1)]
            row |= {
                "there": round(there / n, 3), "right": round(right / n, 3), "ci95": interval(right, n),
                "score": round(sum(r["verdict"]["score"] for r in those) / n, 3),
                "parts": round(parts[0] / parts[1], 3) if rule in ("geneval2", "strict") else None,
                "worse": worse, "better": better, "p": mcnemar(worse, better) if method != "plain" else None,
                "gradient_steps": round(sum(r["gradient_steps"] for r in those) / n, 2),
            }  # fmt: skip
            if rule == "visor":
                row["visor"] = visor_numbers(
                    [(r["prompt"], r["verdict"]["there"], r["verdict"]["right"]) for r in those]
                )
            row |= times(those, pairs)
    return table


def times(those: Sequence[dict], pairs: Sequence[tuple[dict, dict]]) -> dict:
    warm = [r for r in those if not r["cold"]] or those
    beside = [(r, p) for r, p in pairs if r["run"] == p["run"]]
    beside = [(r, p) for r, p in beside if not (r["cold"] or p["cold"])] or beside
    usual = sum(p["seconds"] for _, p in beside)
    memory = [r["peak_memory"] for r in those if r["peak_memory"]]
    return {
        "seconds_per_image": round(sum(r["seconds"] for r in warm) / len(warm), 3),
        "time_ratio": round(sum(r["seconds"] for r, _ in beside) / usual, 2) if usual else None,
        "peak_memory": max(memory) if memory else None,
    }


COLUMNS: dict[str, Callable[[dict], str]] = {
    "task": lambda r: r["task"],
    "method": lambda r: r["method"],
    "n": lambda r: f"{r['n']}",
    "all things": lambda r: f"{r['there']:.3f}",
    "right": lambda r: f"**{r['right']:.3f}**",
    "95%": lambda r: "{:.3f}-{:.3f}".format(*r["ci95"]),
    "score": lambda r: f"{r['score']:.3f}",
    "relations, each": lambda r: "" if r["parts"] is None else f"{r['parts']:.3f}",
    "better, worse": lambda r: "" if r["p"] is None else f"{r['better']}, {r['worse']}",
    "p": lambda r: "" if r["p"] is None else f"{r['p']:.2g}",
    "time": lambda r: ("" if r["time_ratio"] is None else f"{r['time_ratio']:.2f}x ")
    + f"({r['seconds_per_image']:.2f} s)",
    "gradient steps": lambda r: f"{r['gradient_steps']:.1f}",
    "memory": lambda r: "" if r["peak_memory"] is None else f"{r['peak_memory'] / GB:.2f} GB",
    "failed": lambda r: f"{r['errors'] or ''}",
}
ALWAYS = ("task", "method", "n", "failed")  # also where every picture failed


def markdown(table: Sequence[dict]) -> str:
    """For people, and for a paper. A column that says nothing is left out."""
    lines = [{name: cell(r) if r["n"] or name in ALWAYS else "" for name, cell in COLUMNS.items()} for r in table]
    text = tabled([name for name in COLUMNS if any(line[name] for line in lines)], lines)
    if with_visor := [r for r in table if "visor" in r]:
        lines = [{"VISOR": r["method"]} | {n: f"{v:.3f}" for n, v in r["visor"].items()} for r in with_visor]
        text += "\n" + tabled(list(lines[0]), lines)
    return text


def tabled(columns: Sequence[str], lines: Sequence[dict[str, str]]) -> str:
    rest = [[line[name] for name in columns] for line in lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [columns, ["---"] * len(columns), *rest])


def aside(records: Sequence[dict]) -> list[dict]:
    """What methods do beside placing things, as accuracy.py has it; but untouched is what is plain's picture px for px,
    since there are methods here that need no gradient."""
    those = [r for r in records if not r["error"]]
    done = {
        f"{r['rule']} {r['prompt']} {r['seed']} {r['method']}": {
            "task": r["task"], "method": r["method"], "prompt": r["prompt"],
            "right": r["verdict"]["right"], "there": r["verdict"]["there"], "believed": None,
            "gradient_steps": r["gradient_steps"], "colours": r["colours"],
        }
        for r in those
    }  # fmt: skip
    table = side_effects(done, METHODS)
    plain = {(r["task"], r["prompt"], r["seed"]): r for r in those if r["method"] == "plain"}
    for row in table:
        pairs = [(r, plain.get((r["task"], r["prompt"], r["seed"]))) for r in those if r["method"] == row["method"]]
        same = [r["pixels"] == p["pixels"] for r, p in pairs if p and p["verdict"]["right"]]
        row["untouched"] = round(sum(same) / len(same), 3)
    return table


# --- The page ---------------------------------------------------------------------------------------------------------

STYLE = """
body { font: 14px sans-serif; margin: 1em; background: #fff; color: #111 }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: 3px 6px; text-align: left }
section { margin: 1em 0; border-top: 1px solid #ccc } h3 { margin: .5em 0; font-size: 15px }
.row { display: flex; gap: 8px; overflow-x: auto } figure { margin: 0; width: 200px; flex: none }
img { width: 192px; border: 4px solid #d03a3a } .right img { border-color: #2e9e4f }
figcaption { font-size: 12px; overflow-wrap: anywhere } .none { background: #eee; padding: 8px }
body:has(#differ:checked) .same { display: none }
"""


def page(records: Sequence[dict], table: str, title: str) -> str:
    """Pictures of one prompt and seed side by side; green is right."""
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault((record["task"], record["prompt"], record["seed"]), []).append(record)
    sections = []
    for (task, text, seed), of in groups.items():
        alike = len({bool(r["verdict"]["right"]) for r in of if not r["error"]}) < 2 and not any(r["error"] for r in of)
        figures = "".join(map(figure, of))
        head = f"<h3>{html.escape(text)} <small>{html.escape(task)}, seed {seed}</small></h3>"
        sections.append(
            f'<section class="{"same" if alike else "other"}">{head}<div class="row">{figures}</div></section>'
        )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><body><h1>{html.escape(title)}</h1>{as_html(table)}"
        '<p><label><input type="checkbox" id="differ"> Only where the methods differ</label></p>'
        + "\n".join(sections)
        + "</body></html>\n"
    )


def figure(record: dict) -> str:
    name = f"<b>{html.escape(record['method'])}</b>"
    if record["error"]:
        return f'<figure><div class="none">{html.escape(record["error"])}</div><figcaption>{name}</figcaption></figure>'
    path = f"pictures/{quote(record['picture'])}"
    said = html.escape(f"{record['verdict']['reason']}; {record['gradient_steps']} gradient steps")
    return (
        f'<figure class="{"right" if record["verdict"]["right"] else "wrong"}"><a href="{path}">'
        f'<img src="{path}" loading="lazy" alt="{html.escape(record["prompt"])}"></a>'
        f"<figcaption>{name}<br>{said}</figcaption></figure>"
    )


def as_html(table: str) -> str:
    """A table of Markdown."""
    text = ""
    for block in table.strip().split("\n\n"):
        head, _, *lines = ([cell.strip(" *") for cell in line.split("|")[1:-1]] for line in block.splitlines())
        cells = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in lines]
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
        text += f"<table><tr>{heads}</tr>{''.join(f'<tr>{line}</tr>' for line in cells)}</table><p></p>"
    return text


# --- The run ----------------------------------------------------------------------------------------------------------


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflow", default=SDXL, help="a bundled one by its name, or a file; any that steers")
    parser.add_argument("--checkpoint", help="a file of models/checkpoints, in place of the workflow's")
    parser.add_argument("--prompts", nargs="+", default=["geneval"], help=f"{', '.join(NAMED)}, or files")
    parser.add_argument("--rule", choices=READERS, help="that judges a file, where it is not to be guessed")
    parser.add_argument("--tasks", nargs="+", help="of the prompts, when not all: position, counting ...")
    parser.add_argument("--most", type=int, help="at most so many prompts of each task, drawn by chance")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(USUAL))
    parser.add_argument("--own", help="a classifier of the model's own, as L2S Classifier Loss names it")
    parser.add_argument("--rtdetr", metavar="FILE", help="detector: RT-DETR, a file of models/diffusion_models")
    parser.add_argument("--sam3", metavar="FILE", help="detector: SAM3, a file of models/checkpoints")
    parser.add_argument("--models", metavar="FOLDER", help="with models, beside ComfyUI's own")
    parser.add_argument("--steps", type=int, help="sampling steps, in place of the workflow's")
    parser.add_argument("--side", type=int, help="px of a picture, in place of the workflow's")
    parser.add_argument("--workers", type=int, default=1, help="so many, by Ray; each has a card where there are any")
    parser.add_argument("--ray", metavar="ADDRESS", help="of a cluster that runs already; else Ray runs here alone")
    parser.add_argument("--servers", nargs="+", default=[], metavar="HOST:PORT", help="ComfyUI servers with this pack")
    parser.add_argument("--patience", type=float, default=WAIT, help="s; who takes longer for a picture is lost")
    parser.add_argument("--again", action="store_true", help="try what failed once more")
    parser.add_argument("--into", type=Path, help="the folder to write to; usual: measured/ and the workflow's name")
    return parser


class Run:
    """What was asked for, ready to be made. Raises ValueError with what is wrong."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.here: Here | None = None
        bundled = ROOT / "workflows" / f"{args.workflow}.json"
        path = bundled if bundled.exists() else Path(args.workflow)
        graph = sized(opened(path, self.object_info()), args.steps, args.side, args.checkpoint)
        self.methods = Methods(graph, args.own, args.rtdetr, args.sam3)
        if not (args.rtdetr or args.sam3 or self.methods.demo):
            raise ValueError(
                "No detector finds the things in the pictures. Name the file of one that ComfyUI runs: --rtdetr FILE "
                "(COCO's 80 kinds) or --sam3 FILE (any)."
            )
        for method in args.methods:
            self.methods.classifier_of(method)
        self.work = Work(graph, args.own, args.rtdetr, args.sam3, args.models)
        kinds = coco_kinds() if args.rtdetr else None if args.sam3 else list(KINDS)
        self.prompts, self.left_out = self.asked(kinds)
        self.title = f"{path.stem}{f', {args.checkpoint}' if args.checkpoint else ''}: {', '.join(args.prompts)}"
        self.folder = Folder(args.into or ROOT / "measured" / path.stem)
        self.name = f"{os.getpid()} {time.time():.0f}"
        self.warm: set[tuple] = set()  # workers that made a picture, by method
        self.errors: list[str] = []
        self.begun, self.told = time.monotonic(), time.monotonic()

    def object_info(self) -> dict:
        """Of this process's ComfyUI, or of the first server. Raises ValueError where a server cannot be used."""
        if not self.args.servers:
            self.here = Here(self.args.models)
            return self.here.object_info()
        info = {}
        for address in reversed(self.args.servers):
            try:
                info = Server(with_scheme(address)).object_info()
            except (OSError, RuntimeError) as error:
                raise ValueError(f"No ComfyUI answers at {address} ({error}). Start it, or leave it out.") from None
            if "L2S_SteerModel" not in info:
                raise ValueError(f"The ComfyUI at {address} does not have this pack. Install it there.")
        return info

    def asked(self, kinds: list[str] | None) -> tuple[list[Prompt], str]:
        """The prompts of all sources, of which the demo worlds' detector cannot count."""
        every = [prompt for source in self.args.prompts for prompt in read(source, self.args.rule, kinds)]
        alone = not (self.args.rtdetr or self.args.sam3)
        can = [prompt for prompt in every if not alone or prompt.task != "counting"]
        prompts, said = chosen(can, self.args.tasks, kinds, self.args.most)
        return prompts, said + (
            " The demo's detector finds one thing of a kind and cannot count." if can != every else ""
        )

    def groups(self) -> list[list[tuple[Prompt, Job]]]:
        """What is still to be made, by prompt and seed; each method comes first as often as the others."""
        groups, methods = [], list(dict.fromkeys(self.args.methods))
        for number, (prompt, seed) in enumerate((p, s) for p in self.prompts for s in self.args.seeds):
            turn = number % len(methods)
            jobs = [
                (prompt, Job(prompt.text, seed, method, prompt.things))
                for method in methods[turn:] + methods[:turn]
                if self.missing(prompt, seed, method)
            ]
            if jobs:
                groups.append(jobs)
        return groups

    def missing(self, prompt: Prompt, seed: int, method: str) -> bool:
        record = self.folder.records.get((prompt.rule, prompt.text, seed, method))
        return record is None or bool(record["error"] and self.args.again)

    def make(self, worker, asked: tuple[Prompt, Job], place: int) -> None:
        """Makes a picture and keeps it, or the error that it failed with."""
        prompt, job = asked
        run = f"{self.name} {place}"
        cold = (id(worker), job.method) not in self.warm
        try:
            png, known = worker.make(job)
        except (RuntimeError, ValueError) as error:
            self.folder.keep(None, failed(prompt, job.seed, job.method, str(error), run))
            self.errors.append(str(error))
            if not self.warm and self.errors == [str(error)] * FUSE:
                raise ValueError(
                    f"The first {FUSE} pictures all failed: {error}\nMend it, and call again with --again."
                ) from None
        else:
            self.warm.add((id(worker), job.method))
            with Image.open(io.BytesIO(png)) as picture:
                record = judged(prompt, job.seed, job.method, picture.convert("RGB"), known, run, cold)
            self.folder.keep(png, record)
        self.progress()

    def fail(self, asked: tuple[Prompt, Job], why: str) -> None:
        prompt, job = asked
        self.folder.keep(None, failed(prompt, job.seed, job.method, why, self.name))

    def progress(self) -> None:
        if time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            records = list(self.folder.records.values())  # others add to them
            errors = sum(bool(record["error"]) for record in records)
            print(f"{len(records) - errors} pictures, {errors} failed, {self.told - self.begun:.0f} s", flush=True)

    def workers(self) -> list:
        """How each worker is begun."""
        args = self.args
        if args.servers:
            return [lambda address=address: Remote(address, self.work, args.patience) for address in args.servers]
        if args.workers > 1 or args.ray:
            start_ray(args.ray, args.workers)
            return [lambda: OverRay(self.work, args.patience)] * args.workers
        return [lambda: Worker(self.work, self.here)]

    def machine(self) -> list[dict]:
        """What the pictures were made with: of each server, or of this process."""
        if self.args.servers:
            every = [Server(with_scheme(address)).get("/system_stats") for address in self.args.servers]
            return [
                {
                    "address": address, "comfyui": one["system"]["comfyui_version"],
                    "torch": one["system"]["pytorch_version"], "device": one["devices"][0]["name"],
                }
                for address, one in zip(self.args.servers, every, strict=True)
            ]  # fmt: skip
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        return [{"comfyui": comfyui_version.__version__, "torch": torch.__version__, "device": device}]

    def results(self, command: str) -> str:
        """Write tables and page of all that the folder holds; the table. command: by which it was called."""
        records = sorted(self.folder.records.values(), key=lambda r: (r["task"], r["prompt"], r["seed"], r["method"]))
        records.sort(key=lambda r: METHODS.index(r["method"]))
        table, kept = rows(records), aside(records)
        text = markdown(table) + (f"\n{kept_markdown(kept)}" if kept else "")
        self.folder.write("table.json", json.dumps({"command": command, "rows": table, "kept": kept}, indent=1) + "\n")
        self.folder.write("table.md", f"`{command}`\n\n{text}")
        self.folder.write("index.html", page(records, text, self.title))
        return text


def main(given: list[str] | None = None) -> None:
    given = sys.argv[1:] if given is None else given
    parser = arguments()
    args = parser.parse_args(given)
    if args.rtdetr and args.sam3:
        parser.error("One detector is enough: give --rtdetr or --sam3.")
    try:
        run = Run(args)
        with run.folder.alone():
            run.folder.settle({
                "graph": run.methods.graph, "classifier": run.methods.classifier, "own": run.methods.own,
                "steering": run.methods.settings, "detector": args.rtdetr or args.sam3 or "the demo's own",
            })  # fmt: skip
            groups = run.groups()
            jobs = sum(map(len, groups))
            rules = ", ".join(sorted({prompt.rule for prompt in run.prompts}))
            print(f"{len(run.prompts)} prompts, judged by {rules}. {run.left_out}".rstrip())
            print(
                f"{jobs} pictures are to be made, {len(run.folder.records)} are there, in {run.folder.path}", flush=True
            )
            run.folder.write("machine.json", json.dumps(run.machine(), indent=1) + "\n")
            try:
                left = share(groups, run.workers(), run.make, run.fail, print) if jobs else 0
            finally:
                print(run.results(f"python bench/checkpoints.py {shlex.join(given)}"))
            print(f"See {run.folder.path / 'index.html'}")
    except ValueError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. Call again: it goes on.")
    if left:
        sys.exit(f"{left} pictures are missing, because no worker is left. Call again: it goes on.")


if __name__ == "__main__":
    main()
