"""What is judged: the boxes that every rule of the filter but its threshold keeps, and the phrases that were asked for.

Non-maximum suppression and the other rules go down the scores, so that the boxes of this population above a threshold
are those that the filter would keep at that threshold. Their strata are bands of the score, and whether the phrase is
common: the most frequent phrases (by norm) that together make up half of all mentions are common, the others rare.

Each unit has a number that follows from its key, span and corners alone. It decides the draw, so that a box that a
relabel has not changed is drawn again and its judgement counts on.

The boxes are those of the run's teacher, or those of one of `label.teachers`, by its name: what the filter would keep
of its labels if it were alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.records import make_key
from schemas.rows import Corners
from schemas.tables import LabelTable, PhraseTable, ScoreTable
from stages import grid
from stages.filter.rules import filter_labels
from stages.filter.second_opinion import needs_scores
from stages.flat import FlatBoxes, FlatPhrases, asked_phrases
from stages.hashes import hash_texts
from stages.label.several import folder_of, other_names
from stages.stage import RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

BANDS = np.array([0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])  # a band is (edge, next edge]
CLASSES = ("common", "rare")
STRATA = len(CLASSES) * len(BANDS)  # of boxes; common ones first, each by rising score
# Rules that hear somebody else, who was asked about the boxes of the run's teacher.
ALONE = {"agree": 1, "relabel": False, "combine": "none", "min_region_score": None, "min_image_score": None}
SPACE = 1 << 22  # counters of mentions; phrases that share one count as one, and may pass for more common than they are

Ints = NDArray[np.int64]
Numbers = NDArray[np.uint64]


@dataclass(frozen=True)
class Units:
    """Boxes or phrases of one part, (N,) each; phrases have no corners and no score."""

    part: int
    row: Ints  # in the part
    start: Ints  # span of the phrase in the caption
    end: Ints
    corners: NDArray[np.float32]  # (N, 4), or (N, 0)
    score: NDArray[np.float64]
    norm: pa.StringArray
    number: Numbers

    def keys(self, index: Ints) -> list[str]:
        return [make_key(self.part, row) for row in self.row[index].tolist()]


def number_of(key: str, span: tuple[int, int], corners: Corners | None) -> int:
    """The number of one unit, as `numbers` gives it."""
    sides = np.array([corners or ()], np.float32).reshape(1, -1)
    return int(numbers(np.array([int(key)]), np.array([span[0]]), np.array([span[1]]), sides)[0])


def numbers(key: Any, start: Any, end: Any, corners: NDArray[np.float32]) -> Numbers:
    """64 bits for each unit (N,) of key, span and corners (N, 0 or 4), the same for ever."""
    found = np.full(len(key), np.uint64(corners.shape[1]))
    for column in (key, start, end, *np.ascontiguousarray(corners.T).view(np.uint32)):
        found = mixed(found ^ np.asarray(column).astype(np.uint64))
    return found


def mixed(values: Numbers) -> Numbers:
    """SplitMix64's output function (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def labels_of(teacher: str) -> str:
    """The folder of a teacher's labels; "" is the run's."""
    return folder_of(teacher) if teacher else LabelTable.dataset


def teachers_of(io: RunIO, config: Config) -> list[str]:
    """The run's teacher, "", and the names of the others that have labelled something."""
    labelled = {name for name in other_names(config.label) for part in io.parts() if io.has_part(labels_of(name), part)}
    return ["", *(name for name in other_names(config.label) if name in labelled)]


def units_of_run(io: RunIO, config: Config, teacher: str = "") -> Iterator[tuple[Units, Units]]:
    """(boxes, phrases) of each labelled part. Raises UserError where none is."""
    parts = [part for part in io.parts() if io.has_part(labels_of(teacher), part)]
    if not parts:
        raise UserError("review: the run has no labels yet; run `phrasebox label` first")
    for part in parts:
        yield units_of_part(io, part, config, teacher)


def units_of_part(io: RunIO, part: int, config: Config, teacher: str = "") -> tuple[Units, Units]:
    columns = (PhraseTable.key, PhraseTable.caption, PhraseTable.phrases)
    captions = PhraseTable.read_part(io, part, *columns)
    labels = LabelTable(io.read_part(labels_of(teacher), part))
    phrases = FlatPhrases.of(captions)
    rules = config.filter.model_copy(update={"min_score": 0.0, **(ALONE if teacher else {})})
    lengths = pc.utf8_length(captions.aligned(labels.key).caption).to_numpy().astype(np.int64)
    opinions = (None, []) if teacher else _second_opinions(io, part, config)
    kept = FlatBoxes.of(filter_labels(labels, lengths, rules, *opinions), phrases)
    asked = np.flatnonzero(asked_phrases(phrases, labels))
    nothing = np.zeros((len(asked), 0), np.float32)
    return (
        _units(part, phrases, kept.phrase, kept.xyxy.astype(np.float32), kept.score),
        _units(part, phrases, asked, nothing, np.zeros(len(asked))),
    )


def _second_opinions(io: RunIO, part: int, config: Config) -> tuple[ScoreTable | None, list[LabelTable]]:
    """What the filter's rules hear beside the labels: the scores of rescore, and the labels of further teachers."""
    wanted = needs_scores(config.filter) and io.has_part(ScoreTable.dataset, part)
    scores = ScoreTable.read_part(io, part) if wanted else None
    folders = [folder_of(name) for name in other_names(config.label)] if config.filter.agree > 1 else []
    return scores, [
        LabelTable(io.read_part(name, part, ["key", "boxes"])) for name in folders if io.has_part(name, part)
    ]


def _units(
    part: int, phrases: FlatPhrases, index: Ints, corners: NDArray[np.float32], score: NDArray[np.float64]
) -> Units:
    row, start, end = (column[index].astype(np.int64) for column in (phrases.row, phrases.start, phrases.end))
    key = int(make_key(part, 0)) + row
    return Units(part, row, start, end, corners, score, phrases.norm.take(index), numbers(key, start, end, corners))


class Frequencies:
    """How often phrases are asked for in the whole run, by their norm. Memory: SPACE counters, whatever the corpus."""

    def __init__(self) -> None:
        self.counts = np.zeros(SPACE, np.int64)
        self.cut = 0  # mentions from which a phrase is common

    def add(self, phrases: Units) -> None:
        texts = phrases.norm.value_counts()
        self.counts += np.bincount(self._places(texts.field("values")), texts.field("counts"), SPACE).astype(np.int64)

    def settle(self) -> None:
        """All phrases are counted: find the cut."""
        falling = np.sort(self.counts[self.counts > 0])[::-1]
        half = np.searchsorted(falling.cumsum(), falling.sum() / 2)
        self.cut = int(falling[half]) if len(falling) else 0

    def common(self, units: Units) -> NDArray[np.bool_]:
        """(N,)"""
        encoded = units.norm.dictionary_encode()
        counts = self.counts[self._places(encoded.dictionary)]
        flags: NDArray[np.bool_] = (counts >= self.cut)[encoded.indices.to_numpy(zero_copy_only=False)]
        return flags

    @staticmethod
    def _places(texts: pa.StringArray) -> Ints:
        return (hash_texts(texts.to_pylist()) % np.uint64(SPACE)).astype(np.int64)


def frequencies(io: RunIO, config: Config) -> Frequencies:
    found = Frequencies()
    for _, phrases in units_of_run(io, config):
        found.add(phrases)
    found.settle()
    return found


def strata_of_boxes(units: Units, common: NDArray[np.bool_]) -> Ints:
    """(N,): 0 .. STRATA - 1."""
    band = np.searchsorted(BANDS, units.score, side="left") - 1
    return np.clip(band, 0, None) + len(BANDS) * ~common


def passed(units: Units) -> Ints:
    """(N,): how many thresholds of the audit's grid each score is above."""
    return grid.passed(units.score)
