"""Captions of caption files, and the tokens of a caption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stages.phrases.tokens import Token, plain_spaces, tokenize


def caption_of(line: str) -> str:
    """The caption in one line of a caption file.

    Caption files are tab-separated, with the caption in the column that reads like one: `caption<TAB>url` (Conceptual
    Captions) or `image#n<TAB>caption` (Flickr8k).
    """
    fields = line.split("\t")
    return fields[1] if "#" in fields[0] and fields[0].rpartition("#")[2].isdigit() else fields[0]


def captions_of(path: Path) -> Iterator[str]:
    """The captions of a file that are not empty."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if (caption := caption_of(line)).strip():
            yield caption


def tokens_of(caption: str) -> list[Token]:
    """The chunker's own tokens, with offsets in the caption."""
    found, offset = [], 0
    for piece in plain_spaces(caption).split(" "):
        found += [token._replace(start=token.start + offset, end=token.end + offset) for token in tokenize(piece)]
        offset += len(piece) + 1
    return found
