"""Real captions that we annotated, kept without their text: file, line, a check of the caption, the phrases' spans.

A line of a table is `file <TAB> line <TAB> check <TAB> split <TAB> spans`: the caption file's name, the line in it from
1, the first eight hex digits of the caption's sha256, the split, and `start-end` of each phrase in characters, with one
more `-` behind a phrase that is not groundable.

real.tsv has the splits *train*, chosen where earlier chunkers were least sure or differed from each other or from the
parsers, and *dev*, drawn at random; there, groundable is not annotated. heldout.tsv has *dev* and *test*, drawn at
random among images without any annotated caption, and annotated before any chunker saw them. No training sees what
`kept_out` names: all but *train*, and whatever shares an image or its words with them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recipes.chunker.brackets import head_of
from recipes.chunker.captions import caption_of, image_of, lines_of

REAL, HELD_OUT = (Path(__file__).with_name(name) for name in ("real.tsv", "heldout.tsv"))
_NO_WORD = re.compile(r"[\W_]+")


def check_of(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()[:8]


def words_of(caption: str) -> str:
    """The caption's words alone: two captions that differ in marks and letter case are the same."""
    return _NO_WORD.sub(" ", caption.lower()).strip()


def kept_out(files: list[Path], measured: Iterable[str] = ()) -> set[tuple[str, int]]:
    """(file, line) of what no training may see: the captions that quality is measured on (those of our tables, and
    `measured`), all captions of their images, and the captions that have the same words as one of these."""
    rows = [row for table in (REAL, HELD_OUT) for row in real_rows(files, ("dev", "test"), table)]
    texts = {words_of(caption) for caption in (*measured, *(row["caption"] for row in rows))}
    entries = [
        (path.name, number, image_of(line), words_of(caption_of(line)))
        for path in files
        for number, line in enumerate(lines_of(path), 1)
    ]
    images = {image for *_, image, words in entries if words in texts} - {""}
    texts |= {words for *_, image, words in entries if image in images}
    return {(file, number) for file, number, _, words in entries if words in texts}


def real_rows(files: list[Path], splits: tuple[str, ...], table: Path) -> list[dict[str, Any]]:
    """{"caption", "spans", "groundable", "file", "line"}. Raises ValueError where a file has another caption."""
    lines = {path.name: lines_of(path) for path in files}
    rows = []
    for entry in lines_of(table):
        file, line, check, split, spans = entry.split("\t")
        if split not in splits or file not in lines:
            continue
        caption = caption_of(lines[file][int(line) - 1])
        if check_of(caption) != check:
            raise ValueError(
                f"{file}, line {line}: not the caption that was annotated; {table.name} needs the same file"
            )
        edges = [[int(edge) for edge in span.rstrip("-").split("-")] for span in spans.split()]
        groundable = [not span.endswith("-") for span in spans.split()]
        rows.append({"caption": caption, "spans": edges, "groundable": groundable, "file": file, "line": int(line)})
    return rows


def train_rows(files: list[Path], measured: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The annotated captions that training may see (`kept_out`)."""
    out = kept_out(files, measured)
    return [row for row in real_rows(files, ("train",), REAL) if (row["file"], row["line"]) not in out]


def measured_captions(path: Path | None) -> list[str]:
    """The captions of a file of JSON lines, or none."""
    return [json.loads(line)["caption"] for line in lines_of(path)] if path else []


def gold_rows(files: list[Path], split: str, table: Path = REAL) -> list[dict[str, Any]]:
    """The rows in the form of the gold files."""
    rows = []
    for row in real_rows(files, (split,), table):
        caption = row["caption"]
        phrases = [
            {"start": a, "end": b, "text": caption[a:b], "head": head_of(caption[a:b]), "groundable": groundable}
            for (a, b), groundable in zip(row["spans"], row["groundable"], strict=True)
        ]
        source = "flickr8k" if row["file"].startswith("flickr8k") else "cc3m"
        rows.append({"caption": caption, "source": source, "phrases": phrases})
    return rows
