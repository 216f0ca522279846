"""What the commands make of their options."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.commands import Options, existing_run, make_executor, parse_parts, project, say, stage_names
from pipeline.execution.inline import InlineExecutor
from stages import STAGES
from stages.stage import UserError


def test_the_project_is_every_stage_in_its_order() -> None:
    assert [stage.name for stage in project()] == list(STAGES)


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [
        (None, None, list(STAGES)),
        ("label", "filter", ["label", "rescore", "filter"]),
        (None, "phrases", ["ingest", "curate", "phrases"]),
        ("shard", "shard", ["shard"]),
    ],
)
def test_stages_from_one_to_another(first: str | None, last: str | None, names: list[str]) -> None:
    assert stage_names(first, last) == names


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [("filtre", None, "did you mean filter"), (None, "xyzzy", "the stages are ingest"), ("shard", "label", "before")],
)
def test_stages_that_there_are_not(first: str | None, last: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        stage_names(first, last)


@pytest.mark.parametrize(
    ("text", "parts"),
    [(None, None), ("3", {3}), ("0-2,7", {0, 1, 2, 7}), (" 1 - 2 , 2 ", {1, 2}), ("5-4", set())],
)
def test_parts_are_numbers_and_ranges(text: str | None, parts: set[int] | None) -> None:
    assert parse_parts(text) == parts


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1,,2", "1.5", "0-99999999999999"])
def test_what_names_no_parts_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected numbers and ranges"):
        parse_parts(text)


def test_inline_needs_no_ray() -> None:
    assert isinstance(make_executor(Options(inline=True, workers=4)), InlineExecutor)


def test_a_folder_without_a_config_or_a_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run here"):
        existing_run(str(tmp_path))
    (tmp_path / "plan.json").write_text("{}")
    assert existing_run(str(tmp_path)).root == str(tmp_path)


def test_what_is_said_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("a \x1b[2J caption", "another")
    assert capsys.readouterr().out == "a \\x1b[2J caption\nanother\n"
