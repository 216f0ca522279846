"""What rescore says of the boxes that leave the run, in shards and exports: raw cosines, whatever the filter did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.items import Boxes, Flags, Ints, numbers, offsets_of
from schemas.tables import LabelTable, PseudoTable, ScoreTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cosines:
    """Of R images with their captions and of N boxes with their phrases; NaN where nobody was asked."""

    image: Floats  # (R,)
    region: Floats  # (N,)

    def keep(self, boxes: Flags) -> Cosines:
        """Those of some boxes (N,) alone."""
        return Cosines(self.image, self.region[boxes])


def of_kept(pseudo: PseudoTable, scores: ScoreTable | None) -> Cosines:
    """Of the boxes of pseudo, each with the phrase that the filter has left it with. Raises ValueError where scores are
    of other boxes. `scores` has a row for each row of labels but those that rescore rejected; None: there are none."""
    dropped, lengths = pseudo.dropped, pseudo.boxes.lengths + pseudo.dropped.lengths  # boxes in labels, of each row
    stays = np.ones(int(lengths.sum()), np.bool_)
    stays[offsets_of(lengths)[dropped.row] + dropped.box] = False
    return _beside(pseudo, scores, lengths, np.flatnonzero(stays))


def of_labelled(labels: LabelTable, scores: ScoreTable | None) -> Cosines:
    """Of all boxes of labels, with their own phrases. Raises ValueError as `of_kept`."""
    return _beside(labels, scores, labels.boxes.lengths, np.arange(len(labels.boxes)))


def _beside(table: LabelTable | PseudoTable, scores: ScoreTable | None, lengths: Ints, place: Ints) -> Cosines:
    """`lengths` (R,): boxes that each row of the table has in labels; `place` (N,): where its boxes are among those."""
    boxes = table.boxes
    found = Cosines(np.full(len(table), np.nan), np.full(len(boxes), np.nan))
    if scores is None:
        return found
    row = numbers(pc.index_in(table.key, value_set=scores.key)).astype(np.int64)  # (R,) of scores, -1: none
    has = row >= 0
    if not np.array_equal(scores.boxes.lengths[row[has]], lengths[has]) or len(place) != len(boxes):
        raise ValueError("the scores are not those of the boxes in labels; run `phrasebox rescore` again")
    found.image[has] = scores.image[row[has]]
    own = has[boxes.row]  # (N,) boxes of rows with scores
    at = place[own] + (scores.boxes.offsets[row] - offsets_of(lengths)[:-1])[boxes.row[own]]
    found.region[own] = _with_phrase(boxes, own, scores, at)
    return found


def _with_phrase(boxes: Boxes, own: Flags, scores: ScoreTable, at: Ints) -> Floats:
    """The cosine of each of some boxes with its phrase, which may be the one that rescore has found the best."""
    seen = scores.boxes
    better = (seen.best_phrase[at] == boxes.phrase[own]) & ~np.isnan(seen.best_score[at])
    return np.where(better, seen.best_score[at], seen.score[at]).astype(np.float64)


def region_score(cosine: float | None) -> dict[str, Any]:
    """What the JSON of a box says of it; nothing where there is none."""
    return {} if cosine is None or np.isnan(cosine) else {"region_score": float(cosine)}


def image_score(cosine: float | None) -> dict[str, Any]:
    """The same of an image."""
    return {} if cosine is None or np.isnan(cosine) else {"image_score": float(cosine)}
