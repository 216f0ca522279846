"""The index of the records is only ever a shortcut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_runs import make_config, run_toys
from toys import PROJECT, ToyPhrases, ToyShard

from pipeline.run import record_index
from pipeline.run.record_index import look_up, read_stage, write_index
from pipeline.run.status import run_status
from pipeline.run.target import MERGED, part_target
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from schemas.commit import CommitRecord


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
