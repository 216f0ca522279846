"""Candidates to boxes: the host and a device agree to the last bit and in every tie, and both with plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model import nms, selection
from model.selection import (
    NEVER,
    OFFICIAL,
    Candidates,
    Found,
    Settings,
    begin_select,
    falling,
    finish_select,
    rising,
    select,
    select_on_device,
)
from tests.model.boxes import iou

SIZES = [(300, 400), (200, 250), (120, 120)]
PHRASES, LEVELS, SLOTS = 4, 2, 40
GROUND = Settings(score_floor=0.2, limit=12, limits_per_phrase=True)
CASES = {
    "official": OFFICIAL,
    "few": replace(OFFICIAL, limit=9, score_floor=0.25),
    "ground": GROUND,
    "ground, all": replace(GROUND, limit=1000, score_floor=0.0),
}


def candidates_of(seed: int) -> Candidates:
    """As `rank` gives them for each phrase: by level, then by phrase. Few scores, so that many tie."""
    random = torch.Generator().manual_seed(seed)

    def whole(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, (len(SIZES), LEVELS * PHRASES * SLOTS, *shape), generator=random)

    corners = whole(20, 2) * 8.0 - 8
    boxes = torch.cat([corners, corners + whole(5, 2) * 10], dim=2)
    scores = whole(40).float() / 40
    scores[whole(8) == 0] = NEVER
    scores[0, 3] = float("nan")
    phrase = torch.arange(PHRASES).repeat_interleave(SLOTS).repeat(len(SIZES), LEVELS)
    return Candidates(boxes, scores, phrase)


def by_loops(candidates: Candidates, image: int, settings: Settings) -> list[tuple[list[float], float, int]]:
    height, width = SIZES[image]
    rows = zip(*(x[image].tolist() for x in candidates), strict=True)
    chosen = [(box, score, phrase) for box, score, phrase in rows if score > NEVER and score >= settings.score_floor]
    kept: list[tuple[tuple[float, float, float, float], float, int]] = []
    for (x1, y1, x2, y2), score, phrase in sorted(chosen, key=lambda one: -one[1]):
        box = (*(min(max(v, 0), w - 1) for v, w in ((x1, width), (y1, height), (x2, width), (y2, height))),)
        others = [other for other, _, own in kept if own == phrase]
        if any(iou(box, other) > settings.nms_iou for other in others):
            continue
        if not settings.limits_per_phrase or len(others) < settings.limit:
            kept.append((box, score, phrase))
    if not settings.limits_per_phrase and len(kept) > settings.limit:
        kept = [one for one in kept if one[1] >= kept[settings.limit - 1][1]]
    return [([*box], score, phrase) for box, score, phrase in kept]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_boxes_and_their_order_are_those_of_plain_loops(settings: Settings, seed: int) -> None:
    candidates = candidates_of(seed)
    found = select(candidates, SIZES, settings)
    assert len(found) == len(SIZES)
    for image, one in enumerate(found):
        expected = by_loops(candidates, image, settings)
        assert len(expected) > 8 and len({score for _, score, _ in expected}) < len(expected)  # there are ties
        assert one.boxes.tolist() == [box for box, _, _ in expected]
        assert one.scores.tolist() == [score for _, score, _ in expected]
        assert one.phrase.tolist() == [phrase for _, _, phrase in expected]


@pytest.mark.parametrize("width", [16, 60, 512])
@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_a_device_selects_the_same(settings: Settings, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it cannot be certain, having seen too few candidates: there, the host selects again."""
    monkeypatch.setattr(selection, "WIDTH", width)
    for seed in range(3):
        candidates = candidates_of(seed)
        found = Found(*select_on_device(candidates, SIZES, settings, PHRASES))
        expected = select(candidates, SIZES, settings)
        assert len(expected) == len(SIZES) and (width < 512 or found.certain.all())
        for one, other in zip(finish_select(found, candidates, SIZES, settings), expected, strict=True):
            assert torch.equal(one.boxes, other.boxes)
            assert torch.equal(one.scores, other.scores)
            assert torch.equal(one.phrase, other.phrase)


def test_what_a_device_is_certain_of_needs_no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is filled is enough, however many candidates come after."""
    monkeypatch.setattr(selection, "WIDTH", 30)
    settings = replace(GROUND, limit=3)
    candidates = candidates_of(0)
    found = select_on_device(candidates, SIZES, settings, PHRASES)
    assert found.certain.all() and int((candidates.scores[0] > 0.2).sum()) > PHRASES * 30
    nothing = Candidates(*(x[:, :0] for x in candidates))
    chosen = finish_select(found, nothing, SIZES, settings)
    assert [len(one.scores) for one in chosen] == [len(by_loops(candidates, i, settings)) for i in range(len(SIZES))]


def test_what_a_device_is_not_certain_of_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nms, "ROUNDS", 0)
    candidates = candidates_of(0)
    found = select_on_device(candidates, SIZES, GROUND, PHRASES)
    assert not found.certain.any()
    monkeypatch.setattr(nms, "ROUNDS", 16)
    monkeypatch.setattr(selection, "WIDTH", 4)
    assert not select_on_device(candidates, SIZES, replace(GROUND, limit=1000), PHRASES).certain.any()


def test_on_a_cpu_the_selection_is_the_hosts() -> None:
    candidates = candidates_of(1)
    finish = begin_select(candidates, SIZES, GROUND, PHRASES)
    found, expected = finish(), select(candidates, SIZES, GROUND)
    assert len(expected) == len(SIZES)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.boxes, other.boxes) and len(one.scores) > 0


def test_orders_keep_ties_as_they_come() -> None:
    random = np.random.default_rng(0)
    scores = (random.integers(0, 50, 300) / 50).astype(np.float32)
    scores[7] = -0.0
    assert falling(scores).tolist() == sorted(range(300), key=lambda i: -scores[i])
    numbers = random.integers(0, 1 << 20, 300)
    assert rising(numbers).tolist() == sorted(range(300), key=lambda i: numbers[i])
    assert rising(numbers % 9).tolist() == sorted(range(300), key=lambda i: numbers[i] % 9)


def test_no_slots_no_boxes() -> None:
    none = Candidates(torch.zeros(2, 0, 4), torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.long))
    for settings in (OFFICIAL, GROUND):
        assert [len(one.scores) for one in select(none, SIZES[:2], settings)] == [0, 0]
