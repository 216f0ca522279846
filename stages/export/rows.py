"""The boxes of a part that are exported, by key, with what masks and scores know of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.rows import Box, Mask
from schemas.tables import LabelTable, MaskTable, PseudoTable, ScoreTable
from stages.masks import select
from stages.scores import of_kept, of_labelled
from stages.stage import RunIO


@dataclass(frozen=True)
class Row:
    """The boxes of a pair, the masks and cosines of those that have one, and the cosine of image and caption."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    masks: Mapping[Box, Mask] = field(default_factory=dict)
    cosines: Mapping[Box, float] = field(default_factory=dict)  # of its crop with its phrase; NaN: none
    fit: float = float("nan")


def labelled_rows(io: RunIO, part: int, min_score: float) -> dict[str, Row]:
    """The labelled boxes above a score, whatever the filter said. Masks are those of kept boxes alone."""
    table = LabelTable.read_part(io, part)
    cosines = of_labelled(table, _scores(io, part))
    rows = {}
    for row, own, fit in zip(table.records(), table.boxes.slices(), cosines.image.tolist(), strict=True):
        of_box = dict(zip(row.boxes, cosines.region[own].tolist(), strict=True))
        boxes = tuple(box for box in row.boxes if box.score > min_score)
        rows[row.key] = Row(row.width, row.height, boxes, cosines=of_box, fit=fit)
    return rows


def kept_rows(io: RunIO, part: int, max_mask_box_gap: float, loose: Counter[str]) -> dict[str, Row]:
    """The boxes of pseudo. Boxes that are left out because of their masks are counted in `loose`."""
    pseudo = PseudoTable.read_part(io, part)
    table = MaskTable.read_part(io, part) if io.has_part(MaskTable.dataset, part) else None
    selected = select(pseudo, table, max_mask_box_gap)
    if selected.left_out:
        loose["mask_box_gap"] += selected.left_out
    cosines = of_kept(pseudo, _scores(io, part)).keep(selected.stays)
    columns = {"key": pseudo.key, "width": pseudo.width, "height": pseudo.height, "dropped": pseudo.dropped}
    kept = PseudoTable.of_columns(**columns, boxes=selected.boxes).records()
    rows = {}
    for row, own, fit in zip(kept, selected.boxes.slices(), cosines.image.tolist(), strict=True):
        masks = {box: mask for box, mask in zip(row.boxes, selected.masks[own], strict=True) if mask is not None}
        of_box = dict(zip(row.boxes, cosines.region[own].tolist(), strict=True))
        rows[row.key] = Row(row.width, row.height, row.boxes, masks, of_box, fit)
    return rows


def _scores(io: RunIO, part: int) -> ScoreTable | None:
    return ScoreTable.read_part(io, part) if io.has_part(ScoreTable.dataset, part) else None
