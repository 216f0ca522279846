"""labels (+ scores) -> pseudo: the boxes that are sure and sound enough to train on; why each other box was left out.

With `filter.relabel`, a box first goes to the phrase that fits its crop best; with `filter.combine`, its score becomes
the geometric mean of the teacher's score and of its crop's cosine. The rules act in this order, and a box is recorded
under the first one that takes it out:

1. image_too_small, image_aspect, caption_length: of the whole image or caption, so of all its boxes;
2. low_score, or low_combined_score with `combine`: score not above filter.min_score;
3. not_scored: a rule needs the cosine of the box's crop, and scores has none;
4. low_region_score: that cosine is not above filter.min_region_score;
5. box_too_small: after clipping to the image, a side under filter.min_box_side, or none left at all;
6. nms: within a phrase, by falling score (the lower index first among equals), a box that overlaps a kept one by IoU
   above filter.nms_iou;
7. other_phrase: the same among the boxes of different phrases, above filter.phrase_nms_iou: a region goes to the phrase
   that claims it most. Off by default, as in GLIP;
8. too_many_boxes: beyond the filter.max_boxes best of the image;
9. low_image_score: all that is left of an image whose cosine with its caption is not above filter.min_image_score; with
   `combine`, whose geometric mean of that and of the mean cosine of what is left.

Kept boxes stay in the order of labels. One rule of the section, `max_mask_box_gap`, asks for masks, which are made of
the boxes that are kept here: it acts where boxes leave the run, in shards and exports (stages/masks.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.compute as pc

from schemas.items import Ints
from schemas.tables import LabelTable, PairTable, PseudoTable, ScoreTable
from stages.filter.rules import filter_labels
from stages.filter.second_opinion import needs_scores
from stages.stage import Counts, Input, MapStage, Output, PartIO, PartResult, UserError, reject_rows

if TYPE_CHECKING:
    from schemas.config import Config


NO_SCORES = "needs the scores of rescore, which is off; name a model in rescore.model, or leave this rule out"


class FilterStage(MapStage):
    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("labels"),
        Input("pairs", ("key", "caption")),
        Input("scores", need="if_enabled"),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("pseudo"),)
    depends_on: ClassVar[tuple[str, ...]] = ("filter",)

    def __init__(self, config: Config) -> None:
        self.config = config.filter

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """Raises UserError for a rule that needs what no stage of this run makes."""
        if config.filter.max_mask_box_gap < 1.0 and config.mask.model is None:
            raise UserError("filter.max_mask_box_gap needs masks: name a mask.model, or leave the rule at 1.0")
        rule, rescore = needs_scores(config.filter), config.rescore
        if rule and rescore.model is None:
            raise UserError(f"filter.{rule}: {NO_SCORES}")
        if config.filter.relabel and not rescore.relabel:
            raise UserError("filter.relabel: rescore.relabel is off, so that scores/ names no better phrase")
        return {}

    def run_part(self, io: PartIO) -> PartResult:
        labels = LabelTable.read(io, LabelTable.key, LabelTable.width, LabelTable.height, LabelTable.boxes)
        lengths = caption_lengths(labels, PairTable.read(io, PairTable.key, PairTable.caption))
        scores = ScoreTable.read(io) if io.has(ScoreTable.dataset) else None
        if scores is None and (rule := needs_scores(self.config)):
            raise UserError(f"filter.{rule}: {NO_SCORES}")
        io.write(PseudoTable.dataset, filter_labels(labels, lengths, self.config, scores).table)
        io.write("rejects/filter", reject_rows("filter", []))
        io.progress(len(labels))
        return PartResult(Counts(len(labels), len(labels)))


def caption_lengths(labels: LabelTable, pairs: PairTable) -> Ints:
    """Characters of the caption of every row of labels (R,). Raises ValueError for a row that pairs does not have."""
    lengths: Ints = pc.utf8_length(pairs.aligned(labels.key).caption).to_numpy().astype("int64")
    return lengths
