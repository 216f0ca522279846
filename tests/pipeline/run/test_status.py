"""Status from plan, records and state alone; the index of the records is only ever a shortcut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_runs import make_config, run_toys, write_source
from toys import PROJECT, ToyPhrases, ToyShard

from pipeline.run import record_index
from pipeline.run.lock import RunLock
from pipeline.run.record_index import look_up, read_stage, write_index
from pipeline.run.status import as_json, as_lines, run_status
from pipeline.run.target import MERGED, part_target
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from schemas.commit import CommitRecord

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_done_failed_and_under_way(tmp_path: Path, source: Path, marks: Path) -> None:
    write_source(source, 1, 5, first="@raise always")
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    storage = open_storage(config.run)
    status = run_status(storage, PROJECT, config)
    ingest, phrases, shard, train = status.stages
    assert (ingest.parts, ingest.done, ingest.pairs_in, ingest.pairs_out, ingest.rejected) == (5, 5, 13, 11, 2)
    assert (phrases.done, phrases.failed) == (4, ["part 2: ValueError: the stage has a mistake"])
    assert shard.set_aside == {"no_boxes": 3} and shard.result is False
    assert (train.parts, train.done, status.running) == (1, 0, "")
    with RunLock(storage):
        beat = {"stage": "phrases", "target": "part-0000002", "done": 1, "total": 0, "message": ""}
        storage.write("state/attempts/x.json", json.dumps(beat).encode())
        storage.write("state/attempts/y.json", b"")  # caught while it was being written
        status = run_status(storage, PROJECT, config)
        assert status.running.startswith(f"pid {os.getpid()} on ") and status.stages[1].under_way == 1
    text = "\n".join(as_lines(status))
    assert "phrases   4/5 parts, 7 pairs in, 7 out, 0 rejected, 1 under way, 1 failed" in text
    assert "part 2: ValueError: the stage has a mistake" in text
    assert json.loads(as_json(status))["stages"][0]["pairs_in"] == 13


def test_the_index_changes_nothing_but_the_time(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_index, "LEAST", 1)
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    storage = LocalStorage(config.run)
    expected = run_status(storage, PROJECT, config)
    assert (tmp_path / "run/state/index/phrases.parquet").exists()
    assert look_up(storage, "phrases")[1] == {}  # everything comes from the index
    reads: list[str] = []
    read = LocalStorage.read
    monkeypatch.setattr(LocalStorage, "read", lambda self, path: reads.append(path) or read(self, path))
    assert run_status(storage, PROJECT, config) == expected
    assert not [path for path in reads if path.startswith("commits/") and "part-" in path and "train" not in path]
    # a record that was edited or deleted, and one that came, are seen at once
    path = tmp_path / "run/commits/phrases/part-0000001.json"
    record = json.loads(path.read_text())
    record["counts"]["in"] = 777
    path.write_text(json.dumps(record))
    (tmp_path / "run/commits/phrases/part-0000002.json").unlink()
    records = read_stage(storage, ToyPhrases)
    second, third = part_target(1), part_target(2)
    assert records[second].counts.in_ == 777 and third not in records and len(records) == 4
    write_index(storage, "phrases")
    assert look_up(storage, "phrases")[1] == {} and read_stage(storage, ToyPhrases)[second].counts.in_ == 777
    (tmp_path / "run/state/index/phrases.parquet").write_bytes(b"PAR1 damaged")
    assert read_stage(storage, ToyPhrases)[second].counts.in_ == 777
    assert run_toys(config).made == {"phrases": 1}
    assert dict(read_stage(storage, ToyShard)) == dict(read_stage(storage, ToyShard, trust_index=False))


def test_records_are_kept_as_they_are(tmp_path: Path, source: Path) -> None:
    run_toys(make_config(tmp_path / "run", source))
    records = read_stage(open_storage(str(tmp_path / "run")), ToyShard)
    for target in (part_target(0), part_target(4), MERGED):
        text = (tmp_path / f"run/commits/shard/{target.name}.json").read_text()
        assert records[target] == CommitRecord.from_json(text) and records[target].to_json() == text


@pytest.mark.slow
def test_a_billion_pairs_are_planned_within_a_gigabyte(tmp_path: Path) -> None:
    code = """
import sys
from pipeline.cli.app import main
try:
    main(["run", sys.argv[1], "--run", sys.argv[2], "--until", "phrases", "--dry-run"])
except SystemExit as end:
    assert not end.code, end.code
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""  # ru_maxrss would be at least the parent's: it survives exec
    (tmp_path / "big.yaml").write_text("ingest: {source: scenes, count: 1000000000}\n")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big.yaml"), str(tmp_path / "run")],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == "100,000 parts, 1,000,000,000 pairs in the plan", done.stderr
    assert int(lines[-1]) < 1 << 20  # KiB
