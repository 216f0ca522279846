"""What an example is to the losses: its boxes, their phrases, and what the options say of pseudo boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages.geometry import iou
from stages.train.samples import WRONG, Example

if TYPE_CHECKING:
    from schemas.config import TrainConfig

SAME_REGION = 0.9  # IoU


def loss_target(example: Example, config: TrainConfig) -> dict[str, Any]:
    """What `Glip.losses` takes for one image."""
    boxes, phrase = torch.from_numpy(example.boxes), torch.from_numpy(example.phrase)  # (N, 4), (N,)
    target: dict[str, Any] = {"boxes": boxes, "phrase": phrase}
    if example.partial:
        right = torch.from_numpy(example.scores != WRONG)
        return {"boxes": boxes[right], "phrase": phrase[right], "known": {"boxes": boxes, "phrase": phrase}}
    if example.pseudo and config.shared_regions:
        shared = shared_phrases(example.boxes, example.phrase, len(example.spans))
        target["shared"] = torch.from_numpy(shared)  # (N, phrases)
    if example.pseudo and config.score_weighting:
        target["weight"] = torch.from_numpy(example.scores)  # (N,)
    if example.pseudo and not config.pseudo_regression:
        target["regression"] = torch.zeros(len(boxes), dtype=torch.bool)  # (N,)
    if example.pseudo and not example.listed and config.ungrounded == "unknown":
        target["unknown"] = torch.from_numpy(np.setdiff1d(np.arange(len(example.spans)), example.phrase))
    return target


def shared_phrases(boxes: NDArray[np.float32], phrase: NDArray[np.int64], phrases: int) -> NDArray[np.float32]:
    """(N, phrases) in 0/1: the phrases of each box (N, 4), its own and those of boxes that coincide with it.

    An anchor goes to one box. Of two boxes on one region, the first would get every anchor, and its phrase alone be
    right there: the second phrase of "a man in a hat ... the man" would be taught to match nothing.
    """
    same = iou(boxes[:, None], boxes) >= SAME_REGION  # (N, N)
    same |= np.eye(len(boxes), dtype=bool)  # a box without area coincides with nothing
    own = phrase[:, None] == np.arange(max(phrases, 1))  # (N, phrases)
    shared: NDArray[np.float32] = (same.astype(np.float32) @ own.astype(np.float32) > 0).astype(np.float32)
    return shared
