"""Real captions that we annotated, kept without their text: file, line, a check of the caption, the phrases' spans.

A line of real.tsv is `file <TAB> line <TAB> check <TAB> split <TAB> spans`: the caption file's name, the line in it
from 1, the first eight hex digits of the caption's sha256, dev or train, and `start-end` of each phrase in characters.
The *train* captions were chosen where earlier chunkers were least sure or differed from each other or from the
parsers; the *dev* ones at random, and no training sees them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from recipes.chunker.brackets import head_of
from recipes.chunker.captions import caption_of

REAL = Path(__file__).with_name("real.tsv")


def check_of(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()[:8]


def real_rows(files: list[Path], split: str, table: Path = REAL) -> list[dict[str, Any]]:
    """{"caption", "spans", "file", "line"} of one split. Raises ValueError where a file has another caption."""
    lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in files}
    rows = []
    for entry in table.read_text(encoding="utf-8").splitlines():
        file, line, check, part, spans = entry.split("\t")
        if part != split or file not in lines:
            continue
        caption = caption_of(lines[file][int(line) - 1])
        if check_of(caption) != check:
            raise ValueError(
                f"{file}, line {line}: not the caption that was annotated; {table.name} needs the same file"
            )
        pairs = [[int(edge) for edge in span.split("-")] for span in spans.split()]
        rows.append({"caption": caption, "spans": pairs, "file": file, "line": int(line)})
    return rows


def gold_rows(files: list[Path], split: str) -> list[dict[str, Any]]:
    """The rows in the form of the gold files. Groundable is not annotated here, so every phrase counts as such."""
    rows = []
    for row in real_rows(files, split):
        texts = [(a, b, row["caption"][a:b]) for a, b in row["spans"]]
        phrases = [{"start": a, "end": b, "text": t, "head": head_of(t), "groundable": True} for a, b, t in texts]
        source = "flickr8k" if row["file"].startswith("flickr8k") else "cc3m"
        rows.append({"caption": row["caption"], "source": source, "phrases": phrases})
    return rows
