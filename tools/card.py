"""Say which CUDA card there is; end with an error where there is none: `make test-gpu` begins with it.

python tools/card.py
"""

import sys

import torch


def main(given: list[str] | None = None) -> None:
    if not torch.cuda.is_available():
        sys.exit(
            f"There is no CUDA card that torch {torch.__version__} can use, so nothing was run. Run this on a machine "
            "with one; `make test` is for a CPU."
        )
    card = torch.cuda.get_device_properties(0)
    print(f"{card.name}, {card.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}")


if __name__ == "__main__":
    main()
