"""`verify` finds each kind of damage and names the part."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from toy_runs import make_config, run_toys
from toys import PROJECT

from pipeline.run.plan import read_plan
from pipeline.run.state import RunState
from pipeline.run.verify import verify
from pipeline.storage.files import sha256_of
from pipeline.storage.open import open_storage


@pytest.fixture(scope="module")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    (folder / "source").mkdir()
    lines = ["one two", "single", "bad line", "three four five", "six seven", "eight nine"]
    (folder / "source/a.txt").write_text("\n".join(lines) + "\n")
    run_toys(make_config(folder / "run", folder / "source", part_size=3))
    return folder / "run"


@pytest.fixture
def run(good_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good_run, tmp_path / "run")


def problems(run: Path, quick: bool = False) -> list[str]:
    storage = open_storage(str(run))
    state = RunState(storage, PROJECT, make_config(run, "unused"), read_plan(storage))
    return [str(problem) for problem in verify(state, quick).problems]


def edit(run: Path, stage: str, part: int, change: Callable[[dict[str, Any]], None]) -> None:
    path = run / f"commits/{stage}/part-{part:07d}.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def own_up(run: Path, stage: str, part: int) -> None:
    """Makes a record agree with its files again, as a careful forger would."""

    def change(record: dict[str, Any]) -> None:
        for entry in record["files"]:
            entry["size"] = (run / entry["path"]).stat().st_size
            entry["sha256"] = sha256_of(open_storage(str(run)), entry["path"])

    edit(run, stage, part, change)


def test_a_good_run_passes_and_so_does_half_of_one(good_run: Path, tmp_path: Path) -> None:
    assert problems(good_run) == [] and problems(good_run, quick=True) == []
    half = make_config(tmp_path / "half", good_run.parent / "source", part_size=3)
    run_toys(half, parts={1})
    assert problems(tmp_path / "half") == []


@pytest.mark.parametrize(
    ("path", "stage", "part"),
    [
        ("pairs/part-0000001.parquet", "ingest", 1),
        ("rejects/ingest/part-0000000.parquet", "ingest", 0),
        ("phrases/part-0000000.parquet", "phrases", 0),
        ("shards/0000001-002.tar", "shard", 1),
        ("shards/index.json", "shard", None),
        ("student/weights", "train", -1),
    ],
)
def test_a_flipped_byte_a_cut_file_and_a_lost_one(run: Path, path: str, stage: str, part: int | None) -> None:
    target = {None: ", result", -1: ""}.get(part, f", part {part}")
    where = f"{stage}{target}: {path}"
    whole = (run / path).read_bytes()
    middle = len(whole) // 2
    (run / path).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert [text for text in problems(run) if text.startswith(f"{where} has changed")]
    assert problems(run, quick=True) == [] or path.endswith(".parquet")
    (run / path).write_bytes(whole[:-1])
    assert [text for text in problems(run, quick=True) if text.startswith(f"{where} has {len(whole) - 1} bytes")]
    (run / path).unlink()
    assert f"{where} is missing" in problems(run, quick=True)
    assert all(text.startswith(stage) for text in problems(run))


def test_a_dropped_row(run: Path) -> None:
    path = run / "phrases/part-0000001.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    assert any("phrases, part 1: phrases/part-0000001.parquet has" in text for text in problems(run))
    own_up(run, "phrases", 1)  # the record hides it; the rows do not, nor does the stage that read them
    found = problems(run)
    assert "phrases, part 1: the record says out = 3, the files say 2" in found
    assert any(text.startswith("phrases, part 1: 1 keys neither came out nor were rejected") for text in found)
    assert "phrases, part 1: the record says out = 3, the files say 2" in problems(run, quick=True)


def test_a_removed_tar_member(run: Path) -> None:
    path = run / "shards/0000001-000.tar"
    members = []
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for member, data in members[1:]:  # the image goes, its JSON stays
            tar.addfile(member, io.BytesIO(data))
    own_up(run, "shard", 1)
    assert "shard, part 1: the record says out = 3, the files say 2" in problems(run)


@pytest.mark.parametrize("count", ["in", "out", "rejected"])
def test_an_edited_count(run: Path, count: str) -> None:
    edit(run, "ingest", 0, lambda record: record["counts"].update({count: record["counts"][count] + 1}))
    found = problems(run, quick=True)
    assert any(text.startswith(f"ingest, part 0: the record says {count} = ") for text in found)
    assert any("is not out + rejected + set aside" in text for text in found)
    assert all(text.startswith("ingest, part 0") for text in found)


def test_counts_edited_so_that_they_still_balance(run: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["counts"].update({"in": 4, "out": 3})

    edit(run, "ingest", 0, change)
    assert "ingest, part 0: the record says in = 4, the files say 3" in problems(run)


def test_a_reason_moved_out_of_the_rejects(run: Path) -> None:
    """`set_aside` takes what `rejected` loses: balanced, and yet wrong."""

    def change(record: dict[str, Any]) -> None:
        record["counts"].update({"rejected": 0, "set_aside": {"no_boxes": 1}})

    edit(run, "ingest", 0, change)
    assert "ingest, part 0: the record says rejected = 0, the files say 1" in problems(run, quick=True)


def test_a_deleted_or_damaged_record(run: Path) -> None:
    (run / "commits/phrases/part-0000001.json").unlink()
    found = problems(run, quick=True)
    assert "phrases, part 1: phrases/part-0000001.parquet belongs to no commit record" in found
    assert "phrases, part 1: no commit record, although shard has gone on from it" in found
    (run / "commits/ingest/part-0000000.json").write_text('{"stage": "ingest"}')
    assert "ingest, part 0: commits/ingest/part-0000000.json is damaged" in problems(run, quick=True)


def test_a_part_that_vanished_without_a_trace(run: Path) -> None:
    for path in [*run.glob("shards/0000001-*.tar"), *run.glob("rejects/shard/part-0000001.parquet")]:
        path.unlink()
    (run / "commits/shard/part-0000001.json").unlink()
    assert "shard, part 1: no commit record, although shard has gone on from it" in problems(run)


def test_a_stale_downstream(run: Path) -> None:
    shutil.copytree(run.parent, run.parent.parent / "scratch", dirs_exist_ok=True)
    other = run.parent / "other"
    config = make_config(other, "unused", part_size=3, phrases__max_phrases=1)
    shutil.copytree(run, other)
    run_toys(config, stages=("phrases",))
    found = problems(other)
    assert found and all("stale: phrases" in text or "stale: shard" in text for text in found)
    assert {text.partition(":")[0] for text in found} >= {"shard, part 0", "shard, part 1"}


def test_orphans(run: Path) -> None:
    shutil.copy(run / "pairs/part-0000001.parquet", run / "pairs/part-0000007.parquet")
    shutil.copy(run / "shards/0000001-000.tar", run / "shards/0000001-009.tar")
    shutil.copy(run / "commits/phrases/part-0000001.json", run / "commits/phrases/part-0000008.json")
    found = problems(run, quick=True)
    assert "ingest, part 7: pairs/part-0000007.parquet belongs to no commit record" in found
    assert "shard, part 1: shards/0000001-009.tar belongs to no commit record" in found
    assert "phrases, part 8: the record is that of phrases, part 1" in found


def test_a_key_that_comes_twice(run: Path) -> None:
    import pyarrow as pa

    path = run / "phrases/part-0000001.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(0, 2), table.slice(0, 1)]), path)
    own_up(run, "phrases", 1)
    found = problems(run)
    assert "phrases, part 1: a key comes out more than once" in found
    assert "phrases, part 1: keys are out of order" in found
