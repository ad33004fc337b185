"""Reads one prompt a line, writes one JSON object a line."""

import io
import json
import sys

from . import parse

for line in io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8"):
    parsed = parse(line.rstrip("\r\n"))
    wishes = [
        {
            "subject": wish.subject.text,
            "relation": wish.relation,
            "object": wish.object_text,
            "subject_span": wish.subject.span,
            "object_span": (wish.objects[0].span[0], wish.objects[-1].span[1]),
        }
        for wish in parsed.wishes
    ]
    print(json.dumps({"prompt": parsed.prompt, "relations": wishes, "warnings": parsed.warnings}))
