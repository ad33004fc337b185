"""Loads the pack as ComfyUI does, by its path, but under a fixed name. Tests of the core need no ComfyUI."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Our nodes/ would hide the host's own nodes.py.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]

spec = importlib.util.spec_from_file_location("learn_to_steer", ROOT / "__init__.py")
sys.modules["learn_to_steer"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)


def pytest_addoption(parser):
    parser.addoption("--write-families", action="store_true", help="write nodes/host/FAMILIES.md")
    parser.addoption(
        "--write-pictures",
        action="store_true",
        help="write the pictures of README and the help pages",
    )
    parser.addoption(
        "--newest-front-end",
        action="store_true",
        help="run all of tests/browser in the newest front end in place of the host's own",
    )
