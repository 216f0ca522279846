"""What is made, what is left alone, and what follows from a change; on toy stages, in one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from toy_runs import data_files, make_config, run_toys, training_stops, write_source
from toys import PROJECT, ToyPhrases, ToyShard, ToyTrain

from pipeline.run.failures import failures
from pipeline.run.target import JOB
from pipeline.storage.open import open_storage
from pipeline.storage.retry import StoreError
from schemas.commit import CommitRecord
from stages.stage import UserError


def record(run: Path, stage: str, part: int) -> CommitRecord:
    return CommitRecord.from_json((run / f"commits/{stage}/part-{part:07d}.json").read_text())


def test_a_run_accounts_for_every_line_and_a_second_one_does_nothing(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    first = run_toys(make_config(run, source))
    assert first.made == {"ingest": 5, "phrases": 5, "shard": 6, "train": 1}
    assert not first.failed and not first.waiting
    plan = json.loads((run / "plan.json").read_text())["parts"]
    assert [(Path(part["uri"]).name, part["start"], part["stop"]) for part in plan] == [
        ("captions-0.txt", 0, 4),
        ("captions-0.txt", 4, 7),
        ("captions-1.txt", 0, 4),
        ("captions-1.txt", 4, 5),
        ("captions-2.txt", 0, 1),
    ]
    for part in range(5):
        lines = plan[part]["stop"] - plan[part]["start"]
        counts = record(run, "ingest", part).counts
        assert counts.in_ == lines == counts.out + counts.rejected
        assert record(run, "phrases", part).counts.in_ == counts.out
        shard = record(run, "shard", part).counts
        assert shard.in_ == counts.out == shard.out + sum(shard.set_aside.values())
    rejected = pq.read_table(run / "rejects/ingest/part-0000001.parquet").to_pylist()
    assert [(row["key"], row["reason"]) for row in rejected] == [("000000100002", "bad_record")]
    before = data_files(run)
    second = run_toys(make_config(run, source))
    assert second.made == {} and not second.failed
    assert data_files(run) == before
    assert not any(path.is_file() for path in (run / "state").rglob("*") if path.name != "lock.guard")


def test_files_are_those_of_the_record(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    recorded = {}
    for path in (run / "commits").rglob("*.json"):
        for entry in CommitRecord.from_json(path.read_text()).files:
            recorded[entry.path] = entry.sha256
            assert (run / entry.path).stat().st_size == entry.size
    assert recorded == {path: sha for path, sha in data_files(run).items() if path != "plan.json"}


def test_two_folders_hold_the_same_bytes(tmp_path: Path, source: Path) -> None:
    run_toys(make_config(tmp_path / "a", source))
    run_toys(make_config(tmp_path / "elsewhere" / "b", source))
    assert data_files(tmp_path / "a") == data_files(tmp_path / "elsewhere" / "b")


def test_only_what_depends_on_a_setting_is_made_again(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    assert run_toys(make_config(run, source, train__seed=1)).made == {"train": 1}
    # max_words changes norm alone, a column that the shards do not depend on
    assert run_toys(make_config(run, source, train__seed=1, phrases__max_words=2)).made == {"phrases": 5}
    changed = run_toys(make_config(run, source, train__seed=1, phrases__max_words=2, phrases__max_phrases=2))
    # spans change in parts with captions of three words and more; the others keep theirs, and their shards
    assert changed.made["phrases"] == 5
    assert changed.made["shard"] == 1 + 2 and changed.made["train"] == 1


def test_fewer_tars_leave_none_of_the_old_ones_behind(tmp_path: Path, source: Path) -> None:
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    run_toys(make_config(run, source, shard__samples_per_shard=1))
    assert (run / "shards/0000000-002.tar").exists()
    run_toys(make_config(run, source, shard__samples_per_shard=10))
    run_toys(make_config(fresh, source, shard__samples_per_shard=10))
    assert data_files(run) == data_files(fresh)


def test_a_new_version_of_a_stage_is_made_again(tmp_path: Path, source: Path) -> None:
    class Newer(ToyPhrases):
        version = 2

    Newer.__module__, Newer.__qualname__ = ToyPhrases.__module__, ToyPhrases.__qualname__
    run_toys(make_config(tmp_path / "run", source))
    newer = [Newer if stage is ToyPhrases else stage for stage in PROJECT]
    assert run_toys(make_config(tmp_path / "run", source), project=newer).made == {"phrases": 5}


def test_a_lost_file_is_made_again(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    before = data_files(run)
    (run / "pairs/part-0000002.parquet").unlink()
    (run / "shards/0000000-001.tar").write_bytes(b"cut short")
    (run / "commits/phrases/part-0000001.json").unlink()
    (run / "commits/phrases/part-0000003.json").write_text("{")
    assert run_toys(make_config(run, source)).made == {"ingest": 1, "phrases": 2, "shard": 1}
    assert data_files(run) == before


def test_new_files_get_new_parts_and_nothing_else_is_made_again(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    before = data_files(run)
    write_source(source, 0, 7)  # the same again
    (source / "aaa-first.txt").write_text("a caption that sorts before all others\n")
    report = run_toys(make_config(run, source))
    assert report.made == {"ingest": 1, "phrases": 1, "shard": 2, "train": 1}
    after = data_files(run)
    kept = {path for path in before if "part-" in path or path.endswith(".tar")}
    assert all(after[path] == before[path] for path in kept)
    assert (run / "pairs/part-0000005.parquet").exists()


def test_parts_that_left_the_source_leave_every_stage(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    (source / "captions-1.txt").unlink()
    report = run_toys(make_config(run, source))
    assert report.made == {"shard": 1, "train": 1}
    left = [path for path in data_files(run) if "0000002" in path or "0000003" in path]
    assert left == [] and not list((run / "commits").rglob("part-000000[23].json"))
    write_source(source, 3, 2)
    run_toys(make_config(run, source))
    assert [part["part"] for part in json.loads((run / "plan.json").read_text())["parts"]] == [0, 1, 4, 5]


def test_another_part_size_leaves_no_orphans(tmp_path: Path, source: Path) -> None:
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    run_toys(make_config(run, source, part_size=1))
    run_toys(make_config(run, source, part_size=10))
    run_toys(make_config(fresh, source, part_size=10))
    # captions-2.txt is one part either way and keeps its number; everything else has a new one
    assert sorted(Path(path).name for path in data_files(run) if path.startswith("pairs")) == [
        "part-0000012.parquet",
        "part-0000013.parquet",
        "part-0000014.parquet",
    ]
    rows = [pq.read_table(folder / "pairs")["caption"].to_pylist() for folder in (run, fresh)]
    assert sorted(rows[0]) == sorted(rows[1])


def test_an_empty_source_removes_nothing(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    run_toys(make_config(run, source))
    before = data_files(run)
    for file in source.iterdir():
        file.write_text("")
    with pytest.raises(UserError, match="nothing to read"):
        run_toys(make_config(run, source))
    assert data_files(run) == before


def test_one_bad_part_fails_by_name_and_the_next_run_tries_again(tmp_path: Path, source: Path, marks: Path) -> None:
    write_source(source, 1, 5, first="@raise1")
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    report = run_toys(make_config(run, source))
    assert [(failure.where, failure.error) for failure in report.failed] == [
        ("phrases, part 2", "ValueError: the stage has a mistake")
    ]
    assert report.made == {"ingest": 5, "phrases": 4, "shard": 4}
    assert report.waiting == {"shard": 1, "train": 1}
    assert (run / "state/failed/phrases/part-0000002.json").exists()
    again = run_toys(make_config(run, source))
    assert again.made == {"phrases": 1, "shard": 2, "train": 1} and not again.failed
    assert not (run / "state/failed/phrases/part-0000002.json").exists()
    run_toys(make_config(fresh, source))
    assert data_files(run) == data_files(fresh)


def test_a_refusing_store_and_a_mistake_of_the_user_stop_the_run(tmp_path: Path, source: Path, marks: Path) -> None:
    write_source(source, 1, 5, first="@store1")
    with pytest.raises(StoreError, match="phrases, part 2: phrases/: the store refuses access"):
        run_toys(make_config(tmp_path / "run", source))
    write_source(source, 1, 5, first="@user1 now")
    with pytest.raises(UserError, match="not installed"):
        run_toys(make_config(tmp_path / "run", source))
    assert not (tmp_path / "run/state/lock").exists()


def test_parts_and_stages_can_be_chosen(tmp_path: Path, source: Path) -> None:
    run, config = tmp_path / "run", make_config(tmp_path / "run", source)
    report = run_toys(config, parts={0, 3})
    assert report.made == {"ingest": 2, "phrases": 2, "shard": 2} and report.waiting == {"shard": 1, "train": 1}
    assert run_toys(config, stages=("phrases",)).waiting == {"phrases": 3}
    with pytest.raises(UserError, match=r"phrases needs pairs/.* part 1; run `phrasebox ingest` first"):
        run_toys(config, stages=("phrases",), parts={1})
    assert run_toys(config).made == {"ingest": 3, "phrases": 3, "shard": 4, "train": 1}
    before = data_files(run)
    assert run_toys(config, stages=("phrases", "shard"), parts={1}, force=True).made == {"phrases": 1, "shard": 2}
    assert data_files(run) == before
    with pytest.raises(UserError, match=r"no plan\.json; run `phrasebox ingest` first"):
        run_toys(make_config(tmp_path / "other", source), stages=("phrases",))


def test_a_job_goes_on_from_what_it_left_and_starts_over_for_another_config(tmp_path: Path, source: Path) -> None:
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    run_toys(make_config(fresh, source, train__steps=5))
    config = make_config(run, source, train__steps=5)
    run_toys(config, stages=("ingest", "phrases", "shard"))
    storage = open_storage(str(run))

    with training_stops(after=2):
        assert [failure.where for failure in run_toys(config, stages=("train",)).failed] == ["train"]
    assert list(storage.list("student")) == ["student/step-0001", "student/step-0002"]
    assert list(failures(storage, ToyTrain)) == [JOB]
    assert run_toys(config).made == {"train": 1}
    assert failures(storage, ToyTrain) == {}
    assert record(run, "train", 0).notes["resumed_from"] == 2
    assert data_files(run) == data_files(fresh)
    run_toys(make_config(run, source, train__steps=5, train__seed=9))
    assert record(run, "train", 0).notes["resumed_from"] == 0


def test_a_stage_that_loses_count_is_caught(tmp_path: Path, source: Path) -> None:
    run_part = ToyShard.run_part

    def careless(self: Any, io: Any) -> Any:
        result = run_part(self, io)
        return type(result)(type(result.counts)(result.counts.in_ + 1, result.counts.out))

    ToyShard.run_part = careless  # type: ignore[method-assign]
    try:
        report = run_toys(make_config(tmp_path / "run", source))
    finally:
        ToyShard.run_part = run_part  # type: ignore[method-assign]
    assert len(report.failed) == 5 and "lost count" in report.failed[0].error
    assert not list((tmp_path / "run/shards").glob("*"))
