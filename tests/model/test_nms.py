"""Suppression of many groups at once, on the host and as a device does it, against plain loops in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import nms
from model.geometry import pairwise_iou
from model.nms import near, resolve, suppress, suppress_on_device, with_area

F = np.float32
ONE = F(1)
Boxes = NDArray[np.float32]


def iou(a: Boxes, b: Boxes) -> np.float32:
    """Number by number, in the order in which GLIP's kernel computes."""
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + ONE, F(0))
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + ONE, F(0))
    area_a, area_b = ((x[2] - x[0] + ONE) * (x[3] - x[1] + ONE) for x in (a, b))
    result: np.float32 = width * height / (area_a + area_b - width * height)
    return result


def by_loops(boxes: Boxes, group: NDArray[np.int64], limit: float) -> list[bool]:
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if not any(group[i] == group[j] and iou(box, boxes[j]) > F(limit) for j in kept):
            kept.append(i)
    return [i in kept for i in range(len(boxes))]


def draw(kind: str, seed: int, count: int) -> Boxes:
    """Boxes with ties (equal ones, equal corners), in heaps, in a long chain, spread, or tiny."""
    random = np.random.default_rng(seed)
    if kind == "heaps":
        centres = random.uniform(100, 700, (3, 2))[random.integers(0, 3, count)] + random.normal(0, 8, (count, 2))
        half = random.uniform(40, 60, (count, 2))
        return np.concatenate([centres - half, centres + half], axis=1).astype(F)
    low, size = {
        "ties": (random.integers(0, 5, (count, 2)) * 4, random.integers(1, 4, (count, 2)) * 4),
        "chain": (np.arange(count)[:, None] * [2, 0], np.full((count, 2), 10)),
        "spread": (random.uniform(0, 900, (count, 2)), random.uniform(5, 150, (count, 2))),
        "tiny": (random.uniform(0, 1.5, (count, 2)), random.uniform(-1, 1, (count, 2))),
    }[kind]
    return np.concatenate([low, low + size], axis=1).astype(F)


KINDS = ("ties", "heaps", "chain", "spread", "tiny")


@pytest.mark.parametrize("limit", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_suppression_is_that_of_plain_loops(kind: str, limit: float) -> None:
    for seed, sizes in enumerate([[60], [1, 40, 2, 25], [5] * 12]):
        boxes = draw(kind, seed, sum(sizes))
        group = np.repeat(np.random.default_rng(seed).permutation(len(sizes)), sizes)  # together, in any order
        expected = by_loops(boxes, group, limit)
        assert suppress(boxes, group, limit).tolist() == expected
        assert len(expected) == sum(sizes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_heads_and_the_pairs_alone_find_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether comparing with the best boxes pays decides about time, and about nothing else."""
    boxes, group = draw(kind, 7, 90), np.repeat(np.arange(3), 30)
    expected = by_loops(boxes, group, 0.6)
    keep = np.ones(90, dtype=np.bool_)
    one, other = near(with_area(boxes), group, 0.6)
    clash = np.asarray([iou(boxes[i], boxes[j]) > F(0.6) for i, j in zip(one, other, strict=True)], dtype=np.bool_)
    one, other = one[clash], other[clash]
    resolve(keep, np.minimum(one, other), np.maximum(one, other))
    assert keep.tolist() == expected
    monkeypatch.setattr(nms, "MANY", 0)  # no sweep over all boxes
    found = {frozenset(pair) for pair in zip(*(x.tolist() for x in near(with_area(boxes), group, 0.6)), strict=True)}
    assert found >= {frozenset(pair) for pair in zip(one.tolist(), other.tolist(), strict=True)}


def test_an_overlap_of_just_the_limit_stays() -> None:
    """Compared in float32, as the official code does: 0.6 is there a little more than in Python."""
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 5], [0, 0, 9, 6]])  # IoU with the first: 6/10 and 7/10
    assert pairwise_iou(boxes[:1], boxes[1:2]).item() > 0.6
    group = np.zeros(2, np.int64)
    for own, expected in ((boxes[:2], [True, True]), (boxes[[0, 2]], [True, False])):
        assert suppress(own.numpy(), group, 0.6).tolist() == expected
        valid = torch.ones(1, 2, dtype=torch.bool)
        keep, _ = suppress_on_device(own[None], torch.zeros(1, 2), valid, 0.6)
        assert keep[0].tolist() == expected


def test_boxes_that_are_no_numbers_suppress_nothing() -> None:
    boxes = draw("heaps", 3, 40)
    boxes[[0, 17, 18]] = np.nan
    group = np.zeros(40, np.int64)
    rest = ~np.isnan(boxes[:, 0])
    keep = suppress(boxes, group, 0.6)
    assert keep[~rest].all()
    assert keep[rest].tolist() == by_loops(boxes[rest], group[rest], 0.6)
    assert not keep.all()


def test_no_boxes() -> None:
    assert suppress(np.zeros((0, 4), F), np.zeros(0, np.int64), 0.6).tolist() == []


@pytest.mark.parametrize("at_once", [1, 1 << 20])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_comes_to_the_same(kind: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nms, "AT_ONCE", at_once)
    boxes = torch.from_numpy(np.stack([draw(kind, seed, 50) for seed in range(3)]))
    random = torch.Generator().manual_seed(0)
    phrase = torch.randint(0, 2, (3, 50), generator=random)
    valid = torch.rand(3, 50, generator=random) < 0.9
    keep, certain = suppress_on_device(boxes, phrase, valid, 0.6)
    assert certain.shape == (3,) and (kind != "heaps" or certain.all())
    for number in range(3):
        for one in (0, 1):
            own = valid[number] & (phrase[number] == one)
            expected = by_loops(boxes[number][own].numpy(), np.zeros(int(own.sum()), np.int64), 0.6)
            assert not certain[number] or keep[number][own].tolist() == expected
        assert not keep[number][~valid[number]].any()


def test_a_chain_that_is_too_long_is_not_called_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each box takes the next one away: every second one stays, which a round finds out for two boxes at a time."""
    boxes, valid = torch.from_numpy(draw("chain", 0, 40))[None], torch.ones(1, 40, dtype=torch.bool)
    expected = [i % 2 == 0 for i in range(40)]
    assert by_loops(boxes[0].numpy(), np.zeros(40, np.int64), 0.6) == expected
    _, certain = suppress_on_device(boxes, torch.zeros(1, 40), valid, 0.6)
    assert not certain.any()
    monkeypatch.setattr(nms, "ROUNDS", 40)
    keep, certain = suppress_on_device(boxes, torch.zeros(1, 40), valid, 0.6)
    assert certain.all() and keep[0].tolist() == expected
