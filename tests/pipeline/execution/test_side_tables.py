"""Side tables on Ray: the same bytes with two workers, killed and resumed; and what a stage needs of its machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from side_toys import ON, SIDE_PROJECT
from toy_runs import KeptRay, data_files, make_config, run_toys, write_source

from pipeline.execution.ray_pool import RayExecutor, resources, room_for
from pipeline.run.plan import read_plan
from pipeline.run.state import RunState
from pipeline.run.verify import verify
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.stage import Needs, UserError
from tests.waiting import wait_for

DRIVE = Path(__file__).parents[1] / "drive.py"


def side_config(run: Path, source: Path, **settings: Any) -> Config:
    return make_config(run, source, SIDE_PROJECT, train__steps=20, **{**ON, **settings})


def problems(config: Config) -> list[str]:
    storage = open_storage(config.run)
    return [str(problem) for problem in verify(RunState(storage, SIDE_PROJECT, config, read_plan(storage))).problems]


def test_two_workers_give_the_bytes_of_one_process(tmp_path: Path, wide_source: Path, ray_of: KeptRay) -> None:
    run_toys(side_config(tmp_path / "inline", wide_source), project=SIDE_PROJECT)
    config = side_config(tmp_path / "ray", wide_source)
    report = run_toys(config, ray_of(workers=2), SIDE_PROJECT)
    assert report.made["winnow"] == 9 and report.made["score"] == 8 and not report.failed
    assert data_files(tmp_path / "ray") == data_files(tmp_path / "inline")
    assert problems(config) == []


def test_killed_on_ray_it_goes_on(tmp_path: Path, wide_source: Path, marks: Path) -> None:
    """The driver dies while phrases are under way, and again while the job is."""
    write_source(wide_source, 3, 8, first="@hold on")
    (marks / "hold-train").touch()  # so that the job is not over before it is seen
    run = tmp_path / "run"
    command = [sys.executable, str(DRIVE), str(run), str(wide_source), "ray", "0", "side"]
    for awaited in ("commits/phrases/*.json", "state/jobs/train"):
        driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
        wait_for(lambda pattern=awaited: list(run.glob(pattern)), driver)
        driver.kill()
        driver.communicate()
        (marks / "peace").touch()
    (marks / "hold-train").unlink()
    kept = {path: path.read_bytes() for path in run.glob("commits/*/*.json")}
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert all(path.read_bytes() == record for path, record in kept.items())  # with its seconds: not recomputed
    run_toys(side_config(tmp_path / "calm", wide_source), project=SIDE_PROJECT)
    assert data_files(run) == data_files(tmp_path / "calm")
    assert problems(side_config(run, wide_source)) == []


def test_workers_are_as_many_as_there_is_memory_for(
    tmp_path: Path, wide_source: Path, ray_of: KeptRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    executor = ray_of(workers=2)
    run_toys(side_config(tmp_path / "run", wide_source), executor, SIDE_PROJECT, stages=("ingest",))
    cluster: Any = ray
    there = int(cluster.cluster_resources()["memory"])
    seen: list[tuple[int, int]] = []
    start_worker = RayExecutor.start_worker

    def counted(self: RayExecutor) -> Any:
        slot = start_worker(self)
        assert self._made_for is not None
        seen.append((self._made_for[1].memory, len(self.slots)))
        return slot

    monkeypatch.setattr(RayExecutor, "start_worker", counted)
    settings = {"score": {"on": True, "memory": there // 2 + (1 << 20)}}
    config = side_config(tmp_path / "run", wide_source, **settings)
    assert not run_toys(config, executor, SIDE_PROJECT).failed
    assert max(workers for memory, workers in seen if memory == 0) == 2
    assert [workers for memory, workers in seen if memory] == [1]
    too_much = side_config(tmp_path / "run", wide_source, score={"on": True, "memory": 2 * there, "factor": 2.0})
    with pytest.raises(UserError, match=r"wants [\d.]+ GiB of memory, and no machine of this Ray has more than [\d.]+"):
        run_toys(too_much, executor, SIDE_PROJECT)


@pytest.mark.parametrize(
    ("needs", "reserved", "room"),
    [
        (Needs(), {"num_cpus": 1, "num_gpus": 0}, 8),
        (Needs(gpu=True), {"num_cpus": 1, "num_gpus": 1}, 2),
        (Needs(gpu=True, ranks=2), {"num_cpus": 0, "num_gpus": 0}, 8),  # its ranks take the devices
        (Needs(memory=30), {"num_cpus": 1, "num_gpus": 0, "memory": 30}, 3),
        (Needs(gpu=True, memory=90), {"num_cpus": 1, "num_gpus": 1, "memory": 90}, 1),
    ],
)
def test_what_ray_reserves(needs: Needs, reserved: dict[str, int], room: int) -> None:
    assert resources(needs) == reserved
    assert room_for(needs, {"CPU": 8, "GPU": 2, "memory": 100}) == room
