"""What makes pictures: this process, Ray's workers with a ComfyUI in each, or ComfyUI servers that run already.

All of them take a job and give a picture with all that is known of it; `share` splits the jobs by prompt among them,
and gives those of a lost worker to the others.
"""

import asyncio
import io
import json
import logging
import queue
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import host  # noqa: F401  makes `comfy` importable

import comfy.utils
import execution
import folder_paths
import numpy as np
import torch
from detector import find
from learn_to_steer.nodes.host import boxes
from learn_to_steer.steering.judge import Found
from live_server import Server
from methods import BOXES, PICTURE, REPORT, Methods
from paths import TREE
from PIL import Image

import nodes

NO_RAY = "Ray is not installed. Run `make setup WITH=--ray`, or do without --workers."
TIMES = 3  # so often a worker's place, or a picture, may lose its worker
PAUSE = 10  # s, before a lost worker's place is filled again; longer each time


@dataclass(frozen=True)
class Job:
    """One picture. things: of its prompt, for a detector that searches by name."""

    text: str
    seed: int
    method: str
    things: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """What every worker has to know. graph: of the workflow, in API form; own, rtdetr, sam3: as Methods has them;
    models: a folder of models beside ComfyUI's own."""

    graph: dict
    own: str | None = None
    rtdetr: str | None = None
    sam3: str | None = None
    models: str | None = None


class Lost(Exception):
    """A worker is gone, or has not answered for too long."""


# --- ComfyUI in this process ------------------------------------------------------------------------------------------


class Here:
    """ComfyUI in this process, in the place of live_server.Server: graphs in, pictures out. It has ComfyUI's own nodes
    and this pack's, no other packs'."""

    def __init__(self, models: str | None = None):
        from server import PromptServer

        self.temporary = tempfile.TemporaryDirectory(prefix="learn-to-steer-")  # gone when this process ends
        self.folder = Path(self.temporary.name)
        folder_paths.set_temp_directory(str(self.folder))
        folder_paths.set_user_directory(str(self.folder / "user"))  # none of the true one's settings is touched
        comfy.utils.PROGRESS_BAR_ENABLED = False
        more = TREE / "extra_model_paths.yaml"
        if more.exists():
            from utils.extra_config import load_extra_path_config

            load_extra_path_config(str(more))
        for path in sorted(Path(models).iterdir()) if models else ():
            folder_paths.add_model_folder_path(path.name, str(path), is_default=True)
        self.server = getattr(PromptServer, "instance", None)
        if not isinstance(self.server, PromptServer):
            logging.disable(logging.WARNING)  # of a server's settings, which it has not
            self.server = PromptServer(asyncio.new_event_loop())
            logging.disable(logging.NOTSET)
            asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
            asyncio.run(self._add_our_nodes())
        self.server.send_sync = lambda *told: None  # nobody watches
        cache = {"lru": 0, "ram": 0, "ram_inactive": 0}
        self.executor = execution.PromptExecutor(self.server, execution.CacheType.CLASSIC, cache)
        self.runs = 0

    async def _add_our_nodes(self) -> None:
        import learn_to_steer

        pack = await learn_to_steer.comfy_entrypoint()
        await pack.on_load()
        for node in await pack.get_node_list():
            node.GET_SCHEMA()
            nodes.NODE_CLASS_MAPPINGS[node.SCHEMA.node_id] = node

    def object_info(self) -> dict:
        """What a workflow needs of it."""
        return {
            name: {"input": {part: dict(of) for part, of in kind.INPUT_TYPES().items() if part != "hidden"}}
            for name, kind in nodes.NODE_CLASS_MAPPINGS.items()
        }

    def run(self, graph: dict, targets: list[str] | None = None) -> tuple[dict, float]:
        """As Server.run."""
        self.runs += 1
        name = f"run {self.runs}"
        valid, error, outputs, errors = asyncio.run(execution.validate_prompt(name, graph, targets))
        if errors or not valid:  # the host would run the rest
            raise RuntimeError(_refused(graph, error, errors))
        running = self.server.prompt_queue.currently_running
        running[self.runs] = (0, name, graph, {}, outputs)  # by which a steered run knows its graph
        began = time.perf_counter()
        try:
            self.executor.execute(graph, name, {}, outputs)
        finally:
            del running[self.runs]
        seconds = time.perf_counter() - began
        events = dict(self.executor.status_messages)
        if failed := events.get("execution_error"):
            raise RuntimeError(f"{failed['node_type']}: {failed['exception_message'].strip()}")
        return self.executor.history_result["outputs"], seconds

    def image(self, entry: dict) -> np.ndarray:
        """As Server.image."""
        path = self.folder / entry["subfolder"] / entry["filename"]
        return np.asarray(Image.open(path).convert("RGB"))

    def forget(self) -> None:
        """Files of pictures that were looked at."""
        for path in self.folder.glob("*.png"):
            path.unlink()

    def end(self) -> None:
        self.temporary.cleanup()


def _refused(graph: dict, error: dict, errors: dict) -> str:
    """What the host has against a graph, in a line."""
    said = [
        f"{graph[node]['class_type']}: {one['message']}: {one['details']}"
        for node, found in errors.items()
        for one in found["errors"]
    ]
    return "; ".join(said) or error["message"]


# --- A picture --------------------------------------------------------------------------------------------------------


def made(server: Server | Here, methods: Methods, job: Job) -> tuple[np.ndarray, dict]:
    """The picture of a job and what is known of it: boxes as the detector gave them, the report and the number of
    gradient steps, and the seconds from the encoded prompt to the decoded picture.

    Raises RuntimeError with what a node says.
    """
    graph, before, after = methods.of(job.method, job.text, job.seed, job.things)
    server.run(graph, before)  # what all methods share is not timed: the prompt's encoding, the loss's file
    card = isinstance(server, Here) and torch.cuda.is_available()
    if card:
        torch.cuda.reset_peak_memory_stats()
    outputs, seconds = server.run(graph, [PICTURE])
    memory = torch.cuda.max_memory_allocated() if card else None
    picture = server.image(outputs[PICTURE]["images"][0])
    shown = server.run(graph, after)[0] if after else {}
    if BOXES in after and BOXES not in shown:
        raise RuntimeError(f"The detector gave no boxes. Is {methods.rtdetr or methods.sam3!r} there?")
    if isinstance(server, Here):
        server.forget()
    report = "".join(shown.get(REPORT, {}).get("text", []))
    known = {
        "seconds": round(seconds, 4), "peak_memory": memory, "report": report, "gradient_steps": gradient_steps(report),
        "boxes": found(picture, shown.get(BOXES)),
    }  # fmt: skip
    return picture, known


def gradient_steps(report: str) -> int:
    """All of a run's, as its report counts them; none where there is no report."""
    last = next((line for line in report.splitlines() if line.endswith("gradient steps in all.")), "0")
    return int(last.split()[0])


def found(picture: np.ndarray, shown: dict | None) -> list[list]:
    """[name, confidence, left, top, right, bottom] of all that was found, by the graph's detector, or else by the demo
    worlds' own."""
    if shown is None:
        (things,) = find(torch.from_numpy(picture.copy())[None] / 255)
        seen = [thing.found() for thing in things.values()]
    else:
        (listed,) = boxes.lists(json.loads("".join(shown["text"])), 1, "the bench")
        places = [(b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]) for b in listed]
        seen = [Found(b["label"], place, b["score"]) for b, place in zip(listed, places, strict=True)]
    return [[one.name, round(one.confidence, 4), *(round(float(side), 2) for side in one.box)] for one in seen]


class Worker:
    """One that makes pictures in its own process. here: its ComfyUI, where it is there already."""

    def __init__(self, work: Work, here: Here | None = None):
        self.server = here or Here(work.models)
        self.methods = Methods(work.graph, work.own, work.rtdetr, work.sam3)

    def make(self, job: Job) -> tuple[bytes, dict]:
        return packed(*made(self.server, self.methods, job))

    def end(self) -> None:
        self.server.end()


def packed(picture: np.ndarray, known: dict) -> tuple[bytes, dict]:
    """The picture as PNG, and what is known of it."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue(), known


def with_scheme(address: str) -> str:
    return address if "//" in address else f"http://{address}"


class Remote:
    """A ComfyUI server that runs already, with this pack in it."""

    def __init__(self, address: str, work: Work, patience: float):
        self.server = Server(with_scheme(address))
        self.methods = Methods(work.graph, work.own, work.rtdetr, work.sam3)
        self.patience = patience
        self.address = address

    def make(self, job: Job) -> tuple[bytes, dict]:
        """Raises Lost when it does not answer, or not in time."""
        answer: queue.Queue = queue.Queue()

        def ask() -> None:
            try:
                answer.put(packed(*made(self.server, self.methods, job)))
            except OSError as error:
                answer.put(Lost(f"{self.address}: {error}"))
            except BaseException as error:  # noqa: BLE001  it is raised where the job was given
                answer.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            told = answer.get(timeout=self.patience)
        except queue.Empty:
            raise Lost(f"{self.address} has not answered for {self.patience:g} s") from None
        if isinstance(told, BaseException):
            raise told
        return told

    def end(self) -> None:
        pass


class OverRay:
    """A worker of Ray's, in a process of its own on any of its machines."""

    def __init__(self, work: Work, patience: float):
        import ray

        self.ray, self.patience = ray, patience
        cards = 1 if ray.cluster_resources().get("GPU") else 0
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums come out as they do without Ray
        place = {"num_cpus": 1, "num_gpus": cards, "max_restarts": 0, "runtime_env": {"env_vars": threads}}
        self.actor = ray.remote(Worker).options(**place).remote(work)

    def make(self, job: Job) -> tuple[bytes, dict]:
        """Raises Lost when its process is gone, or has not answered in time."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(self.actor.make.remote(job), timeout=self.patience)
        except errors.RayTaskError as error:
            raise RuntimeError(str(error.cause)) from error
        except (errors.RayActorError, errors.GetTimeoutError, errors.WorkerCrashedError) as error:
            raise Lost(str(error).splitlines()[0]) from error

    def end(self) -> None:
        self.ray.kill(self.actor)


def start_ray(address: str | None, count: int) -> None:
    """Join the cluster at this address, or begin one of this machine alone. Raises ValueError where there is no Ray."""
    try:
        import ray
    except ImportError:
        raise ValueError(NO_RAY) from None
    if address is None:
        ray.init(num_cpus=count, include_dashboard=False, log_to_driver=False, logging_level="error")
    else:
        ray.init(address, log_to_driver=False, logging_level="error")


# --- Sharing ----------------------------------------------------------------------------------------------------------


def share(
    groups: Iterable[Sequence[Any]],
    begin: Sequence[Callable[[], Any]],
    make: Callable[[Any, Any, int], None],
    fail: Callable[[Any, str], None],
    say: Callable[[str], None],
    pause: float = PAUSE,
) -> int:
    """Every job of every group made by one of the workers, a group by the same one, so that methods are timed on one
    machine. How many jobs are left, because no worker is.

    begin: starts the worker of each place; make(worker, job, place) makes a picture and keeps it, or raises Lost. Then
    what is left of the group goes to whoever is free, and after a pause a new worker is started in the place. A place
    that loses TIMES workers without one picture is given up; a job with which as many are lost fails: fail(job, why).
    """
    waiting: queue.Queue = queue.Queue()
    left, losses, lock = [0], Counter[int](), threading.Lock()
    failed: list[BaseException] = []
    for group in groups:
        waiting.put(list(group))
        left[0] += len(group)

    def done(group: list) -> None:
        group.pop(0)
        with lock:
            left[0] -= 1

    def lost(group: list, why: str) -> None:
        with lock:
            losses[id(group[0])] += 1
        if losses[id(group[0])] == TIMES:
            fail(group[0], why)
            done(group)
        waiting.put(group)

    def place(number: int) -> None:
        worker, tries = None, 0
        try:
            while left[0] and not failed:
                try:
                    group = waiting.get(timeout=0.2)  # another's may come back
                except queue.Empty:
                    continue
                try:
                    worker = worker or begin[number]()
                    while group:
                        make(worker, group[0], number)
                        tries = 0
                        done(group)
                except Lost as error:
                    if worker is not None:
                        worker.end()
                    worker, tries = None, tries + 1
                    say(f"Worker {number + 1} is lost: {error}")
                    lost(group, f"Its worker was lost {TIMES} times: {error}")
                    if tries == TIMES:
                        say(f"Worker {number + 1} was lost {tries} times without a picture and is given up.")
                        return
                    time.sleep(pause * tries)
        except BaseException as error:
            failed.append(error)  # it is raised below
        finally:
            if worker is not None:
                worker.end()

    if len(begin) == 1:
        place(0)
    else:
        threads = [threading.Thread(target=place, args=(number,), daemon=True) for number in range(len(begin))]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(1)  # so that Ctrl-C is heard
    if failed:
        raise failed[0]
    return left[0]
