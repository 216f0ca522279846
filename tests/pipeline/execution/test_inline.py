"""Tasks in this process, one after the other."""

from __future__ import annotations

from pathlib import Path

from toy_runs import make_config
from toys import ToyIngest

from pipeline.execution.inline import InlineExecutor
from pipeline.run.lock import RunLock
from pipeline.run.target import part_target
from pipeline.run.task import Context, Task, reference_of
from pipeline.storage.files import SourceFiles
from pipeline.storage.local import LocalStorage
from stages.stage import Needs


def test_tasks_are_done_in_their_order_as_they_are_asked_for(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    storage = LocalStorage(config.run)
    slices = ToyIngest(config).plan(SourceFiles(storage), config.part_size)
    tasks = [
        Task(reference_of(ToyIngest), part_target(part), f"f{part}", {}, piece) for part, piece in enumerate(slices)
    ]
    with RunLock(storage) as held, InlineExecutor() as executor:
        context = Context(storage.root, config.model_dump_json(), held.run_id)
        outcomes = executor.run(context, tasks, Needs())
        assert next(outcomes).task.target.part == 0 and len(storage.list("pairs")) == 1  # nothing is made ahead
        assert [outcome.task.target.part for outcome in outcomes] == list(range(1, len(tasks)))
        assert len(storage.list("pairs")) == len(tasks) > 3
        worker = executor._worker
        list(executor.run(context, tasks[:1], Needs()))
        assert executor._worker is worker  # models stay loaded between stages
        list(executor.run(Context(storage.root, context.config, "another run"), tasks[:1], Needs()))
        assert executor._worker is not worker
    assert executor._worker is None
