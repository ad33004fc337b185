"""Reads one prompt a line, writes one JSON object a line."""

import io
import json
import sys

from . import parse
from .checks import Parsed


def main() -> None:
    """From standard input to standard output, both UTF-8."""
    for line in io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="replace", newline="\n"):
        text = json.dumps(described(parse(line.rstrip("\r\n"))), ensure_ascii=False)
        sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")


def described(parsed: Parsed) -> dict:
    """What a prompt wishes for, as plain data."""
    relations = [
        {
            "subject": wish.subject.text,
            "relation": wish.relation,
            "object": wish.object_text,
            "subject_span": wish.subject.span,
            "object_span": (wish.objects[0].span[0], wish.objects[-1].span[1]),
        }
        for wish in parsed.wishes
        if wish.object
    ]
    places = [
        {"thing": wish.subject.text, "place": wish.relation, "thing_span": wish.subject.span}
        for wish in parsed.wishes
        if not wish.object
    ]
    return {"prompt": parsed.prompt, "relations": relations, "places": places, "warnings": parsed.warnings}
