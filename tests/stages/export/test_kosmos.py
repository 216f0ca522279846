"""Kosmos-2's marks, by the parser of transformers."""

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


def test_phrases_are_marked_in_the_caption(exported: Callable[..., Exported]) -> None:
    """10.5 of 320 pixels lies in the second of 32 columns, 20 of 240 in the third row: patch 2 * 32 + 1."""
    rows = read_rows(exported("kosmos-2").folder)
    [(question, answer)] = turns(rows, "000000000000", "caption")
    dog = "<object><patch_index_0065><patch_index_0834></object>"
    cats = "<patch_index_0000><patch_index_0032></delimiter_of_multi_objects/><patch_index_0261><patch_index_1023>"
    assert answer == f"<phrase>a dog</phrase>{dog} near <phrase>two cats</phrase><object>{cats}</object>"
    assert question.startswith("<image>\n<grounding>")
    assert turns(rows, "000000000000", "locate")[0] == ("<image>\n<grounding><phrase>a dog</phrase>", dog)
    assert turns(rows, "000000000000", "describe")[0] == (f"<image>\n<grounding><phrase>It</phrase>{dog} is", "a dog")


def test_every_phrase_keeps_its_place(exported: Callable[..., Exported]) -> None:
    from transformers.models.kosmos2.processing_kosmos2 import clean_text_and_extract_entities_with_bboxes

    rows = read_rows(exported("kosmos-2").folder)
    [(_, answer)] = turns(rows, "000000000001", "caption")
    plain, entities = clean_text_and_extract_entities_with_bboxes(answer)  # type: ignore[no-untyped-call]
    assert [(plain[start:end], len(boxes)) for _, (start, end), boxes in entities] == [("a dog", 1), ("a cat", 1)]
    assert plain.startswith("(loc0001)(loc0002)") and '{"bbox_2d": (1, 2, 3, 4), "label": "x"}' in plain
