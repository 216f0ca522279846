"""From head outputs to boxes: phrase scores, candidates, decoding; selection.py has NMS and the limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.anchors import decode, pyramid_anchors
from model.device import send
from model.outputs import Grounding, HeadOutput
from model.selection import NEVER, OFFICIAL, Candidates, Settings, select


def postprocess(
    outputs: Sequence[HeadOutput],
    image_sizes: Sequence[tuple[int, int]],
    token_maps: Sequence[Sequence[Sequence[int]]],
    settings: Settings = OFFICIAL,
) -> list[Grounding]:
    """Boxes of every image of a batch: legacy corners in the resized image, best score first, on the CPU.

    image_sizes: (h, w) of each resized image, without padding. token_maps: per image, per phrase, its token positions;
    a phrase without tokens gets no box.
    """
    return select(rank(outputs, token_maps, settings), image_sizes, settings)


def rank(
    outputs: Sequence[HeadOutput], token_maps: Sequence[Sequence[Sequence[int]]], settings: Settings
) -> Candidates:
    """The candidates of a batch, on the device of the outputs and without waiting for it."""
    device = outputs[0].centerness.device
    weights = send(phrase_weights(token_maps, outputs[0].token_logits.shape[2]), device)  # (B, L, K)
    sizes = [(x.centerness.shape[2], x.centerness.shape[3]) for x in outputs]
    levels = []
    for output, anchors in zip(outputs, pyramid_anchors(sizes, device), strict=True):
        best, position, phrase = _best_of_level(output, weights, settings)  # (B, S) each
        regression = output.box_regression.float().flatten(2).transpose(1, 2)  # (B, H * W, 4)
        regression = regression.gather(1, position[..., None].expand(-1, -1, 4))  # (B, S, 4)
        boxes = decode(regression.flatten(0, 1), anchors[position.flatten()]).view_as(regression)
        levels.append((boxes, torch.where(best > NEVER, best.clamp(min=0).sqrt(), best), phrase))
    return Candidates(*(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True)))


def phrase_weights(token_maps: Sequence[Sequence[Sequence[int]]], length: int) -> Tensor:
    """(B, L, K): column k of an image averages over the tokens of its k-th phrase; all zero for a phrase without."""
    most = max((len(phrases) for phrases in token_maps), default=0)
    weights = np.zeros((len(token_maps), length, most), dtype=np.float32)
    for image, phrases in enumerate(token_maps):
        for phrase, own in enumerate(phrases):
            if len(own):
                weights[image, np.asarray(own), phrase] = 1 / len(own)
    return torch.from_numpy(weights)


def _best_of_level(output: HeadOutput, weights: Tensor, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Squared final score (or NEVER), position in the map and phrase of a level's best, (B, S) each."""
    probabilities = output.token_logits.float().sigmoid()  # (B, H * W, L)
    unused = ~weights.any(2)[:, None]  # (B, 1, L): what padding holds is not even multiplied by zero
    mean = probabilities.masked_fill(unused, 0) @ weights  # (B, H * W, K)
    squared = mean * output.centerness.float().flatten(2).transpose(1, 2).sigmoid()  # (B, H * W, K)
    squared = squared.masked_fill(~(mean > settings.threshold), NEVER)  # a NaN is not above the threshold
    positions, phrases = squared.shape[1:]
    if settings.limits_per_phrase:
        best, position = squared.transpose(1, 2).topk(min(settings.per_level, positions))  # (B, K, S)
        phrase = torch.arange(phrases, device=best.device)[:, None].expand_as(best)
        return best.flatten(1), position.flatten(1), phrase.flatten(1)
    best, flat = squared.flatten(1).topk(min(settings.per_level, positions * phrases))
    return best, flat // max(phrases, 1), flat % max(phrases, 1)
