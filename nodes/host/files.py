"""Files of weights that are no safetensors, opened by the host's own safe loader: it runs no code of theirs."""

from pathlib import Path

import comfy.utils


def contents(path: Path) -> object:
    """What is in a .pth file. Raises ValueError, naming it, when it cannot be read or holds more than plain data."""
    try:
        return comfy.utils.load_torch_file(str(path), safe_load=True)
    except Exception as error:  # a damaged file raises nearly anything
        why = str(error).strip().partition("\n")[0][:120] or type(error).__name__
        raise ValueError(
            f'The classifier file "{path.name}" was not opened: it is damaged, or holds more than numbers and names '
            f"({why}). Download it again, from its authors."
        ) from error
