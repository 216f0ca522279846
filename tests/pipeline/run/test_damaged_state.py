"""The run's own files, damaged in every way: a record counts as absent, the plan says so, nothing else is raised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_runs import make_config, run_toys, write_source
from toys import PROJECT, ToyPhrases, ToyShard

from pipeline.run.edit import note_removal
from pipeline.run.failures import Failure, failures, remember
from pipeline.run.plan import planned_parts, read_plan, read_removed
from pipeline.run.record_index import counts_row, read_stage
from pipeline.run.status import as_json, as_lines, run_status
from pipeline.run.target import part_target
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.stage import UserError

SEARCH = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
ODD = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"parts": 5}',
    b'{"removed": [1]}',
    b"PAR1",
    b"\0" * 99,
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "source").mkdir()
    write_source(folder / "source", 0, 7)
    run_toys(make_config(folder / "run", folder / "source"), stages=("ingest", "phrases", "shard"))
    storage = open_storage(str(folder / "run"))
    note_removal(storage, [0, 1], ["line 1"])
    remember(storage, Failure("shard", part_target(1), "broken"))
    return folder / "run"


@st.composite
def damage(draw: st.DrawFn) -> tuple[str, bytes | None, int, int, bytes]:
    """What is put over a file: whole new bytes, or a stretch of it that is replaced."""
    name = draw(st.sampled_from(["plan.json", "removed.json", "commits/phrases/part-0000001.json", "state/lock",
                                 "commits/shard/result.json", "state/failed/shard/part-0000001.json"]))  # fmt: skip
    whole = draw(st.none() | st.sampled_from(ODD) | st.binary(max_size=60))
    values = [b"null", b'"x"', b"-1", b"[]", b"{}", b"1.5", b"NaN", b"true"]
    patch = draw(st.sampled_from(values) | st.binary(max_size=8))
    return name, whole, draw(st.integers(0, 2000)), draw(st.integers(0, 40)), patch


@SEARCH
@given(damage())
def test_damage_is_never_a_traceback(finished: Path, what: tuple[str, bytes | None, int, int, bytes]) -> None:
    name, whole, start, length, patch = what
    path = finished / name
    before = path.read_bytes() if path.exists() else b'{"pid": 1, "host": "x", "heartbeat": 5, "run_id": "a"}'
    path.parent.mkdir(parents=True, exist_ok=True)
    start %= len(before)
    path.write_bytes(whole if whole is not None else before[:start] + patch + before[start + length :])
    storage = LocalStorage(str(finished))
    try:
        for read in (read_plan, planned_parts, read_removed):
            try:
                read(storage)
            except UserError as error:
                assert "is damaged" in str(error) and name in str(error)
        for target, record in read_stage(storage, ToyPhrases).items():
            counts_row(target.part, record)
            assert record.to_json()
        failures(storage, ToyShard)
        try:
            status = run_status(storage, PROJECT, Config())
        except UserError as error:
            assert name == "plan.json" and "is damaged" in str(error)
        else:
            assert as_json(status) and as_lines(status)
    finally:
        path.write_bytes(before)
        if name == "state/lock":
            path.unlink()


def test_values_of_another_type_make_no_record(finished: Path, tmp_path: Path) -> None:
    """A digit that became a letter, once within quotes: the part is recomputed, and verify names it."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "commits/phrases/part-0000001.json"
    record = json.loads(path.read_text())
    for wrong in ({"counts": {**record["counts"], "in": "3"}}, {"files": [{**record["files"][0], "size": None}]}):
        path.write_text(json.dumps({**record, **wrong}))
        assert part_target(1) not in read_stage(open_storage(str(run)), ToyPhrases)
