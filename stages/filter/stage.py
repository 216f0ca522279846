"""labels -> pseudo: the boxes that are sure and sound enough to train on; why each other box was left out.

The rules act in this order, and a box is recorded under the first one that takes it out:

1. image_too_small, image_aspect, caption_length: of the whole image or caption, so of all its boxes;
2. low_score: score not above filter.min_score;
3. box_too_small: after clipping to the image, a side under filter.min_box_side, or none left at all;
4. nms: within a phrase, by falling score (the lower index first among equals), a box that overlaps a kept one by IoU
   above filter.nms_iou;
5. other_phrase: the same among the boxes of different phrases, above filter.phrase_nms_iou: a region goes to the phrase
   that claims it most. Off by default, as in GLIP;
6. too_many_boxes: beyond the filter.max_boxes best of the image.

Kept boxes stay in the order of labels. One rule of the section, `max_mask_box_gap`, asks for masks, which are made of
the boxes that are kept here: it acts where boxes leave the run, in shards and exports (stages/masks.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.compute as pc

from schemas.items import Ints
from schemas.tables import LabelTable, PairTable, PseudoTable
from stages.filter.rules import filter_labels
from stages.stage import Counts, Input, MapStage, Output, PartIO, PartResult, UserError, reject_rows

if TYPE_CHECKING:
    from schemas.config import Config


class FilterStage(MapStage):
    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (Input("labels"), Input("pairs", ("key", "caption")))
    outputs: ClassVar[tuple[Output, ...]] = (Output("pseudo"),)
    depends_on: ClassVar[tuple[str, ...]] = ("filter",)

    def __init__(self, config: Config) -> None:
        self.config = config.filter

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """Raises UserError for a rule about masks that are not made."""
        if config.filter.max_mask_box_gap < 1.0 and config.mask.model is None:
            raise UserError("filter.max_mask_box_gap needs masks: name a mask.model, or leave the rule at 1.0")
        return {}

    def run_part(self, io: PartIO) -> PartResult:
        labels = LabelTable.read(io, LabelTable.key, LabelTable.width, LabelTable.height, LabelTable.boxes)
        lengths = caption_lengths(labels, PairTable.read(io, PairTable.key, PairTable.caption))
        io.write(PseudoTable.dataset, filter_labels(labels, lengths, self.config).table)
        io.write("rejects/filter", reject_rows("filter", []))
        io.progress(len(labels))
        return PartResult(Counts(len(labels), len(labels)))


def caption_lengths(labels: LabelTable, pairs: PairTable) -> Ints:
    """Characters of the caption of every row of labels (R,). Raises ValueError for a row that pairs does not have."""
    lengths: Ints = pc.utf8_length(pairs.aligned(labels.key).caption).to_numpy().astype("int64")
    return lengths
