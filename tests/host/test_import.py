"""What a host goes through when it loads this pack: next to no time, and nothing that anybody else would notice.

Run as a script, this file is such a host: it loads ComfyUI once, and every pack is loaded in a fork of it.
"""

import asyncio
import gc
import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

LIMIT = 50  # ms
RUNS = 20  # the fastest counts: a busy machine only ever takes longer
ROOT = Path(__file__).resolve().parents[2]
HOST = (
    "comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths", "latent_preview", "nodes",
    "server",
)  # fmt: skip
EVENTS = {  # that Python itself tells of, beside files opened for writing
    "os.mkdir", "os.putenv", "os.remove", "os.rename", "os.symlink", "os.system",
    "socket.bind", "socket.connect", "subprocess.Popen",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
SLOW = "import time; end = time.process_time() + 0.06\nwhile time.process_time() < end: pass"
BAD = {  # packs that do what none should, and what is noticed
    "open('/dev/null', 'w')": "open",
    "import os; os.mkdir(__file__ + 'c')": "os.mkdir",
    "import threading; threading.Timer(9, print).start()": "threads",
    "import socket; socket.socket().bind(('127.0.0.1', 0))": "socket.bind",
    "import subprocess; subprocess.run(['true'])": "subprocess.Popen",
    "import torch; torch.set_default_dtype(torch.float64)": "dtype",
    "import torch; torch.set_grad_enabled(False)": "gradients",
    "import torch; torch.set_float32_matmul_precision('medium')": "precision",
    "import torch; torch.backends.cudnn.benchmark ^= True": "cudnn",
    "import torch; torch.set_num_threads(3)": "torch's threads",
    "import torch; torch.manual_seed(1)": "torch's random",
    "import random; random.seed(1)": "random",
    "import os; os.environ['L2S'] = '1'": "environment",
    "import sys; sys.path.append('somewhere')": "sys.path",
    "import logging; logging.getLogger().addHandler(logging.NullHandler())": "logger ''",
    "import logging; logging.getLogger('asyncio').setLevel(10)": "logger 'asyncio'",
    "import comfy.samplers as s; s.KSAMPLER = print": "comfy.samplers.KSAMPLER",
    "import comfy.samplers as s; s.CFGGuider.sample = print": "comfy.samplers.CFGGuider.sample",
    "import comfy.model_management as m; m.in_training = True": "comfy.model_management.in_training",
    "import comfy.ldm.modules.attention as a; a.exists = print": "comfy.ldm.modules.attention.exists",
}


# --- In the host ------------------------------------------------------------------------------------------------------


def state() -> dict[str, object]:
    """What others would notice when it changes, by name."""
    import numpy
    import torch

    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    seen = {
        "environment": dict(os.environ), "sys.path": list(sys.path), "folder": os.getcwd(),
        "threads": {thread.name for thread in threading.enumerate()}, "garbage": (gc.isenabled(), gc.get_threshold()),
        "excepthook": sys.excepthook, "random": random.getstate(), "numpy's random": str(numpy.random.get_state()),
        "torch's random": torch.get_rng_state().tolist(), "torch's threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(), "device": torch.get_default_device(), "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(), "tf32": cuda.matmul.allow_tf32,
        "precision": torch.get_float32_matmul_precision(), "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32),
        "attention": (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()),
    }  # fmt: skip
    for name, logger in {"": logging.root, **logging.root.manager.loggerDict}.items():
        if isinstance(logger, logging.Logger):
            seen[f"logger {name!r}"] = (logger.level, list(logger.handlers), list(logger.filters))
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in HOST:
            for key, value in list(vars(module).items()):
                seen[f"{name}.{key}"] = Same(value)
                if isinstance(value, type) and value.__module__ == name:
                    for inner, function in vars(value).items():
                        seen[f"{name}.{key}.{inner}"] = Same(function)
    return seen


class Same:
    """Equal to the very same object only."""

    def __init__(self, it):
        self.it = it

    def __eq__(self, other):
        return self.it is other.it


def load(file: Path) -> list[str]:
    """Load a pack as the host does: its nodes' ids, when it has nodes."""
    spec = importlib.util.spec_from_file_location("pack", file, submodule_search_locations=[str(file.parent)])
    sys.modules["pack"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    async def ask():
        extension = await module.comfy_entrypoint()
        await extension.on_load()
        return [node.GET_SCHEMA().node_id for node in await extension.get_node_list()]

    return asyncio.run(ask()) if hasattr(module, "comfy_entrypoint") else []


def timed(file: Path) -> dict:
    gc.collect()
    began = time.process_time()  # what others do on the machine does not count
    ids = load(file)
    return {"ms": 1000 * (time.process_time() - began), "ids": ids}


def watched(file: Path) -> dict:
    """Everything that loading this pack does beyond itself."""
    noticed = []

    def hear(event, arguments):
        if event in EVENTS or (event == "open" and (arguments[2] or 0) & WRITING):
            noticed.append(event)

    sys.dont_write_bytecode = True  # what Python itself would write
    before, modules = state(), set(sys.modules)
    sys.addaudithook(hear)
    load(file)
    heard, after = list(noticed), state()
    changed = [name for name, value in before.items() if name not in after or after[name] != value]
    loaded = {name.partition(".")[0] for name in set(sys.modules) - modules}
    return {"changes": heard + changed, "loaded": sorted(loaded - {"pack", *sys.stdlib_module_names})}


def forked(function, file: Path) -> dict:
    """function(file) in a copy of this process."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading) as answer:
            text = answer.read()
        os.waitpid(child, 0)
        return json.loads(text)
    try:
        os.write(writing, json.dumps(function(file)).encode())
    except Exception as error:
        os.write(writing, json.dumps({"error": repr(error)}).encode())
    finally:
        os._exit(0)


def main(folder: Path) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    for name in ("host", "utils.extra_config", "execution", "server"):  # as the host's main.py does
        importlib.import_module(name)

    ours = ROOT / "__init__.py"
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(folder)
    first = forked(timed, ours)  # Python compiles all modules, as when a pack was just installed
    runs = [forked(timed, ours) for _ in range(RUNS)]
    (folder / "slow.py").write_text(SLOW)
    bad = []
    for at, source in enumerate(BAD):
        (folder / f"{at}.py").write_text(source)
        bad.append(forked(watched, folder / f"{at}.py"))
    slow, ours = forked(timed, folder / "slow.py"), forked(watched, ours)
    print(json.dumps({"first": first, "runs": runs, "slow": slow, "ours": ours, "bad": bad}))


# --- Tests ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loading(tmp_path_factory) -> dict:
    command = [sys.executable, __file__, str(tmp_path_factory.mktemp("packs"))]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path_factory.mktemp("empty"), env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_loading_takes_next_to_no_time(loading):
    took = sorted(run["ms"] for run in loading["runs"])
    assert took[0] < LIMIT < loading["slow"]["ms"], f"ms: {took}"
    assert len(loading["runs"][0]["ids"]) >= 7


def test_nobody_else_notices(loading):
    assert loading["ours"] == {"changes": [], "loaded": []}


@pytest.mark.parametrize("at", range(len(BAD)), ids=list(BAD.values()))
def test_what_no_pack_should_do_is_noticed(loading, at):
    assert list(BAD.values())[at] in loading["bad"][at]["changes"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
