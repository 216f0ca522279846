"""What people judged: reviews/NAME.jsonl, one line a judgement, only ever appended to.

The last line of a reviewer about a unit counts; one with the verdict null takes back what was said before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from schemas.rows import Corners
from stages.review.population import number_of
from stages.stage import RunIO, UserError

FOLDER = "reviews"
RIGHT, WRONG_BOX, WRONG_PHRASE, UNSURE = "right", "wrong_box", "wrong_phrase", "unsure"
THERE, ABSENT = "there", "absent"  # of a phrase
VERDICTS = {"box": (RIGHT, WRONG_BOX, WRONG_PHRASE, UNSURE), "phrase": (THERE, ABSENT, UNSURE)}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Judgement:
    """One line. `box`: of a phrase None; `boxes`: where its things are. All boxes are upright pixels, half-open.

    `corrected` is where a box that was right belongs more exactly; `drawn` is false for what a person added, which is
    no sample of anything. `labels` is the sha256 of the part of labels that was judged.
    """

    reviewer: str
    kind: str  # "box" or "phrase"
    key: str
    start: int  # of the phrase in the caption
    end: int
    text: str
    box: Corners | None
    verdict: str | None
    labels: str
    teacher: str
    time: str
    boxes: tuple[Corners, ...] = ()
    corrected: Corners | None = None
    drawn: bool = True
    source: str = "page"

    @property
    def number(self) -> int:
        return number_of(self.key, (self.start, self.end), self.box)

    def line(self) -> bytes:
        return (json.dumps(asdict(self), ensure_ascii=False, allow_nan=False) + "\n").encode()


def path_of(reviewer: str) -> str:
    """The file of a reviewer. Raises UserError for a name that makes none."""
    if not NAME.fullmatch(reviewer):
        raise UserError(
            f"review: {reviewer[:60]!r} cannot be a reviewer's name; use up to 40 letters, digits, '.', '_' and '-'"
        )
    return f"{FOLDER}/{reviewer}.jsonl"


def read_journals(io: RunIO) -> list[Judgement]:
    """What counts, of every reviewer: the last word on each unit, in the order in which units came first.

    Raises UserError for a line that is no judgement, but not for a last one that was cut off while it was written.
    """
    found: list[Judgement] = []
    for path in io.files(FOLDER):
        name = path.removeprefix(f"{FOLDER}/").removesuffix(".jsonl")
        if path.endswith(".jsonl") and NAME.fullmatch(name):
            with io.open(path) as file:
                found += read_journal(file.read(), path)
    return found


def read_journal(data: bytes, path: str) -> list[Judgement]:
    return last_words(parse(data, path))


def last_words(judgements: Iterable[Judgement]) -> list[Judgement]:
    latest = {(judgement.reviewer, judgement.kind, judgement.number): judgement for judgement in judgements}
    return [judgement for judgement in latest.values() if judgement.verdict is not None]


def parse(data: bytes, path: str) -> Iterable[Judgement]:
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield judgement_of(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number}: no judgement ({error}); mend or remove the line") from None


def judgement_of(record: dict[str, Any]) -> Judgement:
    """Raises ValueError, TypeError or KeyError for what is none."""
    judgement = Judgement(**{**record, "box": corners_of(record["box"]), "corrected": corners_of(record["corrected"])})
    if judgement.kind not in VERDICTS or judgement.verdict not in (*VERDICTS[judgement.kind], None):
        raise ValueError(f"a {judgement.kind} that is {judgement.verdict}")
    if not (judgement.key.isascii() and judgement.key.isdigit() and len(judgement.key) == 12):
        raise ValueError(f"key {judgement.key[:20]!r}")
    if (judgement.box is None) != (judgement.kind == "phrase"):
        raise ValueError("a box without corners, or a phrase with some")
    boxes = tuple(corners for box in record["boxes"] if (corners := corners_of(box)))
    return Judgement(**{**asdict(judgement), "boxes": boxes})


def corners_of(values: Any) -> Corners | None:
    """Four finite numbers, rising. Raises ValueError or TypeError."""
    if values is None:
        return None
    x1, y1, x2, y2 = map(float, values)
    if not (0 <= x1 < x2 < 1e6 and 0 <= y1 < y2 < 1e6):
        raise ValueError(f"box {values} has no area")
    return x1, y1, x2, y2
