"""Flickr30k Entities: Recall@1, 5 and 10 at IoU 0.5 (Plummer et al. 2015; GLIP section 4.3), by two protocols.

Each caption is grounded with its annotated phrases. Every phrase that has a box counts once in every caption in which
it stands; the boxes found for it are ranked by score, and Recall@k is the share of phrases for which one of the k best
is right. Any-box: right is IoU >= 0.5 with any of the phrase's true boxes (MDETR, GLIP). Merged-box: with the one box
around them all (Plummer et al.). A phrase for which nothing is found is missed. Boxes have a score of at least 0.05,
and a phrase has at most 100.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.agreement import MATCH_IOU
from stages.evaluate.flickr30k_gold import Caption, GoldImage, Phrase, box_convention, read_gold
from stages.evaluate.inputs import check_boxes, data_name, in_chunks, read_image
from stages.geometry import iou

if TYPE_CHECKING:
    from model.outputs import Grounding
    from model.scheduler import Scheduler
    from stages.stage import Files

CHUNK = 8  # images in memory, each with some five captions
FLOOR = 0.05
RANKS = (1, 5, 10)
PROTOCOLS = ("any_box", "merged_box")
ALL = "all"


class Recall:
    """Phrases, and those of them that were found, by protocol, rank and coarse category."""

    def __init__(self) -> None:
        self.phrases: Counter[str] = Counter()
        self._found: Counter[tuple[str, int, str]] = Counter()

    def add(self, ranked: NDArray[np.float32], phrase: Phrase) -> None:
        """ranked: (N, 4) half-open boxes of one phrase, best first."""
        kinds = {ALL, *phrase.types}
        self.phrases.update(kinds)
        for protocol, boxes in zip(PROTOCOLS, (phrase.boxes, merged(phrase.boxes)), strict=True):
            right: NDArray[np.bool_] = np.any(iou(ranked[:, None], boxes) >= MATCH_IOU, axis=1)  # (N,)
            self._found.update((protocol, k, kind) for k in RANKS if right[:k].any() for kind in kinds)

    def report(self, kind: str = ALL) -> dict[str, Any]:
        """In percent; None where there is no phrase."""
        phrases = self.phrases[kind]
        shares = {
            protocol: {f"R@{k}": 100 * self._found[protocol, k, kind] / phrases if phrases else None for k in RANKS}
            for protocol in PROTOCOLS
        }
        return {"phrases": phrases, **shares}


def merged(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(G, 4) -> (1, 4): the box around them all."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])[None]


def evaluate_flickr30k(
    model: Scheduler, files: Files, annotations: str, images: str, count: int, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Recall in percent, all captions of the first `count` images; `progress` gets the number of images done."""
    recall, seen, failed, not_asked = Recall(), Counter[str](), Counter[str](), Counter[str]()
    for gold_images in in_chunks(read_gold(files, annotations, count), CHUNK):
        asked = [(image, caption) for image in gold_images for caption in image.captions if caption.phrases]
        for (_, caption), result in zip(asked, ground(model, files, images, gold_images, asked), strict=True):
            boxes, own = result.boxes.numpy(), result.phrase.numpy()
            for number, phrase in enumerate(caption.phrases):
                recall.add(boxes[own == number], phrase)
            if result.failed:
                failed[result.failed] += 1
            not_asked.update(reason for _, reason in result.dropped)
        seen["captions"] += len(asked)
        seen["pictures"] += len(gold_images)
        seen["phrases_without_box"] += sum(one.without_box for image in gold_images for one in image.captions)
        progress(seen["pictures"])
    check_boxes(recall.phrases[ALL], annotations, seen["pictures"])
    return {
        "recall": recall.report(),
        "by_type": {kind: recall.report(kind) for kind in sorted(recall.phrases) if kind != ALL},
        **seen,
        "failed": dict(failed),
        "not_asked": dict(not_asked),
        "data": data_name(annotations, images),
        "boxes": box_convention(annotations),
        "protocol": " ".join((__doc__ or "").split()),
    }


def ground(
    model: Scheduler,
    files: Files,
    images: str,
    gold_images: Sequence[GoldImage],
    asked: Sequence[tuple[GoldImage, Caption]],
) -> list[Grounding]:
    """The boxes of each caption's phrases. Each image is decoded once."""
    pixels = {image.name: read_image(files, images, [image.name], image.size) for image in gold_images}
    return model.ground(
        [pixels[image.name] for image, _ in asked],
        [caption.text for _, caption in asked],
        [[phrase.spans for phrase in caption.phrases] for _, caption in asked],
        score_floor=FLOOR,
    )
