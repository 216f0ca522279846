"""Which images the report shows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

from tests.stages.audit.recount import Recount, drawn, iou


def galleries(run: Path) -> dict[str, list[str]]:
    """What the page embeds: the keys of each gallery in its order."""
    data = (run / "report" / "index.html").read_text("utf-8").split('type="application/json">')[1].split("</script>")[0]
    places: dict[str, dict[int, str]] = {}
    for image in json.loads(data)["images"]:
        for gallery, place in image["galleries"].items():
            places.setdefault(gallery, {})[place] = image["key"]
    return {gallery: [found[i] for i in range(len(found))] for gallery, found in places.items()}


def test_the_galleries_hold_the_worst_in_order(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5, audit={"pictures": 30}).fill(130)
    run.audit()
    counted, found = Recount(run.root, run.config), galleries(run.root)
    rows = {row["key"]: row for row in counted.rows["pseudo"]}

    def worst(measure: Callable[[str], float], above: float = -2.0) -> list[str]:
        chosen = [key for key in rows if measure(key) > above]
        return sorted(chosen, key=lambda key: (-measure(key), key))[:12]

    def crowded(key: str) -> int:
        return sum(iou(a, b) >= 0.5 for a, b in combinations(rows[key]["boxes"], 2))

    def share(box: dict[str, Any], row: dict[str, Any]) -> float:
        return float((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) / (row["width"] * row["height"]))

    asked = Counter(key for key, _ in counted.asked)
    assert found["lowest_score"] == worst(lambda key: -min((b["score"] for b in rows[key]["boxes"]), default=2.0))
    assert found["most_boxes"] == worst(lambda key: len(rows[key]["boxes"]), 0)
    assert found["largest_box"] == worst(
        lambda key: max((share(b, rows[key]) for b in rows[key]["boxes"]), default=0), 0
    )
    assert found["most_crowded"] == worst(crowded, 0)
    assert found["nothing_found"] == worst(lambda key: 0 if rows[key]["boxes"] else asked[key], 0)
    boxes = counted.counts("norm")["boxes"]
    first_with = {counted.phrases[key, box["phrase"]]["norm"]: key for key, _, box in reversed(counted.kept)}
    rarest = [first_with[norm] for norm in sorted(boxes, key=lambda norm: (boxes[norm], drawn(norm)))]
    assert found["rarest_phrases"] == list(dict.fromkeys(rarest[:48]))[:12]
    judged: dict[str, float] = {}
    for truth in counted.rows["gold"]:
        wrong = [s for s, right in counted.judge(counted.row_of("labels", truth["key"]), truth) if not right]
        judged[truth["key"]] = max(wrong, default=0.0)
    assert found["confident_errors"] == worst(lambda key: judged.get(key, 0.0), 0)


def test_the_sample_is_drawn_by_its_seed_from_all_parts(shapes: Callable[..., Any]) -> None:
    runs = [shapes(part_size=40, audit={"pictures": 30, "seed": seed}).fill(130) for seed in (1, 1, 2)]
    for run in runs:
        run.audit()
    first, same, other = (galleries(run.root)["sample"] for run in runs)
    assert first == same == sorted(first) != other and len(set(first)) == 30
    with_image = {row["key"] for row in runs[0].rows["pairs"] if row["image"]}
    assert set(first) | set(other) <= with_image
    assert {key[:7] for key in first} == {key[:7] for key in with_image}
