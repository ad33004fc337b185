"""Check the types of steering/ and nodes/ with mypy; settings stand in pyproject.toml.

    python tools/check_types.py

The pack imports itself relatively, and the folder of a clone may have a name that no package can have: mypy is shown it
as "learn_to_steer", through links below .work.
"""

import os
import subprocess
import sys

from paths import ROOT, WORK, arguments

PARTS = ("__init__.py", "steering", "nodes")


def main(given: list[str] | None = None) -> None:
    folder = arguments(__doc__).parse_args(given).into / WORK / "types"
    package = folder / "learn_to_steer"
    package.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        (package / name).unlink(missing_ok=True)
        (package / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "mypy", "-p", package.name, "--cache-dir", str(folder / "cache")]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"MYPYPATH": str(folder)}, stdout=subprocess.PIPE, text=True
    )
    print(done.stdout.replace(os.path.relpath(package, ROOT) + "/", "").replace(f"{package}/", ""), end="")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
