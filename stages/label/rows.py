"""What the teacher needs of a part's pairs, and its answers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from schemas.items import Boxes, DroppedPhrases, offsets_of
from schemas.rows import ImageRef
from schemas.tables import LabelTable, PairTable, PhraseTable
from stages.stage import PartIO

if TYPE_CHECKING:
    from model.glip import Grounding


@dataclass(frozen=True)
class Row:
    """What the teacher needs of one pair."""

    key: str
    source_id: str
    caption: str
    spans: list[list[tuple[int, int]]]  # per phrase
    image: ImageRef | None
    size: tuple[int, int]  # (H, W), upright
    sha256: str


def read_rows(io: PartIO) -> list[Row]:
    """The rows of the phrases part, in order, with the image of the pair of the same key."""
    captions = PhraseTable.read(io, PhraseTable.key, PhraseTable.caption, PhraseTable.phrases)
    wanted = (PairTable.source_id, PairTable.image, PairTable.width, PairTable.height, PairTable.sha256)
    pairs = PairTable.read(io, PairTable.key, *wanted).aligned(captions.key)
    phrases = captions.phrases
    spans = [[span] for span in zip(phrases.start.tolist(), phrases.end.tolist(), strict=True)]
    columns = zip(
        captions.key.to_pylist(),
        pairs.source_id.to_pylist(),
        captions.caption.to_pylist(),
        phrases.slices(),
        pairs.image.refs(),
        zip(pairs.height.tolist(), pairs.width.tolist(), strict=True),
        pairs.sha256.to_pylist(),
        strict=True,
    )
    return [
        Row(key, source_id, caption, spans[own], image, size, sha256)
        for key, source_id, caption, own, image, size, sha256 in columns
    ]


def label_table(rows: Sequence[Row], found: Mapping[int, Grounding]) -> LabelTable:
    """One row for each result, in the order of the rows: boxes by phrase, then by falling score.

    `found`: the teacher's results by the index of their row.
    """
    numbers = sorted(found)
    results = [found[number] for number in numbers]
    offsets = offsets_of(np.asarray([len(result.scores) for result in results], np.int64))
    row = np.repeat(np.arange(len(results)), np.diff(offsets))  # (N,)
    xyxy = np.concatenate([np.zeros((0, 4), np.float32), *(result.boxes.numpy() for result in results)])  # (N, 4)
    score = np.concatenate([np.zeros(0, np.float32), *(result.scores.numpy() for result in results)])  # (N,)
    phrase = np.concatenate([np.zeros(0, np.int32), *(result.phrase.numpy() for result in results)])  # (N,)
    order = np.lexsort((-score, phrase, row))
    dropped = [entry for result in results for entry in result.dropped]
    return LabelTable.of_columns(
        key=[rows[number].key for number in numbers],
        width=[rows[number].size[1] for number in numbers],
        height=[rows[number].size[0] for number in numbers],
        boxes=Boxes(offsets, phrase[order], xyxy[order], score[order]),
        dropped=DroppedPhrases(
            offsets_of(np.asarray([len(result.dropped) for result in results], np.int64)),
            np.asarray([phrase for phrase, _ in dropped], np.int32),
            pa.array([reason for _, reason in dropped], pa.string()),
        ),
    )
