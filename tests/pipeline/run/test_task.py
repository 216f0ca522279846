"""What travels to a worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from side_toys import SIDE_PROJECT, RescoreOptions, SideRescore
from toys import PROJECT

from pipeline.run.task import Context, load_class, reference_of
from stages import STAGES, load_stage
from tests.pipeline.side_runs import side_config


def test_the_section_of_a_stage_travels_with_the_context(tmp_path: Path) -> None:
    config = side_config(tmp_path, tmp_path, score={"on": True, "factor": 4.0})
    sections = tuple(reference_of(stage) for stage in SIDE_PROJECT if stage.section is not None)
    there = Context(config.run, config.model_dump_json(), "id", sections).read_config()
    assert there == config and SideRescore.options(there, RescoreOptions) == RescoreOptions(on=True, factor=4.0)


def test_a_stage_is_found_again_by_its_reference() -> None:
    stages = [*map(load_stage, STAGES), *PROJECT]
    assert [load_class(reference_of(stage)) for stage in stages] == stages
    assert reference_of(PROJECT[1]) == "toys:ToyPhrases"


def test_a_reference_to_nothing_is_an_error() -> None:
    with pytest.raises(AttributeError, match="NoStage"):
        load_class("toys:NoStage")
