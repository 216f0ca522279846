"""Florence-2's tasks, by the processor of transformers: its prompts, and what its parser makes of the answers."""

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


def test_answers_name_the_phrase_and_all_of_its_boxes(exported: Callable[..., Exported]) -> None:
    rows = read_rows(exported("florence-2").folder)
    dog, cats = "a dog<loc_32><loc_83><loc_93><loc_833>", "two cats<loc_0><loc_0><loc_28><loc_37>"
    [(question, answer)] = turns(rows, "000000000000", "caption")
    assert question == "<image>\n<CAPTION_TO_PHRASE_GROUNDING>a dog near two cats"
    assert answer == f"{dog}{cats}<loc_156><loc_250><loc_999><loc_999>"
    assert turns(rows, "000000000000", "locate")[0] == ("<image>\n<OPEN_VOCABULARY_DETECTION>a dog", dog)
    region = "<loc_32><loc_83><loc_93><loc_833>"
    assert turns(rows, "000000000000", "describe")[0] == (f"<image>\n<REGION_TO_CATEGORY>{region}", dog)


def test_the_models_processor_knows_the_prompts(exported: Callable[..., Exported]) -> None:
    import inspect

    from transformers.models.florence2.processing_florence2 import Florence2Processor

    source = inspect.getsource(Florence2Processor.__init__)
    rows = read_rows(exported("florence-2").folder)
    tokens = {row["conversations"][0]["value"].split("\n")[1].split(">")[0] + ">" for row in rows}
    assert tokens == {"<CAPTION_TO_PHRASE_GROUNDING>", "<OPEN_VOCABULARY_DETECTION>", "<REGION_TO_CATEGORY>"}
    assert all(f'"{token}"' in source for token in sorted(tokens))
