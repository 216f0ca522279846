"""labels (+ scores) -> pseudo: the boxes that are sure and sound enough to train on; why each other box was left out.

With `filter.relabel`, a box first goes to the phrase that fits its crop best; with `filter.combine`, its score becomes
the geometric mean of the teacher's score and of its crop's cosine. The rules act in this order, and a box is recorded
under the first one that takes it out:

1. image_too_small, image_aspect, caption_length: of the whole image or caption, so of all its boxes;
2. low_score, or low_combined_score with `combine`: score not above filter.min_score;
3. not_scored: a rule needs the cosine of the box's crop, and scores has none;
4. low_region_score: that cosine is not above filter.min_region_score;
5. box_too_small: after clipping to the image, a side under filter.min_box_side, or none left at all;
6. not_agreed: fewer than filter.agree teachers have a box of its phrase with an IoU of filter.agree_iou or more;
7. nms: within a phrase, by falling score (the lower index first among equals), a box that overlaps a kept one by IoU
   above filter.nms_iou;
8. other_phrase: the same among the boxes of different phrases, above filter.phrase_nms_iou: a region goes to the phrase
   that claims it most. Off by default, as in GLIP;
9. too_many_boxes: beyond the filter.max_boxes best of the image;
10. low_image_score: all that is left of an image whose cosine with its caption is not above filter.min_image_score;
   with `combine`, whose geometric mean of that and of the mean cosine of what is left.

Kept boxes stay in the order of labels. One rule of the section, `max_mask_box_gap`, asks for masks, which are made of
the boxes that are kept here: it acts where boxes leave the run, in shards and exports (stages/masks.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.compute as pc

from schemas.items import Ints
from schemas.records import OTHER_LABELS
from schemas.tables import LabelTable, PairTable, PseudoTable, ScoreTable
from stages.filter.rules import filter_labels
from stages.filter.second_opinion import needs_scores
from stages.label.several import folder_of, other_names
from stages.stage import Counts, Input, MapStage, Output, PartIO, PartResult, Stage, UserError, reject_rows

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
        self.others = [folder_of(name) for name in other_names(config.label)]

    @classmethod
    def all_inputs(cls, earlier: Sequence[type[Stage]]) -> tuple[Input, ...]:
        """With the labels of all further teachers."""
        folders = [output.folder for stage in earlier for output in stage.outputs]
        others = [folder for folder in folders if folder.startswith(OTHER_LABELS)]
        return (*cls.inputs, *(Input(folder, ("key", "boxes"), need="if_enabled") for folder in others))

    @classmethod
    def reads(cls, config: Config, item: Input) -> bool:
        """Scores and the labels of further teachers count for some rules alone."""
        if item.dataset.startswith(OTHER_LABELS):
            return config.filter.agree > 1
        return item.dataset != ScoreTable.dataset or bool(needs_scores(config.filter))

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
        teachers = max(len(config.label.teachers), 1)
        if config.filter.agree > teachers:
            raise UserError(f"filter.agree: {config.filter.agree} teachers cannot agree, label.teachers has {teachers}")
        return {}

    def run_part(self, io: PartIO) -> PartResult:
        labels = LabelTable.read(io, LabelTable.key, LabelTable.width, LabelTable.height, LabelTable.boxes)
        lengths = caption_lengths(labels, PairTable.read(io, PairTable.key, PairTable.caption))
        scores = ScoreTable.read(io) if io.has(ScoreTable.dataset) else None
        if scores is None and (rule := needs_scores(self.config)):
            raise UserError(f"filter.{rule}: {NO_SCORES}")
        others = [LabelTable(io.read(name, ["key", "boxes"])) for name in self.others if io.has(name)]
        io.write(PseudoTable.dataset, filter_labels(labels, lengths, self.config, scores, others).table)
        io.write("rejects/filter", reject_rows("filter", []))
        io.progress(len(labels))
        return PartResult(Counts(len(labels), len(labels)))


def caption_lengths(labels: LabelTable, pairs: PairTable) -> Ints:
    """Characters of the caption of every row of labels (R,). Raises ValueError for a row that pairs does not have."""
    lengths: Ints = pc.utf8_length(pairs.aligned(labels.key).caption).to_numpy().astype("int64")
    return lengths
