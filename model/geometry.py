"""Geometry of boxes in torch, in GLIP's legacy form unless said otherwise.

Corners of legacy boxes are the first and the last pixel inside: width = x2 - x1 + 1. The counterpart in numpy, for
half-open boxes, is `stages/geometry.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.images import Size


def pairwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """(..., N, 4), (..., M, 4) -> (..., N, M) intersection over union, +1 in every width."""
    x1, y1, x2, y2 = boxes[..., None, :].unbind(-1)  # (..., N, 1) each
    u1, v1, u2, v2 = others[..., None, :, :].unbind(-1)  # (..., 1, M) each
    width = (torch.minimum(x2, u2) - torch.maximum(x1, u1) + 1).clamp(min=0)  # (..., N, M)
    height = (torch.minimum(y2, v2) - torch.maximum(y1, v1) + 1).clamp(min=0)
    overlap = width * height
    return overlap / ((x2 - x1 + 1) * (y2 - y1 + 1) + (u2 - u1 + 1) * (v2 - v1 + 1) - overlap)


def to_half_open(boxes: Tensor, size: Size, resized: Size) -> Tensor:
    """Legacy boxes (N, 4) in the resized (h, w) -> half-open ones in the given (H, W), clipped to it."""
    ratio = boxes.new_tensor([size[1] / resized[1], size[0] / resized[0]] * 2)
    boxes = (boxes + boxes.new_tensor([0, 0, 1, 1])) * ratio
    return boxes.clamp(min=0).minimum(boxes.new_tensor([size[1], size[0]] * 2))


def to_legacy(boxes: Tensor, size: Size, resized: Size) -> Tensor:
    """Half-open boxes (N, 4) in an image of (H, W) -> inclusive corners in its resized (h, w)."""
    ratio = boxes.new_tensor([resized[1] / size[1], resized[0] / size[0]] * 2)
    return boxes * ratio - boxes.new_tensor([0, 0, 1, 1])


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al. 2019) of (P, 4) and (P, 4) -> (P,), without the +1 of legacy boxes."""
    corner1, corner2 = boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2])
    area = (corner2 - corner1).prod(-1)
    target_area = (targets[:, 2:] - targets[:, :2]).prod(-1)
    inner = torch.minimum(corner2, targets[:, 2:]) - torch.maximum(corner1, targets[:, :2])  # (P, 2)
    overlap = inner.clamp(min=0).prod(-1)
    union = area + target_area - overlap + 1e-7
    hull = (torch.maximum(corner2, targets[:, 2:]) - torch.minimum(corner1, targets[:, :2])).prod(-1) + 1e-7
    return 1 - overlap / union + (hull - union) / hull
