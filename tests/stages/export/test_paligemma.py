"""PaliGemma's location tokens: y first, 0 to 1023, before the phrase."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.export.exported import Exported
from tests.stages.export.hostile_run import hostile_run, read_rows, turns


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return hostile_run(tmp_path / "run")


def test_detections_as_the_model_writes_them(exported: Callable[..., Exported]) -> None:
    """10.5 of 320 is 33.57 of 1023, 20 of 240 is 85.25."""
    rows = read_rows(exported("paligemma").folder)
    assert turns(rows, "000000000000", "locate") == [
        ("<image>\ndetect a dog", "<loc0085><loc0034><loc0852><loc0096> a dog"),
        (
            "<image>\ndetect two cats",
            "<loc0000><loc0000><loc0038><loc0029> two cats ; <loc0256><loc0160><loc1023><loc1023> two cats",
        ),
    ]
    [(_, answer)] = turns(rows, "000000000000", "caption")
    assert answer.startswith("a dog near two cats <loc0085><loc0034><loc0852><loc0096> a dog ; <loc0000>")


def test_a_semicolon_parts_objects_and_nothing_else(exported: Callable[..., Exported]) -> None:
    rows = read_rows(exported("paligemma").folder)
    answers = [answer for key in ("000000000002", "000000000004") for _, answer in turns(rows, key, "locate")]
    assert len(answers) == 3
    for answer in answers:
        assert all(piece.count("<loc") == 4 and ";" not in piece for piece in answer.split(" ; "))
