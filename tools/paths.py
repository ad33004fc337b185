"""Where things lie, for every script here, and the argument that sends what a script writes elsewhere."""

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".host" / "ComfyUI")

# Below ROOT, or below the folder that --into names.
WEIGHTS = Path("demo", "weights")
CLASSIFIERS = Path("classifier_weights")
BENCH = Path("bench")
OUTPUT = Path("output")
WORK = Path(".work")  # caches and unfinished training; safe to delete


def arguments(about: str | None) -> argparse.ArgumentParser:
    """A script's parser. about: its docstring, for --help."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--into", type=Path, default=ROOT, metavar="FOLDER",
        help="a folder to write to in place of this repository; what is trained is read from there too",
    )  # fmt: skip
    return parser
