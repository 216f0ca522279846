"""The model card of glip-photos is what its recorded figures make of its text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from model.cards import card
from recipes.glip_photos.card import NAMES, card_of

RECORD = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "photos_teacher.json"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def test_the_card_has_the_recorded_figures(record: dict[str, Any]) -> None:
    assert card("glip-photos") == card_of(record)


def test_it_names_the_50_best_and_the_50_worst_nouns(record: dict[str, Any]) -> None:
    nouns = record["models"]["glip-photos"]["nouns"]
    lists = re.findall(r"The 50 (best|worst): (.*)\.$", card("glip-photos"), re.MULTILINE)
    assert [name for name, _ in lists] == ["best", "worst"]
    for name, text in lists:
        assert text.split(", ") == [f"{r['noun']} {r['recall_at_1']:.2f} ({r['phrases']})" for r in nouns[name]]
        assert len(nouns[name]) == 50 and all(row["phrases"] >= nouns["least_phrases"] for row in nouns[name])
    assert not {row["noun"] for row in nouns["best"]} & {row["noun"] for row in nouns["worst"]}


def test_every_rival_is_in_its_table(record: dict[str, Any]) -> None:
    assert {"glip-photos", "glip-nano", "detector", "detector_wordnet"} <= record["models"].keys() <= NAMES.keys()
    rows = [line for line in card("glip-photos").splitlines() if line.startswith("| ")]
    assert all(sum(line.startswith(f"| {NAMES[model]} |") for line in rows) == 3 for model in record["models"])
