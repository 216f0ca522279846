"""A Ray cluster of two nodes that loses a node, a worker and patience, over 1,000 parts; one without memory; and one
that trains on both of its nodes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import KeptRay, data_files, make_config, only_hangs_are_overdue, run_toys, write_source

from pipeline.execution.dispatch import Dispatch
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.ray_pool import COUNT_EVERY, RayExecutor
from tests.pipeline.execution.test_ranks import losses, train

PARTS = 1000
DEADLINE = 5.0  # seconds
MISHAPS = {20: "@hang always", 100: "@die1 kills one worker"}
SMALL = {"object_store_memory": 100 << 20, "include_dashboard": False}


@pytest.fixture
def start_cluster(monkeypatch: pytest.MonkeyPatch, ray_of: KeptRay) -> Iterator[Callable[[int], Any]]:
    """A cluster whose head has so many workers."""
    import ray
    from ray.cluster_utils import Cluster

    ray_of.close()
    started = []

    def start(workers: int) -> Any:
        here = Path(__file__)  # for `toys`, and for this tree where another one is installed
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here.parents[1]), str(here.parents[3])]))
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        started.append(Cluster(initialize_head=True, head_node_args={"num_cpus": workers, **SMALL}))
        return started[0]

    yield start
    ray.shutdown()
    for cluster in started:
        cluster.shutdown()


@pytest.mark.slow
def test_a_thousand_parts_on_a_cluster_that_falls_apart(
    quick_path: Path, start_cluster: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run, calm = quick_path / "source", quick_path / "run", quick_path / "calm"
    folder.mkdir()
    (quick_path / "marks").mkdir()
    lines = [MISHAPS.get(number, f"caption number {number}") for number in range(PARTS)]
    (folder / "captions.txt").write_text("\n".join(lines) + "\n")
    config = make_config(run, folder, part_size=1)
    run_toys(config, stages=("ingest",))
    shutil.copytree(run, calm)
    cluster = start_cluster(1)
    first = cluster.add_node(num_cpus=2, **SMALL)

    def join() -> None:
        cluster.add_node(num_cpus=2, **SMALL)
        time.sleep(COUNT_EVERY)  # the driver holds, so that it counts the machines before it gives out another part

    accidents = [(300, lambda: cluster.remove_node(first, allow_graceful=False)), (500, join)]
    fill, seen = Dispatch._fill, []  # (whether the new node has joined, workers, parts in flight)

    def counted(self: Dispatch) -> None:
        done = len(os.listdir(run / "commits/phrases")) if (run / "commits/phrases").exists() else 0
        if accidents and done >= accidents[0][0]:
            accidents.pop(0)[1]()
        fill(self)
        seen.append((not accidents, len(self._pool.slots), sum(len(slot.queue) for slot in self._pool.slots)))

    monkeypatch.setattr(Dispatch, "_fill", counted)
    only_hangs_are_overdue(monkeypatch, quick_path / "marks", {20: 3})
    with RayExecutor(address=cluster.address, deadline=DEADLINE) as executor:
        report = run_toys(config, executor, stages=("phrases",))
    assert [failure.where for failure in report.failed] == ["phrases, part 20"]
    assert "no progress within the deadline of 5 s, 2 times" in report.failed[0].error
    assert report.made == {"phrases": PARTS - 1}
    assert not accidents and all(flight <= 2 * workers for _, workers, flight in seen)
    busy = [(joined, workers) for joined, workers, flight in seen if flight == 2 * workers]  # and more parts may wait
    assert max(workers for _, workers in busy) <= 5  # two new ones while the loss of two is not known yet
    assert min(workers for joined, workers in busy if joined) >= 3  # the node that joined is used at once
    tried = {part: len(list((quick_path / "marks").glob(f"*-{part}-*"))) for part in MISHAPS}
    assert tried[20] in (2, 3) and tried[100] in (2, 3)  # once more where the lost node was at it

    (quick_path / "marks/peace").touch()
    again = run_toys(config, stages=("phrases",))
    assert again.made == {"phrases": 1} and not again.failed
    run_toys(make_config(calm, folder, part_size=1), stages=("phrases",))
    assert data_files(run) == data_files(calm)


@pytest.mark.slow
def test_a_part_that_eats_memory_fails_alone(
    tmp_path: Path, source: Path, marks: Path, start_cluster: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray ends workers before the kernel would, neighbours too; only the part that had the memory is given up."""
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    used, total = get_used_memory(), get_system_memory()
    room = min(3 << 30, (total - used) // 3)
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(used + room) / total:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    monkeypatch.setenv("TOYS_EAT_AT_MOST", str(2 * room))
    for number in (3, 4, 5):
        write_source(source, number, 7)
    write_source(source, 1, 5, first="@eat more than there is")  # part 2
    run = tmp_path / "run"
    config = make_config(run, source)
    with RayExecutor(address=start_cluster(2).address) as executor:
        report = run_toys(config, executor, stages=("ingest", "phrases"))
    assert [failure.where for failure in report.failed] == ["phrases, part 2"]
    assert "killed its worker 3 times; its last output: " in report.failed[0].error
    assert "running low on memory" in report.failed[0].error
    # Ray itself tried nothing again. A worker may be ended before its mark, for memory of the one before it.
    assert 1 <= len(list(marks.glob("eat-2-*"))) <= 3
    (marks / "peace").touch()
    assert run_toys(config).made == {"phrases": 1, "shard": 12, "train": 1}
    run_toys(make_config(tmp_path / "calm", source))
    assert data_files(run) == data_files(tmp_path / "calm")


@pytest.mark.slow
def test_two_ranks_on_two_nodes_have_the_losses_of_one(tmp_path: Path, start_cluster: Callable[[int], Any]) -> None:
    """Each node has one CPU, and so each rank has a node of its own."""
    assert not train(tmp_path / "one", InlineExecutor()).failed
    cluster = start_cluster(1)
    cluster.add_node(num_cpus=1, **SMALL)
    with RayExecutor(address=cluster.address) as executor:
        report = train(tmp_path / "two", executor, workers=2)
        import ray

        assert [node["Resources"]["CPU"] for node in ray.nodes() if node["Alive"]] == [1.0, 1.0]
    assert report.made == {"train": 1} and not report.failed
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=2e-3)
