"""Figures of masks, counted again from the pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.audit.masks import by_limit
from tests.stages.audit.audited import stats_of
from tests.stages.audit.test_samples import galleries


@pytest.fixture(scope="module")
def masked(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = make_run(tmp_path_factory.mktemp("run"), part_size=40, audit={"pictures": 10}).fill(100).mask()
    run.audit()
    return run


def measures(run: Any) -> list[dict[str, Any]]:
    """Of each mask, by its pixels: key, share of the image, fill, gap."""
    boxes = [(row["key"], box) for row in run.rows["pseudo"] for box in row["boxes"]]
    assert len(boxes) == len(run.masks) > 100
    found = []
    for (key, box), pixels in zip(boxes, run.masks, strict=True):
        x1, y1, x2, y2 = (float(np.float32(box[side])) for side in ("x1", "y1", "x2", "y2"))
        rows, columns = np.indices(pixels.shape) + 0.5
        inside = pixels & (columns >= x1) & (columns < x2) & (rows >= y1) & (rows < y2)
        ys, xs = np.nonzero(pixels)
        width = min(x2, xs.max() + 1) - max(x1, xs.min())
        height = min(y2, ys.max() + 1) - max(y1, ys.min())
        both = max(width, 0) * max(height, 0)
        area, tight = (x2 - x1) * (y2 - y1), (xs.max() + 1 - xs.min()) * (ys.max() + 1 - ys.min())
        gap = 1 - both / (area + tight - both)
        found.append({"key": key, "share": pixels.mean(), "fill": min(inside.sum() / area, 1), "gap": gap})
    return found


def test_every_figure_is_that_of_the_pixels(masked: Any) -> None:
    stats, expected = stats_of(masked)["masks"], measures(masked)
    assert (stats["masks"], stats["empty"]) == (len(expected), 0)
    assert stats["half_empty"] == sum(one["fill"] < 0.5 for one in expected) >= len(expected) // 5
    assert stats["full"] == sum(one["fill"] > 0.95 for one in expected) > 0

    def bins(values: list[float]) -> list[int]:
        return np.bincount([min(int(value * 20), 19) for value in values], minlength=20).tolist()

    assert stats["fill"] == bins([one["fill"] for one in expected])
    assert stats["gap"] == bins([one["gap"] for one in expected])
    assert stats["side_share"] == bins([math.sqrt(one["share"]) for one in expected])
    assert len(stats["by_limit"]) == 20 and stats["by_limit"][-1] == {
        "limit": 1.0,
        "boxes": len(expected),
        "share": 1.0,
    }
    for row in stats["by_limit"]:
        assert row["boxes"] == sum(one["gap"] <= row["limit"] for one in expected)


def test_the_gallery_holds_the_worst_in_order(masked: Any) -> None:
    worst: dict[str, float] = {}
    for one in measures(masked):
        worst[one["key"]] = max(worst.get(one["key"], 0), one["gap"])
    keys = sorted(worst, key=lambda key: (-worst[key], key))[:12]
    assert galleries(masked.root)["mask_gap"] == keys


def test_a_run_without_masks_has_no_figures_of_them(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(10)
    run.audit()
    assert "masks" not in stats_of(run)
    page = (run.root / "report/index.html").read_text("utf-8")
    assert 'id="masks"' not in page and 'id="f-masks"' not in page


def test_no_mask_at_all_has_no_shares() -> None:
    assert by_limit({"masks": 0, "within": [0] * 20})[0] == {"limit": 0.05, "boxes": 0, "share": None}
