"""A real ComfyUI server with this pack, for the demo, the bundled workflows and their tests.

Not named server.py: that is a module of the host.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from paths import ROOT, TREE, WORK
from PIL import Image

PACK = "learn-to-steer"
PATIENCE = 120  # s, for the server to come up


class Server:
    """A running server: graphs in, pictures out. process, log: of one that was started here."""

    def __init__(self, address: str, process: subprocess.Popen | None = None, log: Path | None = None):
        self.address, self.process, self.log = address, process, log

    def open(self, path: str, data: dict | None = None) -> bytes:
        """GET, or POST when there is data. Raises RuntimeError when the server has ended or refuses."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.address + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read().decode()}") from error
        except (urllib.error.URLError, ConnectionError) as error:
            if self.process is None or self.process.poll() is None:
                raise
            raise RuntimeError(f"ComfyUI has ended. {self.last_lines()}") from error

    def get(self, path: str) -> dict:
        return json.loads(self.open(path))

    def object_info(self) -> dict:
        return self.get("/object_info")

    def templates(self) -> dict:
        return self.get("/workflow_templates")

    def interrupt(self) -> None:
        self.open("/interrupt", {})

    def run(self, graph: dict, targets: list[str] | None = None) -> tuple[dict, float]:
        """Run an API graph: the outputs by node, and the seconds by the server's own clock.

        targets: ids of the output nodes that are wanted, when not all are. Raises RuntimeError with the node's message.
        """
        wanted = {"partial_execution_targets": targets} if targets else {}
        prompt = json.loads(self.open("/prompt", {"prompt": graph, **wanted}))["prompt_id"]
        while not (entry := self.get(f"/history/{prompt}")):
            time.sleep(0.05)
        outputs, messages = entry[prompt]["outputs"], entry[prompt]["status"]["messages"]
        events = dict(messages)
        if error := events.get("execution_error"):
            raise RuntimeError(f"{error['node_type']}: {error['exception_message'].strip()}")
        if stopped := events.get("execution_interrupted"):
            raise RuntimeError(f"{stopped['node_type']} was interrupted.")
        began, ended = events["execution_start"], events["execution_success"]
        return outputs, (ended["timestamp"] - began["timestamp"]) / 1000

    def image(self, entry: dict) -> np.ndarray:
        """The picture of one entry of an output's "images", (H, W, 3) uint8."""
        png = self.open("/view?" + urllib.parse.urlencode(entry))
        return np.asarray(Image.open(BytesIO(png)).convert("RGB"))

    def last_lines(self) -> str:
        assert self.log
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"The end of {self.log}:", *lines])


@contextmanager
def serving(base: Path = ROOT / WORK / "comfyui", *options: str, unpacked: str | None = None) -> Iterator[Server]:
    """Start ComfyUI with this pack in base/custom_nodes; everything that it writes lies in base.

    options: of the host's command line. unpacked: the name of a folder there that is run instead of this one.
    """
    if not (TREE / "main.py").exists():
        raise RuntimeError(f"No ComfyUI lies in {TREE}. Run `make setup`, or point COMFYUI_PATH at yours.")
    import torch  # here, because it is slow

    base = base.resolve()
    if unpacked is None:
        link = base / "custom_nodes" / PACK
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        link.symlink_to(ROOT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "main.py", "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--base-directory", str(base), "--disable-auto-launch", "--disable-api-nodes"]
    command += ["--database-url", f"sqlite:///{base / 'comfyui.db'}"]
    command += options if torch.cuda.is_available() else ["--cpu", *options]
    log = base / "server.log"
    # Threads that wait asleep: on a busy machine the usual spinning makes minutes of a second.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=TREE, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(server, unpacked or PACK)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server, pack: str) -> None:
    """Until the server answers with this pack loaded. Raises RuntimeError with the log's end when it does not.

    pack: the name of its folder.
    """
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            server.get("/system_stats")
            break
        except OSError:
            if time.monotonic() > patience:
                raise RuntimeError(f"ComfyUI did not come up in {PATIENCE} s. {server.last_lines()}") from None
            time.sleep(0.2)
    lines = [line for line in server.log.read_text(errors="replace").splitlines() if pack in line]
    text = "\n".join(lines)
    if "IMPORT FAILED" in text or "Error while calling comfy_entrypoint" in text:
        raise RuntimeError(f"ComfyUI could not load this pack ({server.log}):\n{text}")


# --- Workflows ------------------------------------------------------------------------------------------------------

CONTROL = "control after generate"  # the value that follows a seed's; it belongs to no input
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"  # of a choice that brings widgets of its own; only those that bring none are used
PRIMITIVE = "PrimitiveNode"  # whatever its mode, its value stands in the widgets linked to it
NOT_RUN = ("Note", "MarkdownNote", PRIMITIVE)
MUTED, BYPASSED = 2, 4


def inputs(info: dict) -> dict[str, list]:
    """A node's inputs by name, as its entry of object_info describes them."""
    return info["input"].get("required", {}) | info["input"].get("optional", {})


def is_widget(spec: list) -> bool:
    """Is it set on the node itself (and not only by a link)?"""
    plain = isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC)
    return plain and not (len(spec) > 1 and spec[1].get("forceInput"))


def choices(spec: list) -> list | None:
    """The options of a combo, None for another kind of input."""
    if isinstance(spec[0], list):
        return spec[0]
    if spec[0] == DYNAMIC:
        return [option["key"] for option in spec[1]["options"]]
    return spec[1]["options"] if spec[0] == "COMBO" else None


def widgets(info: dict) -> list[str]:
    """The names that a workflow's widgets_values belong to, in order."""
    names = []
    for name, spec in inputs(info).items():
        if is_widget(spec):
            names.append(name)
            if len(spec) > 1 and spec[1].get("control_after_generate"):
                names.append(CONTROL)
    return names


def to_api(workflow: dict, object_info: dict) -> dict:
    """A workflow as the editor saves it -> the graph that the server runs."""
    nodes = [
        node for node in workflow["nodes"] if node["mode"] not in (MUTED, BYPASSED) and node["type"] not in NOT_RUN
    ]
    running = {node["id"] for node in nodes}
    held = {n["id"]: n["widgets_values"][0] for n in workflow["nodes"] if n["type"] == PRIMITIVE}
    links = {link[0]: link for link in workflow["links"]}
    graph = {}
    for node in nodes:
        if node["type"] not in object_info:
            raise ValueError(f'The server has no node "{node["type"]}". Install its pack.')
        names = widgets(object_info[node["type"]])
        values = dict(zip(names, node.get("widgets_values") or [], strict=False))
        values.pop(CONTROL, None)
        for slot in node["inputs"]:
            if slot["link"] is None:
                continue
            _, origin, output, *_ = links[slot["link"]]
            if origin in running:
                values[slot["name"]] = [str(origin), output]
            elif origin in held:
                values[slot["name"]] = held[origin]
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": values}
    return graph


def node_id(graph: dict, kind: str, **values) -> str:
    """The one node of this class with these input values."""
    found = [
        key for key, node in graph.items() if node["class_type"] == kind and values.items() <= node["inputs"].items()
    ]
    if len(found) != 1:
        raise ValueError(f"The graph has {len(found)} nodes {kind} with {values}, not one.")
    return found[0]
