"""What stages left unused, summed over their parts; on toy stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_runs import Recorder, make_config, write_source
from toys import PROJECT, ToyIngest, ToyTrain

from pipeline.execution.inline import InlineExecutor
from pipeline.run.failures import NothingUsableError
from pipeline.run.runner import Report, Runner, Selection
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.stage import Files, PartIO, PartResult, RunIO, Slice


class Wasteful(ToyIngest):
    """Leaves a thing aside in every part, and a file beside them."""

    gold: tuple[int, int] = (0, 0)  # in, used

    def plan(self, files: Files, part_size: int) -> list[Slice]:
        self.unused = {"file (x.md)": 1}
        return super().plan(files, part_size)

    def run_part(self, io: PartIO) -> PartResult:
        done = super().run_part(io)
        found, used = self.gold
        gold = {"in": found, "used": used, "rejected": {"crowd": found - used}}
        return PartResult(done.counts, {"unused": {"things": 1200, "others": io.part}, "gold": gold})


class Useless(Wasteful):
    gold = (3, 0)


class WastefulTrain(ToyTrain):
    def run_job(self, io: RunIO) -> dict[str, Any]:
        return {**super().run_job(io), "unused": {"samples (missing_image)": 3}}


def run(config: Config, ingest: type[Any], parts: set[int] | None = None) -> tuple[Report, list[str]]:
    display = Recorder(config.run)
    runner = Runner(open_storage(config.run), config, [ingest, *PROJECT[1:]], InlineExecutor(), display)
    return runner.run(Selection([ingest], parts)), display.lines


def test_what_the_parts_left_is_summed_and_said_last(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    for _ in range(2):  # also when everything is committed
        report, lines = run(config, Wasteful)
        parts = len(report.state.plan)
        others = sum(range(parts))
        assert lines[-1] == f"ingest    not used: 1 file (x.md), {others} others, {1200 * parts:,} things"


def test_a_job_says_what_it_left_too(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    project = [*PROJECT[:-1], WastefulTrain]
    assert PROJECT[-1] is ToyTrain
    display = Recorder(config.run)
    Runner(open_storage(config.run), config, project, InlineExecutor(), display).run(Selection(project))
    assert display.lines[-1] == "train     not used: 3 samples (missing_image)"


def test_a_stage_that_uses_everything_says_nothing(tmp_path: Path, source: Path) -> None:
    assert not [line for line in run(make_config(tmp_path / "run", source), ToyIngest)[1] if "not used" in line]


def test_boxes_of_which_none_is_used_are_an_error_once_all_parts_are_there(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run(config, Useless, {0, 1})
    with pytest.raises(NothingUsableError, match=r"none of the 15 true boxes of .* can be used: 15 crowd \(a crowd,"):
        run(config, Useless)


def test_rows_of_which_none_is_used_are_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "captions-1.txt").write_text("bad one\nbad two\n")
    config = make_config(tmp_path / "run", folder)
    for _ in range(2):
        with pytest.raises(
            NothingUsableError, match=r"ingest: none of the 2 rows of .*: 2 bad_record \(first line 0: "
        ):
            run(config, ToyIngest)
    write_source(folder, 2, 3)
    report, _ = run(config, ToyIngest)
    assert report.made == {"ingest": 1}
