"""Runs of the toys with side tables, and what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from side_toys import SIDE_PROJECT
from toy_runs import make_config, run_toys

from pipeline.run.plan import read_plan
from pipeline.run.runner import Report
from pipeline.run.state import RunState
from pipeline.run.verify import verify
from pipeline.storage.open import open_storage
from schemas.commit import CommitRecord
from schemas.config import Config

LINES = ["red fox", "a red fox", "odd fox", "blue bird", "secret leak", "bad line", "one two three", "green bird"]


def side_config(run: Path, source: Path, **settings: Any) -> Config:
    return make_config(run, source, SIDE_PROJECT, **settings)


def make(config: Config, executor: Any = None, force: bool = False, **more: Any) -> Report:
    """As `phrasebox run` does: the stages that are turned on."""
    chosen = tuple(stage.name for stage in SIDE_PROJECT if stage.enabled(config))
    return run_toys(config, executor, SIDE_PROJECT, stages=chosen, force=force, **more)


def state_of(config: Config, trust_index: bool = True) -> RunState:
    storage = open_storage(config.run)
    return RunState(storage, SIDE_PROJECT, config, read_plan(storage), trust_index=trust_index)


def problems(config: Config, quick: bool = False) -> list[str]:
    return [str(problem) for problem in verify(state_of(config), quick).problems]


def record(run: Path, stage: str, name: str) -> CommitRecord:
    return CommitRecord.from_json((run / f"commits/{stage}/{name}.json").read_text())


def rows(run: Path, dataset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((run / dataset).glob("part-*")) for row in pq.read_table(path).to_pylist()]
