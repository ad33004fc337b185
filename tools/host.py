"""Put a real ComfyUI and this pack into the running process, as ComfyUI itself would.

A script says `import host` first; afterwards `comfy` and `learn_to_steer` (this pack) can be imported.
The pack's folder is never on sys.path: its nodes/ would hide the host's own nodes.py.
"""

import importlib.util
import logging
import sys
import warnings
from pathlib import Path

from paths import ROOT, TREE


def start() -> None:
    if "comfy" in sys.modules:
        return
    if not (TREE / "comfy" / "sd.py").exists():
        sys.exit(f"No ComfyUI lies in {TREE}. Run `make setup`, or point COMFYUI_PATH at yours.")
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    sys.path.insert(0, str(TREE))
    import utils  # noqa: F401  the host's own, before nodes.py of older hosts puts another in front of it

    warnings.filterwarnings("ignore", message=".*NVML.*")

    import torch

    arguments, sys.argv = sys.argv, [sys.argv[0]] + ([] if torch.cuda.is_available() else ["--cpu"])
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args  # noqa: F401  reads sys.argv once, now

    sys.argv = arguments
    logging.getLogger().setLevel(logging.WARNING)
    if "learn_to_steer" not in sys.modules:
        spec = importlib.util.spec_from_file_location("learn_to_steer", ROOT / "__init__.py")
        sys.modules["learn_to_steer"] = pack = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(pack)


start()
