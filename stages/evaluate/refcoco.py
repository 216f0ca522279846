"""Referring segmentation on RefCOCO, RefCOCO+ and RefCOCOg: the object that a sentence refers to.

Each sentence is a caption with one phrase, the whole of it; the best box for it, of a score of at least 0.05, is the
model's answer, and prompts the segmenter of the section `mask`. Box accuracy: the share of sentences whose box has an
IoU above 0.5 with the object's. Masks, as LAVT (Yang et al. 2022) counts them: oIoU is the sum of all intersections
over the sum of all unions; mIoU the mean over the sentences; P@X the share of sentences with a mask IoU of at least X.
A sentence for which nothing is found has the IoU 0, and its object counts in the sum of unions. Without a segmenter,
box accuracy is all that is measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.gold_masks import Coded, iou_figures, overlap
from stages.evaluate.inputs import data_name, in_chunks, read_image
from stages.evaluate.refcoco_gold import Expression, GoldImage, read_gold
from stages.geometry import iou
from stages.rle import area, encode, of_json, runs_of_counts, to_json

if TYPE_CHECKING:
    from model.outputs import Grounding
    from model.scheduler import Scheduler
    from model.segmenter import Segmenter
    from stages.stage import Files

CHUNK = 4  # images in memory, each with some ten sentences
FLOOR = 0.05
BOX_IOU = 0.5


@dataclass
class Answers:
    """What was answered to each sentence: IoUs, and for masks the pixels in both and in either."""

    box_ious: list[float] = field(default_factory=list)
    both: list[int] = field(default_factory=list)
    either: list[int] = field(default_factory=list)
    found: int = 0

    def add(self, expression: Expression, box: NDArray[np.float32] | None, mask: Coded | None) -> None:
        """box (4,) and mask: None where nothing was found, or no mask is asked for."""
        gold = np.asarray(expression.box, np.float64)
        self.found += box is not None
        self.box_ious.append(0.0 if box is None else float(iou(box.astype(np.float64), gold)))
        both, either = (0, area_of(expression.mask)) if mask is None else overlap(mask, expression.mask)
        self.both.append(both)
        self.either.append(either)

    def boxes(self) -> dict[str, Any]:
        """In percent."""
        return {"box_accuracy": 100 * float(np.mean(np.asarray(self.box_ious) > BOX_IOU))}

    def masks(self) -> dict[str, Any]:
        """In percent."""
        return iou_figures(self.both, self.either)


def area_of(mask: Coded) -> int:
    return area(runs_of_counts(of_json(mask)[0]))


def evaluate_refcoco(
    model: Scheduler,
    files: Files,
    data: str,
    images: str,
    count: int,
    progress: Callable[[int], None],
    split: str = "val",
    segmenter: Segmenter | None = None,
) -> dict[str, Any]:
    """Figures in percent over the first `count` images of the split; `progress` gets the number of images done."""
    answers, failed, not_asked, done = Answers(), Counter[str](), Counter[str](), 0
    for gold in in_chunks(read_gold(files, data, split, count), CHUNK):
        pixels = [read_image(files, images, [image.name], image.size) for image in gold]
        results = iter(ground(model, gold, pixels))
        for image, own in zip(gold, pixels, strict=True):
            groundings = [next(results) for _ in image.expressions]
            failed.update(grounding.failed for grounding in groundings if grounding.failed)
            not_asked.update(reason for grounding in groundings for _, reason in grounding.dropped)
            boxes = [best_box(grounding) for grounding in groundings]
            masks = segmented(segmenter, own, boxes)
            for expression, box, mask in zip(image.expressions, boxes, masks, strict=True):
                answers.add(expression, box, mask)
        done += len(gold)
        progress(done)
    return {
        **answers.boxes(),
        **(answers.masks() if segmenter else {}),
        "expressions": len(answers.box_ious),
        "found": answers.found,
        "pictures": done,
        "split": split,
        "failed": dict(failed),
        "not_asked": dict(not_asked),
        "data": data_name(data, images),
        "protocol": " ".join((__doc__ or "").split()),
    }


def ground(model: Scheduler, gold: Sequence[GoldImage], pixels: Sequence[Any]) -> list[Grounding]:
    """What is found for each sentence of each image, in order."""
    asked = [(own, one.text) for image, own in zip(gold, pixels, strict=True) for one in image.expressions]
    return model.ground(
        [own for own, _ in asked],
        [text for _, text in asked],
        [[[(0, len(text))]] for _, text in asked],
        score_floor=FLOOR,
    )


def best_box(grounding: Grounding) -> NDArray[np.float32] | None:
    """(4,); None where nothing was found."""
    if not len(grounding.scores):
        return None
    best: NDArray[np.float32] = grounding.boxes[int(grounding.scores.argmax())].numpy()
    return best


def segmented(
    segmenter: Segmenter | None, image: Any, boxes: Sequence[NDArray[np.float32] | None]
) -> Iterator[Coded | None]:
    """The mask of each box; None where there is no box, or no segmenter. The image is encoded once."""
    asked = [box for box in boxes if box is not None]
    masks = iter(()) if segmenter is None else segmenter.segment(image, np.array(asked, np.float32).reshape(-1, 4))
    for box in boxes:
        found = None if box is None else next(masks, None)
        yield None if found is None else to_json(encode(found.mask), *found.mask.shape)
