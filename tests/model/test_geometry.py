"""Boxes in torch, against pixels and against plain loops."""

from __future__ import annotations

import pytest
import torch

from model import geometry
from model.geometry import clip, giou_loss, nms, pairwise_iou
from tests.model.boxes import iou


def test_overlap_counts_pixels() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 5, 14, 14], [20, 20, 20, 20]])
    pixels = torch.zeros(3, 30, 30)
    for mask, (x1, y1, x2, y2) in zip(pixels, boxes.int().tolist(), strict=True):
        mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    both = (pixels[:, None] * pixels).sum((2, 3))
    either = (pixels[:, None] + pixels).clamp(max=1).sum((2, 3))
    torch.testing.assert_close(pairwise_iou(boxes, boxes), both / either)


def test_clipped_boxes_end_at_the_last_pixel() -> None:
    boxes = torch.tensor([[-3.0, -1, 200, 90], [5, 5, 6, 6]])
    assert clip(boxes, 80, 100).tolist() == [[0, 0, 99, 79], [5, 5, 6, 6]]


def some_boxes(seed: int, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 40, (count, 2), generator=generator).float()
    return torch.cat([corners, corners + torch.randint(0, 30, (count, 2), generator=generator)], dim=1)


@pytest.mark.parametrize("most", [None, 0, 1, 7, 1000])
@pytest.mark.parametrize("block", [1, 3, 64])
def test_suppression_is_that_of_plain_loops(block: int, most: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "BLOCK", block)
    boxes = some_boxes(3, 200)
    listed = [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes.tolist()]
    kept: list[int] = []
    for i, box in enumerate(listed):
        if all(iou(box, listed[j]) <= 0.5 for j in kept):
            kept.append(i)
    assert 20 < len(kept) < 180
    assert nms(boxes, 0.5, most) == kept[:most]
    assert nms(boxes[:0], 0.5, most) == []


def test_an_overlap_of_just_the_limit_stays() -> None:
    """Compared in float32, as the official code does: 0.6 is there a little more than in Python."""
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 5], [0, 0, 9, 6]])  # IoU with the first: 6/10 and 7/10
    assert pairwise_iou(boxes[:1], boxes[1:2]).item() > 0.6
    assert nms(boxes[:2], 0.6) == [0, 1]
    assert nms(boxes[[0, 2]], 0.6) == [0]


def test_generalised_iou_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [6, 6, 4, 4]])
    targets = torch.tensor([[0.0, 0, 4, 4], [2, 0, 6, 4], [0, 0, 2, 2]])
    # The third has no area, and a hull of 6 x 6 with its target of 2 x 2.
    expected = [0, 1 - 8 / 24, 1 + (36 - 4) / 36]
    assert giou_loss(boxes, targets).tolist() == pytest.approx(expected, abs=1e-5)
