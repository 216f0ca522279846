"""Blocks of a merge on Ray: the same bytes, whatever happens to their workers, and none is made twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from side_toys import ON, SIDE_PROJECT
from toy_runs import KeptRay, data_files, make_config, run_toys

from pipeline.execution.blocks import block_runner
from pipeline.execution.ray_pool import resources, room_for
from pipeline.execution.ray_session import check_memory
from pipeline.storage.scratch import run_here
from schemas.config import Config
from stages.stage import Needs, UserError
from tests.waiting import wait_for

DRIVE = Path(__file__).parents[1] / "drive.py"
STAGES = ("ingest", "winnow", "phrases")


def side_config(run: Path, source: Path) -> Config:
    return make_config(run, source, SIDE_PROJECT, train__steps=20, **ON)


def begun(marks: Path) -> list[int]:
    """The part of each block that began, sorted."""
    return sorted(int(path.name.split("-")[1]) for path in marks.glob("block-*"))


def test_a_merge_leaves_its_core_to_its_blocks() -> None:
    assert resources(Needs(blocks=True)) == {"num_cpus": 0, "num_gpus": 0}
    assert resources(Needs(blocks=True, gpu=True)) == {"num_cpus": 0, "num_gpus": 1}
    assert room_for(Needs(blocks=True), {"CPU": 2}) == 2


def test_in_a_process_of_its_own_a_merge_runs_its_blocks_there() -> None:
    assert block_runner(2) is run_here


def test_blocks_on_ray_survive_their_workers(tmp_path: Path, wide_source: Path, marks: Path, ray_of: KeptRay) -> None:
    """One block kills its worker."""
    run_toys(side_config(tmp_path / "inline", wide_source), project=SIDE_PROJECT, stages=STAGES)
    assert begun(marks) == list(range(8))
    for path in marks.iterdir():
        path.unlink()
    (marks / "die-3").touch()
    report = run_toys(side_config(tmp_path / "ray", wide_source), ray_of(workers=2), SIDE_PROJECT, stages=STAGES)
    assert not report.failed and data_files(tmp_path / "ray") == data_files(tmp_path / "inline")
    assert begun(marks) == [0, 1, 2, 3, 3, 4, 5, 6, 7]
    assert not (tmp_path / "ray/state/scratch").exists()


def test_a_block_that_fails_fails_the_merge(tmp_path: Path, wide_source: Path, marks: Path, ray_of: KeptRay) -> None:
    (marks / "raise-5").touch()
    config = side_config(tmp_path / "run", wide_source)
    report = run_toys(config, ray_of(workers=2), SIDE_PROJECT, stages=("ingest", "winnow"))
    assert [str(failure.where) for failure in report.failed] == ["winnow, result"]
    assert report.failed[0].error == "ValueError: the block has a mistake"
    (marks / "raise-5").unlink()
    made = [int(path.name.rpartition("-")[2]) for path in (tmp_path / "run/state/scratch/leaks").iterdir()]
    assert made and 5 not in made
    assert not run_toys(config, ray_of(workers=2), SIDE_PROJECT, stages=("ingest", "winnow")).failed
    assert [begun(marks).count(part) for part in (*made, 5)] == [1] * len(made) + [2]


def test_killed_among_its_blocks_a_merge_goes_on(tmp_path: Path, wide_source: Path, marks: Path) -> None:
    (marks / "hold-blocks").touch()
    run = tmp_path / "run"
    command = [sys.executable, str(DRIVE), str(run), str(wide_source), "ray", "0", "side"]
    driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    wait_for(lambda: list(run.glob("state/scratch/leaks/*")) and len(begun(marks)) > 1, driver)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert not (run / "commits/winnow/result.json").exists()
    (marks / "hold-blocks").unlink()
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert begun(marks).count(0) == 1 and set(begun(marks)) == set(range(8))
    run_toys(side_config(tmp_path / "calm", wide_source), project=SIDE_PROJECT)
    assert data_files(run) == data_files(tmp_path / "calm") and not (run / "state/scratch").exists()


def test_a_block_that_fits_on_no_machine_is_told(ray_of: KeptRay, tmp_path: Path, wide_source: Path) -> None:
    import ray

    run_toys(side_config(tmp_path / "run", wide_source), ray_of(workers=2), SIDE_PROJECT, stages=("ingest",))
    cluster: Any = ray
    check_memory("a block of the merge", 1 << 20)
    with pytest.raises(UserError, match=r"a block of the merge wants [\d.]+ GiB of memory, and no machine of this Ray"):
        check_memory("a block of the merge", 2 * int(cluster.cluster_resources()["memory"]))
