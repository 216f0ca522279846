"""Means over seeds, differences drawn together, and the verdict."""

from __future__ import annotations

import json
from typing import Any

import pytest

from experiments.photos_claim.cells import Grid
from experiments.photos_claim.summary import goal_lines, result_of, tables, verdict


def cell(role: str, seed: int, recall: dict[str, float]) -> dict[str, Any]:
    tiers = {
        tier: {
            **{"phrases": 10 + seed, "recall_at_1": value, "ap": value / 2},
            "draws": {"recall_at_1": f"{value - 1} {value + 1}", "ap": "1 nan"},
        }
        for tier, value in recall.items()
    }
    facts = {"role": role, "seed": seed, "samples_seen": 8, "init_sha256": f"start{seed}", "processor": "p"}
    return {**facts, "tiers": tiers, "versions": {"python": "3", "torch": "2"}, "date": "2026-01-02"}


CELLS = [
    *(cell("teacher", seed, {"all": 40.0 + seed, "rare": 20.0}) for seed in (0, 1)),
    *(cell("student", seed, {"all": 45.0 + seed, "rare": 24.0 + seed}) for seed in (0, 1)),
    *(cell("upper", seed, {"all": 50.0, "rare": 30.0}) for seed in (0, 1, 2)),  # the third seed is not whole
    {"role": "labels", "seed": 0, "labels": {"threshold": 0.4}},
    {"role": "start", "seed": 0},
]


def test_differences_are_of_models_on_the_same_photos() -> None:
    result = result_of(CELLS, vars(Grid()))
    assert result["seeds"] == [0, 1] and result["teacher"]["all"]["phrases"] == [10, 11]
    assert result["teacher"]["all"]["recall_at_1"] == {"mean": 40.5, "interval_95": [39.55, 41.45], "seeds": [40, 41]}
    gain = result["differences"]["student - teacher"]
    assert gain["all"]["recall_at_1"] == {"mean": 5.0, "interval_95": [5.0, 5.0], "seeds": [5, 5]}
    assert gain["rare"]["recall_at_1"]["seeds"] == [4, 5] and gain["rare"]["ap"]["mean"] == 2.25
    assert result["labels"] == [{"seed": 0, "threshold": 0.4}] and result["start_sha256"] == ["start0", "start1"]
    assert {tier: gain["mean"] for tier, gain in result["verdict"]["gains"].items()} == {"all": 5.0, "rare": 4.5}
    assert list(result["verdict"]["met"].values()) == list(result["verdict"]["sure"].values()) == [True, False]
    json.dumps(result, allow_nan=False)


def test_tables_are_those_of_the_page() -> None:
    lines = tables(result_of(CELLS, vars(Grid()))).splitlines()
    assert lines[0] == "| R@1 / AP | all | frequent | rare | unseen |"
    assert lines[2].startswith("| teacher | 40.5 (39.5 to 41.5) / 20.2 (1.0 to 1.0) |  | 20.0")
    assert lines[5].startswith("| student - teacher | 5.0 (5.0 to 5.0) / ")
    assert lines[11:] == [
        "| all | 4 | 5.0 (5.0 to 5.0) | 5.0, 5.0 | met |",
        "| rare | 6 | 4.5 (4.5 to 4.5) | 4.0, 5.0 | missed |",
    ]


def test_a_goal_is_sure_where_the_interval_is_above_it_and_unseen_heads_have_none() -> None:
    def gain(mean: float, low: float) -> dict[str, Any]:
        return {"recall_at_1": {"mean": mean, "interval_95": [low, 9.0], "seeds": [mean]}}

    found = verdict({"all": gain(4.5, 3.9), "rare": gain(6.5, 6.1), "unseen": gain(2.0, -1.0)})
    assert found is not None and found["gains"]["unseen"]["mean"] == 2.0
    assert list(found["met"].values()) == [True, True] and list(found["sure"].values()) == [False, True]
    assert goal_lines(found)[-1] == "| unseen |  | 2.0 (-1.0 to 9.0) | 2.0 |  |"
    assert goal_lines(None) == [] and verdict({"all": gain(4.5, 3.9)}) is None


@pytest.mark.parametrize("cells", [[], CELLS[:3]])
def test_before_a_seed_is_whole_there_is_no_verdict(cells: list[dict[str, Any]]) -> None:
    result = result_of(cells, vars(Grid()))
    assert result["seeds"] == [] and result["verdict"] is None and result["teacher"] == {}
