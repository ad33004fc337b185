"""Write what the nodes say of their inputs and outputs into their help pages: `make docs`.

    python tools/help_pages.py

asks a running ComfyUI for the nodes and fills web/docs/*.md between two comments, which the editor does not show. The
rest of each page is written by hand.
"""

from live_server import choices, inputs, serving
from paths import ROOT, WORK, arguments

BEGIN, END = "<!-- from the nodes, by make docs -->", "<!-- by hand -->"
ELSEWHERE = ("sampler_name", "scheduler", "classifier")  # their options are the host's, or the user's files
PLAIN = {"INT": "whole number", "FLOAT": "number", "STRING": "text", "BOOLEAN": "on or off"}


def filled(page: str, info: dict) -> str:
    """The page with the tables that a node's entry of object_info makes. Raises ValueError where the comments lack."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f'The page has no "{BEGIN}" with "{END}" below it.')
    return f"{before}{BEGIN}\n\n{tables(info)}\n\n{END}{after}"


def tables(info: dict) -> str:
    """Markdown: a table of the inputs, if the node has any, and one of the outputs."""
    asked = [
        (name, value(name, spec), spec[1]["tooltip"], spec[1].get("advanced", False))
        for name, spec in inputs(info).items()
    ]
    given = zip(info["output_name"], info["output"], info["output_tooltips"], strict=True)
    parts = []
    if asked:
        rows = [(f"**{name}**" + " (advanced)" * hidden, kind, tooltip) for name, kind, tooltip, hidden in asked]
        parts.append("## Inputs\n\n" + table(("input", "value", "what it is"), rows))
    rows = [(f"**{name}**", kind, tooltip) for name, kind, tooltip in given]
    parts.append("## Outputs\n\n" + table(("output", "value", "what it is"), rows))
    return "\n\n".join(parts)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def value(name: str, spec: list) -> str:
    """What an input takes, in words: "number from 0 to 5, usually 1"."""
    kind, settings = spec[0], spec[1]
    usual = settings.get("default")
    if (options := choices(spec)) is not None:
        known = name not in ELSEWHERE
        taken = ", ".join(f"`{option}`" for option in options) if known else "one of a list"
        usual = usual and f"`{usual}`"
    elif kind in PLAIN:
        taken = PLAIN[kind]
        if settings.get("control_after_generate"):
            return taken  # a seed: any will do
        if kind in ("INT", "FLOAT"):
            taken += f" from {settings['min']:g} to {settings['max']:g}"
            usual = f"{usual:g}"
        elif kind == "BOOLEAN":
            usual = "on" if usual else "off"
        elif usual is not None:
            usual = f"`{usual}`" if usual else "empty"
    else:
        taken = kind + (", may be left open" if settings.get("optional") else "")
    return taken if usual is None else f"{taken}; usually {usual}"


def main(given: list[str] | None = None) -> None:
    into = arguments(__doc__).parse_args(given).into
    with serving(into / WORK / "comfyui") as server:
        object_info = server.object_info()
    for path in sorted((ROOT / "web" / "docs").glob("*.md")):
        page = filled(path.read_text("ascii"), object_info[path.stem])
        written = into / path.relative_to(ROOT)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(page, "ascii")


if __name__ == "__main__":
    main()
