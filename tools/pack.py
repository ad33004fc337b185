"""Make the zip that the Comfy registry would get: `make pack`.

    python tools/pack.py

lets the registry's own command line check and pack a copy of what git would commit, prints what it says and what the
zip holds, and leaves output/learn-to-steer.zip. Nothing is sent anywhere.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

from paths import OUTPUT, ROOT, arguments


def copied(folder: Path) -> Path:
    """What git would commit now, as a repository of its own in this folder: the registry's tool packs what git tracks.

    Raises RuntimeError when git fails.
    """
    git = ["git", f"--git-dir={folder / '.git'}", "-c", "core.compression=0"]
    for command in (
        ["git", "init", "-q", folder],
        [*git, f"--work-tree={ROOT}", "add", "-A"],
        [*git, f"--work-tree={folder}", "checkout-index", "-a"],
    ):
        run(command, ROOT)
    return folder


def comfy(folder: Path, command: str) -> str:
    """What `comfy node COMMAND` says of the pack in this folder. Raises RuntimeError when it fails."""
    cli = [sys.executable, "-m", "comfy_cli", "--skip-prompt", "node", command]
    with tempfile.TemporaryDirectory() as home:  # where it keeps its settings
        return run(cli, folder, {"DO_NOT_TRACK": "1", "HOME": home, "PYTHONIOENCODING": "utf-8"})


def run(command: list, folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def passed(said: str) -> bool:
    """Did `comfy node validate` find nothing? It ends well with warnings, too."""
    return "All validation checks passed" in said and "warning" not in said.lower()


def zipped(folder: Path) -> Path:
    """The zip of the pack in this folder. Raises RuntimeError when the tool has anything to warn of."""
    said = comfy(folder, "pack")
    if "warning" in said.lower() or "not found" in said.lower():
        raise RuntimeError(f"`comfy node pack` warns:\n{said}")
    return folder / "node.zip"


def main(given: list[str] | None = None) -> None:
    made = arguments(__doc__).parse_args(given).into / OUTPUT / "learn-to-steer.zip"
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        print("$ comfy node validate")
        said = comfy(tree, "validate")
        print(said)
        made.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(zipped(tree), made)
    with ZipFile(made) as packed:
        entries = packed.infolist()
    print("$ comfy node pack\n     bytes  in the zip  file")
    for entry in entries:
        print(f"{entry.file_size:10,}  {entry.compress_size:10,}  {entry.filename}")
    print(f"{sum(entry.file_size for entry in entries):10,}  {made.stat().st_size:10,}  {len(entries)} files in {made}")
    if not passed(said):
        sys.exit("The registry's checks are not passed; see above.")


if __name__ == "__main__":
    main()
