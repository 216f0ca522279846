"""Counts, sizes, positions and overlaps of boxes, counted again in plain Python."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from tests.stages.audit.audited import asked_phrases, box_iou, stats_of, stored


def test_histograms_and_shapes(run: Any) -> None:
    stats, kept = stats_of(run), stored(run, "pseudo")
    histograms, shapes = stats["histograms"], stats["box_shapes"]
    per_image = Counter(len(row["boxes"]) for row in kept)
    assert histograms["boxes_per_image"] == [per_image[i] for i in range(101)]
    per_pair = Counter(len(row["phrases"]) for row in run.rows["phrases"])
    assert histograms["phrases_per_pair"] == [per_pair[i] for i in range(51)]
    asked = asked_phrases(run)
    owned = Counter((row["key"], box["phrase"]) for row in kept for box in row["boxes"])
    per_phrase = Counter(owned[phrase] for phrase in asked)
    assert histograms["boxes_per_phrase"] == [per_phrase[i] for i in range(101)]
    boxes = [(row["width"], row["height"], box) for row in kept for box in row["boxes"]]
    scores = Counter(min(max(math.ceil(round(box["score"] * 100, 9)) - 1, 0), 99) for *_, box in boxes)
    assert histograms["score_kept"] == [scores[i] for i in range(100)]
    sides: Counter[int] = Counter()
    heat, whole, near = [[0] * 24 for _ in range(24)], 0, 0
    for width, height, box in boxes:
        share = (box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) / (width * height)
        sides[max(i for i in range(20) if (i / 20) * (i / 20) <= share or i == 0)] += 1
        whole += share >= 0.95
        heat[min(int((box["y1"] + box["y2"]) / 2 / height * 24), 23)][
            min(int((box["x1"] + box["x2"]) / 2 / width * 24), 23)
        ] += 1
    for row in kept:
        near += sum(
            any(other["phrase"] != box["phrase"] and box_iou(box, other) >= 0.9 for other in row["boxes"])
            for box in row["boxes"]
        )
    assert histograms["side_share"] == [sides[i] for i in range(20)]
    assert histograms["heat"] == heat
    assert (shapes["whole_image"], shapes["near_duplicates"]) == (whole, near)
    pixels = [(box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for *_, box in boxes]
    small, large = sum(p < 32**2 for p in pixels), sum(p >= 96**2 for p in pixels)
    assert (shapes["small"], shapes["medium"], shapes["large"]) == (small, len(pixels) - small - large, large)
    ratios = Counter(
        min(max(math.floor(math.log2((b["x2"] - b["x1"]) / (b["y2"] - b["y1"])) * 2) + 8, 0), 15) for *_, b in boxes
    )
    assert histograms["aspect"] == [ratios[i] for i in range(16)]
