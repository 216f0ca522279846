"""All real stages, on a few scenes, killed at many moments: what they end with is what an undisturbed run makes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import crash_at, on_change
from toy_runs import data_files, run_toys

from pipeline.cli.commands import project
from pipeline.run.config import resolve
from pipeline.run.plan import read_plan
from pipeline.run.state import RunState
from pipeline.run.verify import verify
from pipeline.storage.open import open_storage
from schemas.config import Config
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]
TIMED = ("student/metrics.jsonl", "tensorboard/", "student/")  # hold rates and times, or are compared as numbers
SETTINGS: dict[str, Any] = {
    "part_size": 3,
    "ingest": {"source": "scenes", "count": 6},
    "label": {"short": 64, "long": 96, "device": "cpu"},
    "filter": {"min_score": 0.3},
    "shard": {"samples_per_shard": 1},
    "audit": {"pictures": 2},
    "train": {
        "scales": [64],
        "steps": 4, "batch_size": 2, "checkpoint_every": 1, "log_every": 1, "threads": 1, "device": "cpu", "warmup": 1,
        "gold": [{"source": "scenes", "count": 5}],
    },
    "evaluate": {"count": 2},
}  # fmt: skip


def real_config(run: Path) -> Config:
    return resolve(Config.model_validate({"run": str(run), **SETTINGS}), project(), project())


def enabled(config: Config) -> tuple[str, ...]:
    """The stages of `phrasebox run`."""
    return tuple(stage.name for stage in project() if stage.enabled(config))


CLEAN = multiprocessing.get_context("forkserver")  # its children inherit no thread and no garbage of earlier tests
IMPORTED_ONCE = [
    *("pyarrow.parquet", "pycocotools.mask", "torch", "model.glip"),
    *("stages.audit.report", "stages.evaluate.scenes", "stages.train.loop"),
]


def make(run: Path, changes: Path, moment: tuple[str, str] | None = None) -> int:
    """A run in a process of its own, whose changes are written down and which dies before one of them.

    Returns what the process ended with: an exit code, or the signal's number below zero.
    """
    child = CLEAN.Process(target=whole_run, args=(run, changes, moment))
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def whole_run(run: Path, changes: Path, moment: tuple[str, str] | None) -> None:
    import torch

    def note(kind: str, path: str) -> None:
        with open(changes, "a") as file:
            file.write(json.dumps([kind, path]) + "\n")

    torch.set_num_threads(1)
    if moment:
        crash_at(moment)
    on_change(note)
    config = real_config(run)
    report = run_toys(config, project=project(), stages=enabled(config))
    assert not report.failed and not report.waiting


def read_changes(path: Path) -> list[tuple[str, str]]:
    return [(kind, name) for kind, name in map(json.loads, path.read_text().splitlines())]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run, and beside it the list of its changes."""
    CLEAN.set_forkserver_preload(IMPORTED_ONCE)
    folder = tmp_path_factory.mktemp("calm")
    assert make(folder / "run", folder / "changes") == 0
    return folder


def weights(run: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(run / "student/weights.safetensors")


def assert_same(run: Path, calm: Path) -> None:
    import numpy as np

    mine, theirs = ({path: sha for path, sha in data_files(folder).items() if not path.startswith(TIMED)}
                    for folder in (run, calm))  # fmt: skip
    evaluated = {path for path in theirs if path.startswith("evaluation/")}
    assert len(evaluated) == 2 and mine == theirs
    trained, expected = weights(run), weights(calm)
    assert trained.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(trained[name], value, rtol=0, atol=1e-6, err_msg=name)
    assert losses(run) == losses(calm)
    config = real_config(run)
    storage = open_storage(config.run)
    assert verify(RunState(storage, project(), config, read_plan(storage))).problems == []


def losses(run: Path) -> list[tuple[float, float]]:
    lines = map(json.loads, (run / "student/metrics.jsonl").read_text().splitlines())
    return [(line["step"], round(line["loss"], 5)) for line in lines if "loss" in line]


def moments(calm: Path) -> list[tuple[str, str]]:
    """Two or more of every stage, in the order of the run; seeded.

    Of each stage one between the last rename and the commit record, and one before a file of it appears; all of the
    training, and some of what belongs to no stage.
    """
    every = dict.fromkeys(read_changes(calm / "changes"))
    changes = [change for change in every if not change[1].startswith("state/attempts")]
    chance = random.Random(7)
    chosen: set[tuple[str, str]] = {("write", "plan.json"), ("write", "config.yaml"), ("write", "state/jobs/train")}
    for stage in (stage for stage in project() if stage.enabled(Config())):
        records = [change for change in changes if change[1].startswith(f"commits/{stage.name}/")]
        files = [
            change
            for change in changes
            if change[1].startswith(tuple(f"{output.folder}/" for output in stage.all_outputs()))
        ]
        chosen |= {chance.choice([record for record in records if record[0] == "write"]), chance.choice(files)}
        if stage.name in ("shard", "train"):
            chosen |= set(chance.sample(files, min(6, len(files))))
    chosen |= {change for change in changes if "checkpoint-" in change[1]}
    return [change for change in changes if change in chosen]


@pytest.mark.slow
def test_killed_at_many_moments_of_every_stage(quick_path: Path, calm: Path) -> None:
    """One run, killed again and again, each time a little later. It goes on, and never starts over."""
    run, begun, points = quick_path / "run", quick_path / "begun", moments(calm)
    for moment in points:
        assert make(run, begun, moment) == -signal.SIGKILL, moment
    assert make(run, begun) == 0
    counts = Counter(read_changes(begun))
    checkpoints = [
        count for (kind, path), count in counts.items() if kind == "rename" and path.startswith("student/checkpoint-")
    ]
    in_training = [path for kind, path in points if path.startswith(("student/", "commits/train/"))]
    assert 0 < max(checkpoints) <= 3 < len(in_training)  # had it started over each time, there were one a kill
    assert len(points) >= 24 and {path.split("/")[1] for _, path in points if path.startswith("commits/")} == set(
        enabled(Config())
    )
    assert_same(run, calm / "run")


def processes_below(pid: int, name: str) -> list[int]:
    """Descendants of a process whose command line begins with a name."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # another user's, or gone since the folder was listed
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                name = (entry / "cmdline").read_bytes().decode(errors="replace")
                parents[int(entry.name)], names[int(entry.name)] = parent, name
    found, wave = [], {pid}
    while wave := {child for child, parent in parents.items() if parent in wave}:
        found += sorted(wave)
    return [child for child in found if names[child].startswith(name)]


def kill_one(processes: list[int]) -> bool:
    """Whether one of them was there to be killed: between two stages there is none, and a worker may be at its end."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            return True
    return False


@pytest.mark.slow
def test_killed_on_ray_in_label_shard_and_train(quick_path: Path, calm: Path) -> None:
    """The driver in the middle of `label`, a worker in whatever it is at, and everything at once during `train`.

    On a machine so busy that the run is over before this process has its turn there is nothing left to kill.
    """
    run = quick_path / "run"
    (quick_path / "config.yaml").write_text(yaml.safe_dump({"run": str(run), **SETTINGS}))
    command = [sys.executable, "-m", "pipeline.cli", "run", str(quick_path / "config.yaml"), "--workers", "2"]

    def started(awaited: str) -> subprocess.Popen[bytes]:
        driver = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE)
        wait_for(lambda: list(run.glob(awaited)), driver)
        return driver

    driver = started("commits/label/*.json")
    driver.kill()
    driver.communicate()
    driver = started("commits/filter/*.json")
    wait_for(lambda: kill_one(processes_below(driver.pid, "ray::Host")) or driver.poll() is not None)
    wait_for(lambda: list(run.glob("student/checkpoint-00000002.pt")) or driver.poll() is not None)
    with suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert_same(run, calm / "run")
