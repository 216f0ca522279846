"""The host's work as it was before a batch was taken at once: the baseline of benchmarks/select.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.geometry import pairwise_iou
from model.images import Size, padded_size
from model.outputs import Grounding
from model.selection import NEVER, Candidates, Settings

BLOCK = 16  # boxes whose overlaps with the rest are computed at a time


def nms(boxes: Tensor, limit: float, most: int | None = None) -> list[int]:
    """Greedy NMS of (N, 4), best first, of one phrase of one image: the indices of the boxes that stay, rising."""
    kept: list[int] = []
    rest = torch.arange(len(boxes))
    while len(rest):
        block = rest[:BLOCK]
        above = (pairwise_iou(boxes[block], boxes[rest]) > limit).numpy()  # (B, R)
        gone = np.zeros(len(rest), dtype=bool)
        for row, index in enumerate(block.tolist()):
            if not gone[row]:
                if len(kept) == most:
                    return kept
                kept.append(index)
                gone |= above[row]
        rest = rest[len(block) :][torch.from_numpy(~gone[len(block) :])]
    return kept


def suppress(boxes: Tensor, phrase: NDArray[np.int64], settings: Settings) -> NDArray[np.int64]:
    """Phrase by phrase; boxes (N, 4) come best first. Returns the indices that stay, rising."""
    most = settings.limit if settings.limits_per_phrase else None
    kept = [np.zeros(0, np.int64)]
    for one in np.unique(phrase):
        (group,) = np.nonzero(phrase == one)
        kept.append(group[nms(boxes[torch.from_numpy(group)], settings.nms_iou, most)])
    return np.sort(np.concatenate(kept))


def select(candidates: Candidates, image_sizes: Sequence[Size], settings: Settings) -> list[Grounding]:
    """As `model.selection.select`, image by image."""
    scores, phrase = candidates.scores.numpy(), candidates.phrase.numpy()
    results = []
    for image, (height, width) in enumerate(image_sizes):
        (chosen,) = np.nonzero((scores[image] > NEVER) & (scores[image] >= settings.score_floor))
        chosen = chosen[np.argsort(-scores[image, chosen], kind="stable")]
        boxes = candidates.boxes[image, torch.from_numpy(chosen)].clamp(min=0)
        boxes = boxes.minimum(boxes.new_tensor([width - 1, height - 1] * 2))
        keep = suppress(boxes, phrase[image, chosen], settings)
        if not settings.limits_per_phrase and len(keep) > settings.limit:
            last = scores[image, chosen[keep[settings.limit - 1]]]
            keep = keep[scores[image, chosen[keep]] >= last]
        score, label = (torch.from_numpy(x[image, chosen[keep]]) for x in (scores, phrase))
        results.append(Grounding(boxes[torch.from_numpy(keep)], score, label))
    return results


def stack(images: Sequence[np.ndarray]) -> Tensor:
    """As `model.images.stack`, in memory that is zeroed first."""
    height, width = padded_size((max(x.shape[0] for x in images), max(x.shape[1] for x in images)))
    batch = np.zeros((len(images), height, width, 3), dtype=np.uint8)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return torch.from_numpy(batch)
