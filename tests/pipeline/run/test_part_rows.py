"""What does not lie beside the rows of its dataset is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from side_toys import ON
from toy_runs import data_files

from pipeline.storage.files import sha256_of
from pipeline.storage.open import open_storage
from tests.pipeline.side_runs import make, problems, rows, side_config

UNLIKE = "does not have the keys of"


def own_up(run: Path, stage: str, name: str) -> None:
    """Makes a record agree with its files again, as a careful forger would."""
    path = run / f"commits/{stage}/{name}.json"
    data = json.loads(path.read_text())
    for entry in data["files"]:
        entry["size"] = (run / entry["path"]).stat().st_size
        entry["sha256"] = sha256_of(open_storage(str(run)), entry["path"])
    path.write_text(json.dumps(data))


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    table = pq.read_table(path)
    listed = table.to_pylist()
    change(listed)
    pq.write_table(pa.Table.from_pylist(listed, schema=table.schema), path)


@pytest.mark.parametrize(
    ("path", "stage", "name", "change", "expected"),
    [
        (
            "scores/part-0000000.parquet",
            "score",
            "part-0000000",
            lambda rows: rows[1]["boxes"].pop(),
            "score, part 0: scores/part-0000000.parquet has 2 boxes for 000000000001, phrases has 3 phrases",
        ),
        (
            "scores/part-0000000.parquet",
            "score",
            "part-0000000",
            lambda rows: rows[1].update(key="000000000002"),  # which was set aside
            f"score, part 0: scores/part-0000000.parquet {UNLIKE} phrases in their order, e.g. 000000000002",
        ),
        (
            "scores/part-0000000.parquet",
            "score",
            "part-0000000",
            lambda rows: rows.pop(0),
            "score, part 0: the record says out = 3, the files say 2",
        ),
        (
            "curation/part-0000001.parquet",
            "winnow",
            "result",
            lambda rows: rows.pop(),
            f"winnow, result: curation/part-0000001.parquet {UNLIKE} pairs in their order, e.g. 000000100003",
        ),
        (
            "curation/part-0000001.parquet",
            "winnow",
            "result",
            lambda rows: rows.reverse(),
            f"winnow, result: curation/part-0000001.parquet {UNLIKE} pairs in their order, e.g. 000000100003",
        ),
        (
            "curation/part-0000000.parquet",
            "winnow",
            "result",
            lambda rows: rows[0].update(keep=False, reason="exact_duplicate"),
            "phrases, part 0: curation sets 1 rows aside as exact_duplicate, the record fewer",
        ),
        (
            "lengths/part-0000000.parquet",
            "count",
            "part-0000000",
            lambda rows: rows.append({"key": "000000000009", "length": 1}),
            f"count: lengths/part-0000000.parquet {UNLIKE} phrases in their order, e.g. 000000000009",
        ),
    ],
)
def test_a_broken_alignment_is_named(
    good: Path,
    tmp_path: Path,
    path: str,
    stage: str,
    name: str,
    change: Callable[[list[dict[str, Any]]], None],
    expected: str,
) -> None:
    run = shutil.copytree(good, tmp_path / "run")
    config = side_config(run, good.parent / "pairs", **ON)
    assert problems(config) == []
    rewrite(run / path, change)
    assert any(f"{path} has" in text for text in problems(config))  # its bytes are not those of the record
    own_up(run, stage, name)
    assert expected in problems(config)
    if len(rows(run, path.partition("/")[0])) != len(rows(good, path.partition("/")[0])):
        assert problems(config, quick=True) != []
    off = side_config(run, good.parent / "pairs", **{**ON, stage: {"on": False}})
    assert not any("keys of" in text or "boxes for" in text for text in problems(off))


def test_a_lost_part_file_of_a_result_is_named_and_made_again(good: Path, tmp_path: Path) -> None:
    run = shutil.copytree(good, tmp_path / "run")
    config = side_config(run, good.parent / "pairs", **ON)
    (run / "curation/part-0000001.parquet").unlink()
    (run / "curation/part-0000009.parquet").write_bytes(b"left over")
    assert problems(config, quick=True) == [
        "winnow, result: curation/part-0000001.parquet is missing",
        "winnow, part 9: curation/part-0000009.parquet belongs to no commit record",
    ]
    (run / "curation/part-0000009.parquet").unlink()
    assert make(config).made == {"winnow": 1}
    assert data_files(run) == data_files(good)
