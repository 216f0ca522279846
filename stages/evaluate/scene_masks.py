"""Masks on scenes, whose sprites give the true ones to the pixel: how well right boxes are cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.agreement import Claims
from stages.evaluate.gold_masks import iou_figures

if TYPE_CHECKING:
    from model.outputs import Grounding
    from model.segmenter import Segmenter
    from model.teacher import Image
    from stages.synthetic import Scene

Mask = NDArray[np.bool_]


@dataclass
class SceneMasks:
    """Pixels in both masks, and in either, of each right box with a score above the threshold."""

    segmenter: Segmenter
    threshold: float
    both: list[int] = field(default_factory=list)
    either: list[int] = field(default_factory=list)

    def add(self, scene: Scene, true: Sequence[Mask], image: Image, found: Grounding, claims: Claims) -> None:
        """The boxes of one scene, what they have claimed, and the mask (H, W) of each of its objects. The image
        (H, W, 3) is encoded once."""
        boxes, scores = found.boxes.numpy(), found.scores.numpy()
        right = np.flatnonzero(claims.right & (scores > self.threshold))
        if not len(right):
            return
        corners = [box for _, box in scene.objects]
        gold = [corners.index(scene.boxes[number].corners) for number in claims.gold[right].tolist()]
        for number, segment in zip(gold, self.segmenter.segment(image, boxes[right]), strict=True):
            self.both.append(int((segment.mask & true[number]).sum()))
            self.either.append(int((segment.mask | true[number]).sum()))

    def figures(self) -> dict[str, Any]:
        """How many boxes there are, and where there are any, IoUs in percent."""
        return {"boxes": len(self.both), **(iou_figures(self.both, self.either) if self.both else {})}
