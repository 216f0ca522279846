"""One attempt at one part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from side_toys import ON, SIDE_PROJECT, SideRescore
from toy_runs import make_config, run_toys, write_source
from toys import PROJECT, ToyPhrases

from pipeline.execution.worker import Worker
from pipeline.run.plan import read_plan
from pipeline.run.state import RunState
from pipeline.run.task import Context, Task
from pipeline.storage.open import open_storage
from schemas.config import Config
from tests.pipeline.side_runs import side_config


def phrases_of(config: Config, part: int) -> Task:
    """The task of a part whose pairs are there."""
    run_toys(config, stages=("ingest",))
    storage = open_storage(config.run)
    task = RunState(storage, PROJECT, config, read_plan(storage)).part_task(ToyPhrases, part)
    assert task is not None
    return task


@pytest.mark.parametrize(
    ("order", "failure", "error"),
    [
        ("@raise", "part", "ValueError: the stage has a mistake"),
        ("@user", "user", "phrases.backend: not installed"),
        ("@store", "store", "phrases/: the store refuses access"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing(
    tmp_path: Path, source: Path, marks: Path, order: str, failure: str, error: str
) -> None:
    write_source(source, 1, 5, first=order)
    config = make_config(tmp_path / "run", source)
    task = phrases_of(config, 2)
    outcome = Worker(Context(config.run, config.model_dump_json(), "id")).run(task)
    assert (outcome.task, outcome.record, outcome.failure, outcome.error) == (task, None, failure, error)
    assert ("toys.py" in outcome.trace) == (failure != "user")  # a mistake of the user needs no traceback
    assert not (tmp_path / "run/phrases").exists() or not list((tmp_path / "run/phrases").iterdir())
    assert not (tmp_path / "run/commits/phrases").exists()
    assert not list((tmp_path / "run/state/attempts").glob("*"))


def test_nothing_is_committed_for_a_run_that_does_not_hold_the_folder(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    outcome = Worker(Context(config.run, config.model_dump_json(), "another run")).run(phrases_of(config, 0))
    assert outcome.failure == "store" and "taken over by another run; nothing was committed" in outcome.error
    assert not (tmp_path / "run/commits/phrases").exists()


def test_only_a_stage_that_needs_an_actor_stays_loaded(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def noted(kind: type[Any]) -> None:
        init = kind.__init__

        def call(self: Any, config: Config) -> None:
            made.append(type(self).name)
            init(self, config)

        monkeypatch.setattr(kind, "__init__", call)

    for kind in (SIDE_PROJECT[2], SideRescore):
        noted(kind)
    run_toys(side_config(tmp_path / "run", source, **ON), project=SIDE_PROJECT)
    assert made.count("phrases") == 5 and made.count("score") == 1
