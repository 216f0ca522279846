"""Captions of caption files, and the tokens of a caption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stages.phrases.tokens import Token, plain_spaces, tokenize


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def caption_of(line: str) -> str:
    """The caption in one line of a caption file: `caption<TAB>url` (Conceptual Captions) or `image#n<TAB>caption`
    (Flickr8k)."""
    return line.split("\t")[1] if image_of(line) else line.split("\t")[0]


def image_of(line: str) -> str:
    """The image of a Flickr8k line, which has five captions; empty in other files, where each image has one."""
    image, _, number = line.split("\t")[0].rpartition("#")
    return image if number.isdigit() else ""


def captions_of(path: Path) -> Iterator[str]:
    """The captions of a file that are not empty."""
    return (caption for line in lines_of(path) if (caption := caption_of(line)).strip())


def tokens_of(caption: str) -> list[Token]:
    """The chunker's own tokens, with offsets in the caption."""
    found, offset = [], 0
    for piece in plain_spaces(caption).split(" "):
        found += [token._replace(start=token.start + offset, end=token.end + offset) for token in tokenize(piece)]
        offset += len(piece) + 1
    return found
