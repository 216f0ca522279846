"""Annotated captions written with brackets, one a line: `[a man] in [the distance]-` (`-` behind: not groundable).

python -m recipes.chunker.brackets SOURCE < captions.txt > captions.jsonl
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

_MARK = re.compile(r"\[([^\]\[]*)\](-?)|([^\]\[]+)")
_SPACED_HYPHEN = re.compile(r"\w+ - \w+$")
_QUANTITY = re.compile(r"[$€£¥] ?[\d.,]+$|[\d.,]+ ?(?:\w{1,2}|°\w)$")
_WITH_NUMBER = re.compile(r"([^\W\d]\w*) \d+$")
_HEAD = re.compile(r"[^\s\"“”]+$")


def parse(line: str) -> tuple[str, list[tuple[int, int, bool]]]:
    """The caption, and (start, end, groundable) of its phrases. Raises ValueError on a bracket that does not match."""
    caption, spans, done = "", [], 0
    for match in _MARK.finditer(line):
        if match.start() != done:
            raise ValueError(f"a bracket without its partner: {line!r}")
        done = match.end()
        inside, mark, outside = match.groups()
        if inside is not None:
            spans.append((len(caption), len(caption) + len(inside), not mark))
        caption += outside if inside is None else inside
    if done != len(line):
        raise ValueError(f"a bracket without its partner: {line!r}")
    return caption, spans


def head_of(phrase: str) -> str:
    """The head by the guide: the last word, a spaced compound, the noun before a number, a quantity's last token."""
    if match := _SPACED_HYPHEN.search(phrase):
        return match[0].lower()
    if (match := _WITH_NUMBER.search(phrase)) and not _QUANTITY.fullmatch(phrase):
        return match[1].lower()
    last = _HEAD.search(phrase)
    return (last[0] if last else phrase).lower().lstrip("$€£¥")


def record(line: str, source: str, number: int) -> dict[str, Any]:
    caption, spans = parse(line)
    phrases = [
        {"start": a, "end": b, "text": caption[a:b], "head": head_of(caption[a:b]), "groundable": g}
        for a, b, g in spans
    ]
    return {"id": f"{source}{number:03d}", "source": source, "caption": caption, "phrases": phrases}


def main() -> None:
    for number, line in enumerate(sys.stdin):
        sys.stdout.write(json.dumps(record(line.rstrip("\n"), sys.argv[1], number), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
