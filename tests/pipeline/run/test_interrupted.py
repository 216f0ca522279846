"""The files of an interrupted job survive whatever the job is asked for next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from toy_runs import Recorder, data_files, make_config, run_toys, training_stops, write_source
from toys import PROJECT, ToyTrain

from pipeline.execution.inline import InlineExecutor
from pipeline.run.interrupted import begin_job, is_under_way, job_marker
from pipeline.run.runner import Runner, Selection
from pipeline.storage.base import Storage
from pipeline.storage.open import open_storage
from schemas.commit import CommitRecord
from schemas.config import Config

STEPS = ["student/step-0001", "student/step-0002"]


def interrupt(config: Config, stages: tuple[str, ...] | None = None) -> str:
    """Stops the training after two checkpoints; returns its fingerprint."""
    with training_stops(after=2):
        assert [failure.where for failure in run_toys(config, stages=stages).failed] == ["train"]
    return open_storage(config.run).read(job_marker("train")).decode()


def resumed_from(run: Path) -> int:
    record = CommitRecord.from_json((run / "commits/train/part-0000000.json").read_text())
    return int(record.notes["resumed_from"])


def lines_of(config: Config) -> list[str]:
    display = Recorder(config.run)
    runner = Runner(open_storage(config.run), config, PROJECT, InlineExecutor(), display)
    assert not runner.run(Selection(PROJECT)).failed
    return [line for line in display.lines if "kept in" in line]


def test_other_settings_keep_the_checkpoints_aside_and_the_former_ones_go_on_from_them(
    tmp_path: Path, source: Path
) -> None:
    """Through another training that is interrupted, too, and one that is finished."""
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    former, other = make_config(run, source, train__steps=5), make_config(run, source, train__steps=6)
    run_toys(make_config(fresh, source, train__steps=5))
    first = interrupt(former)
    second = interrupt(other)
    storage = open_storage(str(run))
    assert [path.split("/", 4)[3:] for path in storage.list("state/interrupted/train")] == [
        [first, path] for path in STEPS
    ]
    assert first != second and list(storage.list("student")) == STEPS
    assert run_toys(other).made == {"train": 1} and resumed_from(run) == 2
    assert run_toys(former).made == {"train": 1} and resumed_from(run) == 2
    assert data_files(run) == data_files(fresh)
    assert not storage.list("state/interrupted")


def test_a_line_says_where_they_are_kept(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    fingerprint = interrupt(make_config(run, source, train__steps=5))
    (line,) = lines_of(make_config(run, source, train__steps=6))
    assert f"its 2 files (0 MB) are kept in state/interrupted/train/{fingerprint}/" in line
    assert lines_of(make_config(run, source, train__steps=6)) == []


def test_new_data_keep_them_aside_as_well(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    config = make_config(run, source, train__steps=5)
    fingerprint = interrupt(config)
    write_source(source, 9, 4)
    assert run_toys(config).made["train"] == 1 and resumed_from(run) == 0
    assert len(open_storage(str(run)).list(f"state/interrupted/train/{fingerprint}")) == 2


class Killed(Exception):
    pass


@pytest.mark.parametrize("moment", range(4))
@pytest.mark.parametrize("back", [False, True])
def test_killed_while_they_move(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, moment: int, back: bool
) -> None:
    """At any step on the way out and, with `back`, on the way in; no file is lost, none comes twice."""
    run = tmp_path / "run"
    former = interrupt(make_config(run, source, train__steps=5))
    storage = open_storage(str(run))
    if back:
        begin_job(storage, ToyTrain, "other")
    steps: list[str] = []

    def dying(name: str) -> Callable[..., None]:
        act = getattr(type(storage), name)

        def killed(self: Storage, *args: object) -> None:
            if len(steps) == moment:
                raise Killed
            steps.append(name)
            act(self, *args)

        return killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        for name in ("move", "write", "delete"):
            patch.setattr(type(storage), name, dying(name))
        begin_job(storage, ToyTrain, former if back else "other")
    begin_job(storage, ToyTrain, "other")
    assert list(storage.list(f"state/interrupted/train/{former}/student")) == [
        f"state/interrupted/train/{former}/{path}" for path in STEPS
    ]
    assert not storage.list("student")
    begin_job(storage, ToyTrain, former)
    assert list(storage.list("student")) == STEPS and not storage.list("state/interrupted")
    assert is_under_way(storage, ToyTrain, former)
