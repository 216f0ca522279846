"""Sheets of a run's photos with the boxes that were kept, so that a person can look at what a teacher does.

    python -m recipes.glip_photos.look RUN [--count 40] [--seed 0] [--threshold SCORE] [--out look]

Draws photos among all pairs, one of each image, and writes OUT-1.png, OUT-2.png ... with 20 on each. Below every photo
stands its caption; phrases that have a box are underlined in the box's colour.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.run.existing import read_run
from schemas.tables import PairTable
from stages.inspect.show import show
from stages.stage import RunIO, UserError

COLUMNS, ROWS = 5, 4
WIDTH, LONGEST = 400, 460  # pixels of a photo with its caption
PAPER = "#fbfaf6"


def main(command: Sequence[str] | None = None) -> None:
    """Runs a command, that of the process by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run that is filtered")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=None, help="all labelled boxes above it, not the kept ones")
    parser.add_argument("--out", type=Path, default=Path("look"), help="how the names of the sheets begin")
    options = parser.parse_args(command)
    try:
        run = read_run(options.run)
        photos = list(drawings(run, drawn(run, options.count, options.seed), options.threshold))
    except UserError as error:
        parser.error(str(error))
    for number, sheet in enumerate(sheets(photos), start=1):
        path = options.out.with_name(f"{options.out.name}-{number}.png")
        sheet.save(path)
        sys.stdout.write(f"{path}\n")


def drawn(run: RunIO, count: int, seed: int) -> list[str]:
    """Keys of so many images, in their order; all where there are fewer. The first pair of each image."""
    first: dict[str, str] = {}
    for part in run.parts():
        pairs = PairTable.read_part(run, part, PairTable.key, PairTable.sha256)
        for key, digest in zip(pairs.key.to_pylist(), pairs.sha256.to_pylist(), strict=True):
            if digest:  # else a caption alone
                first.setdefault(digest, key)
    keys = list(first.values())
    return sorted(np.random.default_rng(seed).permutation(keys)[:count].tolist())


def drawings(run: RunIO, keys: Sequence[str], threshold: float | None) -> Iterator[Image.Image]:
    """Each photo that can be decoded, with its boxes and its caption. Raises UserError where there is none."""
    if not keys:
        raise UserError("the run has no image to look at")
    for shown in show(run, keys, threshold=threshold):
        if shown.png is not None:
            yield Image.open(io.BytesIO(shown.png))


def sheets(photos: Sequence[Image.Image]) -> Iterator[Image.Image]:
    """20 photos on each, row by row."""
    for photo in photos:
        photo.thumbnail((WIDTH - 10, LONGEST))
    lines = [photos[at : at + COLUMNS] for at in range(0, len(photos), COLUMNS)]
    for at in range(0, len(lines), ROWS):
        part = lines[at : at + ROWS]
        tops = [0, *accumulate(max(photo.height for photo in line) + 10 for line in part)]
        sheet = Image.new("RGB", (COLUMNS * WIDTH, tops[-1]), PAPER)
        for top, line in zip(tops, part, strict=False):
            for column, photo in enumerate(line):
                sheet.paste(photo, (column * WIDTH + 5, top + 5))
        yield sheet


if __name__ == "__main__":
    main()
