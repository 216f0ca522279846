"""From head outputs to boxes: candidates, scores, decoding, NMS per phrase and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.anchors import decode, pyramid_anchors
from model.outputs import Grounding, HeadOutput


@dataclass(frozen=True)
class Settings:
    """What becomes a box. Limits count over all phrases together as published, or for each phrase on its own."""

    threshold: float = 0.05  # candidates have a mean token probability above it, before centerness
    per_level: int = 1000
    nms_iou: float = 0.6
    limit: int = 100
    score_floor: float = 0.0  # on the final score
    limits_per_phrase: bool = False


OFFICIAL = Settings()


def postprocess(
    outputs: Sequence[HeadOutput],
    image_sizes: Sequence[tuple[int, int]],
    token_maps: Sequence[Sequence[Sequence[int]]],
    settings: Settings = OFFICIAL,
) -> list[Grounding]:
    """Boxes of every image of a batch, legacy corners in the resized image, best score first, on the CPU.

    image_sizes: (h, w) of each resized image, without padding. token_maps: per image, per phrase, its token positions
    (a phrase without tokens gets no box).
    """
    sizes = [tuple(output.centerness.shape[-2:]) for output in outputs]
    anchors = pyramid_anchors(sizes, outputs[0].centerness.device)
    return [
        _one_image([HeadOutput(*(x[i] for x in output)) for output in outputs], anchors, size, tokens, settings)
        for i, (size, tokens) in enumerate(zip(image_sizes, token_maps, strict=True))
    ]


def _one_image(
    outputs: list[HeadOutput],
    anchors: list[Tensor],
    size: tuple[int, int],
    tokens: Sequence[Sequence[int]],
    settings: Settings,
) -> Grounding:
    found = [_candidates(output, level, tokens, settings) for output, level in zip(outputs, anchors)]
    boxes, scores, phrase = (torch.cat(parts).cpu() for parts in zip(*found))
    height, width = size
    boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width - 1, height - 1, width - 1, height - 1]))
    above = scores >= settings.score_floor
    boxes, scores, phrase = boxes[above], scores[above], phrase[above]
    keep = torch.as_tensor(_suppress(boxes.numpy(), scores.numpy(), phrase.numpy(), settings))
    if not settings.limits_per_phrase and len(keep) > settings.limit:
        limit = scores[keep].kthvalue(len(keep) - settings.limit + 1).values
        keep = keep[scores[keep] >= limit]  # ties at the limit stay
    keep = keep[scores[keep].argsort(descending=True, stable=True)]
    return Grounding(boxes[keep], scores[keep], phrase[keep])


def _candidates(
    output: HeadOutput, anchors: Tensor, tokens: Sequence[Sequence[int]], settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """Of one level of one image: boxes (n, 4) not clipped, final scores (n,), phrases (n,)."""
    mean = phrase_probabilities(output.token_logits.float(), tokens)  # (H * W, phrases)
    centerness = output.centerness.float().flatten().sigmoid()  # (H * W,)
    ranking = (mean * centerness[:, None]).masked_fill(~(mean > settings.threshold), -1)
    if settings.limits_per_phrase:
        best, position = ranking.topk(min(settings.per_level, len(ranking)), dim=0)  # (n, phrases)
        phrase = torch.arange(len(tokens), device=best.device).expand_as(best)
        best, position, phrase = best.flatten(), position.flatten(), phrase.flatten()
    else:
        best, flat = ranking.flatten().topk(min(settings.per_level, ranking.numel()))
        position, phrase = flat // max(len(tokens), 1), flat % max(len(tokens), 1)
    chosen = best >= 0
    best, position, phrase = best[chosen], position[chosen], phrase[chosen]
    regression = output.box_regression.float().flatten(1).t()[position]  # (n, 4)
    return decode(regression, anchors[position]), best.sqrt(), phrase


def phrase_probabilities(logits: Tensor, tokens: Sequence[Sequence[int]]) -> Tensor:
    """Token logits (N, L) -> mean token probability of each phrase (N, phrases); NaN for a phrase without tokens."""
    probabilities = logits.sigmoid()
    if not tokens:
        return probabilities.new_zeros(len(probabilities), 0)
    none = probabilities.new_full((len(probabilities),), float("nan"))
    return torch.stack([probabilities[:, list(own)].mean(1) if len(own) else none for own in tokens], dim=1)


def _suppress(boxes: np.ndarray, scores: np.ndarray, phrase: np.ndarray, settings: Settings) -> np.ndarray:
    """Greedy NMS inside each phrase -> indices kept."""
    kept: list[int] = []
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    for one in np.unique(phrase):
        (rest,) = np.nonzero(phrase == one)
        rest = rest[np.argsort(-scores[rest], kind="stable")]
        count = 0
        while len(rest) and not (settings.limits_per_phrase and count == settings.limit):
            best, rest = rest[0], rest[1:]
            kept.append(int(best))
            count += 1
            corner1 = np.maximum(boxes[best, :2], boxes[rest, :2])
            corner2 = np.minimum(boxes[best, 2:], boxes[rest, 2:])
            overlap = np.clip(corner2 - corner1 + 1, 0, None).prod(1)
            rest = rest[~(overlap / (area[best] + area[rest] - overlap) > settings.nms_iou)]
    return np.asarray(kept, dtype=np.int64)
