"""Write what the nodes say of their inputs and outputs into their help pages: `make docs`.

    python tools/help_pages.py

asks a running ComfyUI for the nodes and fills web/docs/*.md between two comments, which the editor does not show. The
rest of each page is written by hand.
"""

from live_server import choices, inputs, serving
from paths import ROOT, arguments

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
    asked = [(name, spec[1]["tooltip"], value(name, spec)) for name, spec in inputs(info).items()]
    kinds = [PLAIN.get(kind, kind) for kind in info["output"]]
    given = list(zip(info["output_name"], info["output_tooltips"], kinds, strict=True))
    return "\n\n".join(table(title, rows) for title, rows in (("Inputs", asked), ("Outputs", given)) if rows)


def table(title: str, rows: list[tuple[str, str, str]]) -> str:
    """rows: name, tooltip, value. Two columns: the editor shows pages in a narrow panel and cuts off what is wider."""
    cells = [(f"**{name}**", f"{tooltip} *({kind})*".replace("|", "\\|")) for name, tooltip, kind in rows]
    lines = [f"| {name} | {text} |" for name, text in cells]
    return "\n".join([f"## {title}", "", "| name | what it is |", "|---|---|", *lines])


def value(name: str, spec: list) -> str:
    """What an input takes, in words: "number from 0 to 5; usually 1"."""
    kind, settings = spec[0], spec[1]
    taken, usual = PLAIN.get(kind, kind), settings.get("default")
    if settings.get("control_after_generate"):
        return taken  # a seed: any will do
    if (options := choices(spec)) is not None:
        taken = "one of a list" if name in ELSEWHERE else ", ".join(f"`{option}`" for option in options)
    elif kind in ("INT", "FLOAT"):
        taken += f" from {settings['min']:g} to {settings['max']:g}"
        taken += f" in steps of {settings['step']}" if kind == "INT" and settings.get("step", 1) > 1 else ""
    if kind == "BOOLEAN":
        usual = "on" if usual else "off"
    elif isinstance(usual, str):
        usual = f"`{usual}`" if usual else "empty"
    elif usual is not None:
        usual = f"{usual:g}"
    told = [taken] + [f"usually {usual}"] * (usual is not None) + ["advanced"] * settings.get("advanced", False)
    return "; ".join(told)


def main(given: list[str] | None = None) -> None:
    into = arguments(__doc__).parse_args(given).into
    with serving() as server:
        object_info = server.object_info()
    for path in sorted((ROOT / "web" / "docs").glob("*.md")):
        page = filled(path.read_text("ascii"), object_info[path.stem])
        written = into / path.relative_to(ROOT)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(page, "ascii")


if __name__ == "__main__":
    main()
