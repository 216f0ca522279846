"""What a lever gains, beside the base on the same draws."""

from __future__ import annotations

import json
from typing import Any

from experiments.photos_levers.cells import Grid
from experiments.photos_levers.summary import result_of, tables


def cell(name: str, recall: float, samples: int = 8) -> dict[str, Any]:
    figures = {"phrases": 9, "recall_at_1": recall, "ap": 2 * recall}
    draws = {"recall_at_1": f"{recall - 1} {recall + 1}", "ap": f"{recall} {recall}"}
    return {
        **{"name": name, "seed": 0, "samples_seen": samples, "tiers": {"all": {**figures, "draws": draws}}},
        **{"recall_at_precision_80": 12.5, "coco_ap": {"AP": 7.25}, "processor": "p", "date": "2026-01-02"},
        "versions": {"python": "3", "torch": "2"},
    }


def test_gains_are_over_the_base_and_of_equal_samples() -> None:
    cells = [cell("base", 30.0), cell("large", 33.0), cell("long-s0", 40.0, 20), cell("long-s1", 39.0, 20)]
    result = result_of(cells, vars(Grid()))
    gains = {name: row.get("gains") for name, row in result["levers"].items()}
    assert gains["base"] is None and gains["long-s0"] is None
    assert gains["large"]["over"] == "base"
    assert gains["large"]["recall_at_1"] == {"mean": 3.0, "interval_95": [3.0, 3.0], "seeds": [3.0]}
    assert gains["long-s1"]["over"] == "long-s0" and gains["long-s1"]["recall_at_1"]["mean"] == -1.0
    json.dumps(result, allow_nan=False)
    assert tables(result).splitlines()[2:] == [
        "| `base` | 30.0 |  | 12.5 | 7.2 |",
        "| `large` | 33.0 | +3.0 (+3.0 to +3.0) | 12.5 | 7.2 |",
        "| `long-s0` | 40.0 |  | 12.5 | 7.2 |",
        "| `long-s1` | 39.0 | -1.0 (-1.0 to -1.0) over `long-s0` | 12.5 | 7.2 |",
    ]


def test_before_the_base_is_there_nothing_is_gained() -> None:
    result = result_of([cell("large", 33.0)], vars(Grid()))
    assert list(result["levers"]) == ["large"] and "gains" not in result["levers"]["large"]
