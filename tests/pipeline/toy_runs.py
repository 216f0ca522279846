"""Runs of the toy stages, and what they leave."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from toys import PROJECT, ToyTrain

from pipeline.execution.dispatch import Dispatch, Slot
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.ray_pool import RayExecutor
from pipeline.run.progress import Display
from pipeline.run.runner import Report, Runner, Selection
from pipeline.run.sections import config_class
from pipeline.run.task import Executor
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.stage import Stage


class KeptRay:
    """A RayExecutor by its options. The last one keeps its Ray while the options stay the same, until `close`."""

    def __init__(self) -> None:
        self._options: dict[str, Any] = {}
        self._executor: RayExecutor | None = None

    def __call__(self, **options: Any) -> RayExecutor:
        if self._executor is None or options != self._options:
            self.close()
            self._options, self._executor = options, RayExecutor(**options)
        return self._executor

    def close(self) -> None:
        """A test that starts a Ray of its own calls it first."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None


def write_source(folder: Path, number: int, rows: int, first: str = "") -> None:
    lines = [" ".join(f"Word{number}{row}{word}" for word in range(row % 4 + 1)) for row in range(rows)]
    lines[-1] = "bad line" if rows > 3 else lines[-1]
    lines[0] = first or lines[0]
    (folder / f"captions-{number}.txt").write_text("\n".join(lines) + "\n")


def write_sources(folder: Path, files: int) -> Path:
    """A source of so many files of eight captions, that fill two parts each; returns its folder."""
    source = folder / "source"
    source.mkdir()
    for number in range(files):
        write_source(source, number, 8)
    return source


def make_config(
    run: Path | str, source: Path | str, project: Sequence[type[Stage]] = PROJECT, **settings: Any
) -> Config:
    tree: dict[str, Any] = {"run": str(run), "part_size": 4, "ingest": {"source": str(source)}}
    tree |= {"train": {"steps": 3}, "shard": {"samples_per_shard": 1}}
    for name, value in settings.items():
        section, _, key = name.partition("__")
        if key:
            tree.setdefault(section, {})[key] = value
        else:
            tree[section] = value
    return config_class(project).model_validate(tree)


class Recorder(Display):
    """Keeps the lines instead of showing them."""

    def __init__(self, root: str) -> None:
        super().__init__(open_storage(root))
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def run_toys(
    config: Config,
    executor: Executor | None = None,
    project: list[type[Stage]] | None = None,
    parts: set[int] | None = None,
    force: bool = False,
    stages: tuple[str, ...] | None = None,
) -> Report:
    project = project or PROJECT
    chosen = [stage for stage in project if stages is None or stage.name in stages]
    runner = Runner(open_storage(config.run), config, project, executor or InlineExecutor(), Recorder(config.run))
    return runner.run(Selection(chosen, parts, force))


@contextmanager
def training_stops(after: int) -> Iterator[None]:
    """Inside, the toys' training fails when it has written so many files, as if it had been killed."""
    run_job = ToyTrain.run_job

    def interrupted(self: ToyTrain, io: Any) -> dict[str, Any]:
        create, paths = io.create, []

        def counted(path: str) -> Any:
            paths.append(path)
            if len(paths) > after:
                raise InterruptedError("killed")
            return create(path)

        io.create = counted
        return run_job(self, io)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyTrain, "run_job", interrupted)
        yield


def data_files(run: Path | str) -> dict[str, str]:
    """sha256 of every data file of a run, by path: all but records, state and the config."""
    root = Path(run)
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(("commits/", "state/", "config.yaml")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def words_in_shards(run: Path) -> str:
    found = []
    for path in sorted((run / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            found += [tar.extractfile(name).read().decode() for name in tar.getnames()]  # type: ignore[union-attr]
    return " ".join(found)


def only_hangs_are_overdue(monkeypatch: pytest.MonkeyPatch, marks: Path, hangs: dict[int, int]) -> None:
    """From now on a deadline, however short, is held against parts alone that hang in this very attempt: on a busy
    machine every part may be slow. `hangs`: how often each part hangs."""
    is_overdue = Dispatch._is_overdue

    def overdue(self: Dispatch, slot: Slot) -> bool:
        target = slot.queue[0][1].target
        part = target.part
        attempt = len(list(marks.glob(f"hang-{part}-*")))
        return self._timeouts[target] < attempt <= hangs.get(part, 0) and is_overdue(self, slot)

    monkeypatch.setattr(Dispatch, "_is_overdue", overdue)
