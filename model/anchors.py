"""Anchors and box coder, in GLIP's legacy boxes (model/geometry.py).

Corners are the first and the last pixel inside: width = x2 - x1 + 1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

STRIDES = (8, 16, 32, 64, 128)  # P3 .. P7; the anchor of a level is a square of 8 strides
CENTRE_WEIGHT, SIZE_WEIGHT = 10.0, 5.0  # of the box coder
MAX_LOG_RATIO = math.log(1000 / 16)


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) of the maps P3..P7 for a padded image of that size."""
    sizes = []
    for stride in STRIDES:
        sizes.append((-(-height // stride), -(-width // stride)))
    return sizes


@lru_cache(maxsize=256)
def level_anchors(height: int, width: int, stride: int, device: torch.device | None = None) -> Tensor:
    """(height * width, 4) anchors of one level, row by row: one square per position, legacy corners."""
    centre, half = stride / 2 - 0.5, 4 * stride - 0.5
    with torch.inference_mode(False):  # what is kept must serve training too
        cell = torch.tensor([centre - half, centre - half, centre + half, centre + half], device=device)
        x = torch.arange(width, device=device).repeat(height) * stride  # (h * w,)
        y = torch.arange(height, device=device).repeat_interleave(width) * stride
        return torch.stack((x, y, x, y), dim=-1) + cell


def pyramid_anchors(sizes: list[tuple[int, int]], device: torch.device | None = None) -> list[Tensor]:
    """Anchors of P3..P7 for maps of those (h, w)."""
    return [level_anchors(h, w, stride, device) for (h, w), stride in zip(sizes, STRIDES, strict=True)]


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """(N, 4) legacy boxes relative to (N, 4) anchors -> (N, 4) regression targets (dx, dy, dw, dh)."""
    centre, size = _centre_size(boxes)
    anchor_centre, anchor_size = _centre_size(anchors)
    shift, scale = (centre - anchor_centre) / anchor_size, torch.log(size / anchor_size)
    return torch.cat((shift * CENTRE_WEIGHT, scale * SIZE_WEIGHT), dim=-1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """(N, 4) regressions and (N, 4) anchors -> (N, 4) legacy boxes."""
    anchor_centre, anchor_size = _centre_size(anchors)
    centre = deltas[:, :2] / CENTRE_WEIGHT * anchor_size + anchor_centre
    half = 0.5 * (torch.exp((deltas[:, 2:] / SIZE_WEIGHT).clamp(max=MAX_LOG_RATIO)) * anchor_size - 1)
    return torch.cat((centre - half, centre + half), dim=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 4) -> centre (N, 2), the mean of the corners, and size (N, 2), with the +1 of legacy boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2] + 1
