"""Names of targets are those of files and records that older runs have."""

from __future__ import annotations

from toys import ToyIngest, ToyShard, ToyTrain

from pipeline.run.commits import record_path
from pipeline.run.target import JOB, MERGED, part_of_path, part_target, result_of, target_of_path


def test_names_in_the_run_folder_and_in_messages() -> None:
    assert record_path("label", part_target(7)) == "commits/label/part-0000007.json"
    assert record_path("audit", MERGED) == "commits/audit/result.json"
    assert record_path("train", JOB) == "commits/train/part-0000000.json"
    assert [target.recorded for target in (part_target(7), MERGED, JOB)] == [7, -1, 0]
    assert [target.of("x") for target in (part_target(7), MERGED, JOB)] == ["x, part 7", "x, result", "x"]
    assert [str(target) for target in (part_target(7), MERGED, JOB)] == ["part 7", "result", "result"]


def test_a_name_is_read_as_what_its_stage_makes() -> None:
    assert target_of_path(ToyIngest, "commits/ingest/part-0000012.json") == part_target(12)
    assert target_of_path(ToyShard, "shards/0000012-003.tar") == part_target(12)
    assert target_of_path(ToyShard, "shards/index.json") == MERGED == result_of(ToyShard)
    assert target_of_path(ToyTrain, "commits/train/part-0000000.json") == JOB == result_of(ToyTrain)
    assert target_of_path(ToyTrain, "state/failed/train/result.json") == JOB  # as it was called once
    assert part_of_path("student/step-0001") is None


def test_results_come_before_parts_and_nothing_equals_a_number() -> None:
    targets = [part_target(10), part_target(2), MERGED]
    assert sorted(targets) == [MERGED, part_target(2), part_target(10)]
    assert part_target(0) != JOB and len({JOB, MERGED, part_target(0)}) == 3
