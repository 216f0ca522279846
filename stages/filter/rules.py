"""The rules of the filter, over all boxes of a part at once; `stages/filter/stage.py` says what each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.items import Boxes, DroppedBoxes, Flags, Ints, offsets_of
from schemas.tables import LabelTable, PseudoTable, ScoreTable
from stages.filter.agreement import agreeing, beside
from stages.filter.second_opinion import Opinion, image_scores, with_opinion
from stages.geometry import clip, suppressed

RULES = (
    "",  # kept
    "image_too_small",
    "image_aspect",
    "caption_length",
    "not_scored",
    "low_score",
    "low_combined_score",
    "low_region_score",
    "box_too_small",
    "not_agreed",
    "nms",
    "other_phrase",
    "too_many_boxes",
    "low_image_score",
)
CODE = {reason: code for code, reason in enumerate(RULES)}


def filter_labels(
    labels: LabelTable,
    caption_chars: Ints,
    rules: Any,
    scores: ScoreTable | None = None,
    others: Sequence[LabelTable] = (),
) -> PseudoTable:
    """caption_chars: length of each row's caption (R,); `rules`: the filter section of the config. For the rules that
    need them, `scores` are those of rescore, and `others` the labels of further teachers."""
    boxes, opinion = with_opinion(labels, clipped(labels), scores, rules)
    code = image_rules(labels, caption_chars, rules)[boxes.row]  # (N,)
    code = np.where(code == 0, score_rules(boxes, opinion, rules), code)
    code[(code == 0) & too_small(boxes, rules.min_box_side)] = CODE["box_too_small"]
    if rules.agree > 1:
        by_others = [beside(labels, other) for other in others]
        code[code == 0] = np.where(
            agreeing(boxes.keep(code == 0), by_others, rules) < rules.agree, CODE["not_agreed"], 0
        )
    code[code == 0] = np.where(overlapping(boxes.keep(code == 0), rules.nms_iou), CODE["nms"], 0)
    code[code == 0] = np.where(claimed(boxes.keep(code == 0), rules.phrase_nms_iou), CODE["other_phrase"], 0)
    code[code == 0] = np.where(beyond_best(boxes.keep(code == 0), rules.max_boxes), CODE["too_many_boxes"], 0)
    code = np.where(code == 0, image_fit(boxes, opinion, code == 0, rules), code)
    return PseudoTable.of_columns(
        key=labels.key,
        width=labels.width,
        height=labels.height,
        boxes=boxes.keep(code == 0),
        dropped=dropped(boxes, code),
    )


def clipped(labels: LabelTable) -> Boxes:
    """All boxes, cut at the borders of their images."""
    boxes = labels.boxes
    return replace(boxes, xyxy=clip(boxes.xyxy, labels.width[boxes.row], labels.height[boxes.row]))


def image_rules(labels: LabelTable, caption_chars: Ints, rules: Any) -> NDArray[np.int8]:
    """The code of the first rule that a row as a whole fails, 0 for none: (R,)."""
    short, long = np.minimum(labels.width, labels.height), np.maximum(labels.width, labels.height)
    code = np.zeros(len(labels), np.int8)
    code[(caption_chars < rules.min_caption_chars) | (caption_chars > rules.max_caption_chars)] = CODE["caption_length"]
    code[long > rules.max_aspect * short] = CODE["image_aspect"]
    code[short < rules.min_image_side] = CODE["image_too_small"]
    return code


def score_rules(boxes: Boxes, opinion: Opinion, rules: Any) -> NDArray[np.int8]:
    """The code of the first rule about its scores that a box fails, 0 for none: (N,)."""
    combined, least = rules.combine != "none", rules.min_region_score
    low: Flags = ~(boxes.score.astype(np.float64) > rules.min_score)
    failed = {
        "low_score": low & (not combined),
        "not_scored": np.isnan(opinion.region) & (combined or least is not None),
        "low_combined_score": low & combined,
        "low_region_score": opinion.region <= (-np.inf if least is None else least),
    }
    return np.select(list(failed.values()), [np.int8(CODE[reason]) for reason in failed], np.int8(0))


def image_fit(boxes: Boxes, opinion: Opinion, kept: Flags, rules: Any) -> NDArray[np.int8]:
    """The code (N,) of boxes whose image does not fit its caption, or of which nobody knows; `kept` (N,): by the rules
    before."""
    if rules.min_image_score is None:
        return np.zeros(len(boxes), np.int8)
    score = image_scores(opinion, boxes, kept, rules.combine)[boxes.row]
    failed = [np.isnan(score), score <= rules.min_image_score]
    return np.select(failed, [np.int8(CODE["not_scored"]), np.int8(CODE["low_image_score"])], np.int8(0))


def too_small(boxes: Boxes, min_side: float) -> Flags:
    """(N,): a side under the limit, or no area at all."""
    sides = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]  # (N, 2)
    small: Flags = ~np.all((sides >= min_side) & (sides > 0), axis=1)  # NaN is small
    return small


def overlapping(boxes: Boxes, limit: float) -> Flags:
    """(N,): boxes that non-maximum suppression takes out within each phrase of each image."""
    if limit >= 1.0:
        return np.zeros(len(boxes), np.bool_)
    return suppressed(boxes.xyxy.astype(np.float64), boxes.score, [boxes.phrase, boxes.row], limit)


def claimed(boxes: Boxes, limit: float) -> Flags:
    """(N,): the same between the phrases of each image, boxes that overlap a better one of another phrase."""
    if limit >= 1.0:
        return np.zeros(len(boxes), np.bool_)
    return suppressed(boxes.xyxy.astype(np.float64), boxes.score, [boxes.row], limit, rivals=boxes.phrase)


def beyond_best(boxes: Boxes, most: int) -> Flags:
    """(N,): boxes that are not among the `most` best of their image; the lower index wins among equals."""
    order = np.lexsort((-boxes.score, boxes.row))
    beyond = np.zeros(len(boxes), np.bool_)
    beyond[order] = boxes.place >= most  # rows stay in order, so that a place in the row is a rank
    return beyond


def dropped(boxes: Boxes, code: NDArray[np.int8]) -> DroppedBoxes:
    """Boxes that a rule took out, by their index in labels; code (N,): 0 for a box that is kept."""
    gone = code != 0
    reason = pa.DictionaryArray.from_arrays(pa.array(code[gone]), list(RULES)).cast(pa.string())
    return DroppedBoxes(offsets_of(gone)[boxes.offsets], boxes.place[gone].astype(np.int32), reason)
