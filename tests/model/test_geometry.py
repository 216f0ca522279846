"""Boxes in torch, against pixels and by hand."""

from __future__ import annotations

import pytest
import torch

from model.geometry import giou_loss, pairwise_iou


def test_overlap_counts_pixels() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 5, 14, 14], [20, 20, 20, 20]])
    pixels = torch.zeros(3, 30, 30)
    for mask, (x1, y1, x2, y2) in zip(pixels, boxes.int().tolist(), strict=True):
        mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    both = (pixels[:, None] * pixels).sum((2, 3))
    either = (pixels[:, None] + pixels).clamp(max=1).sum((2, 3))
    torch.testing.assert_close(pairwise_iou(boxes, boxes), both / either)


def test_generalised_iou_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [6, 6, 4, 4]])
    targets = torch.tensor([[0.0, 0, 4, 4], [2, 0, 6, 4], [0, 0, 2, 2]])
    # The third has no area, and a hull of 6 x 6 with its target of 2 x 2.
    expected = [0, 1 - 8 / 24, 1 + (36 - 4) / 36]
    assert giou_loss(boxes, targets).tolist() == pytest.approx(expected, abs=1e-5)
