"""Equal digests against a dict, columns of binary values, and the tables of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import CurateConfig, IngestConfig
from schemas.records import make_key, part_name
from stages.curate.merge import SIGNATURES, decide, fixed, keys_of, same_digest
from tests.stages.audit_run import no_beat


def test_the_first_with_a_digest() -> None:
    draw = np.random.default_rng(0)
    digests = draw.integers(0, 3, (200, 2)).astype(np.uint64)  # (0, 0): no image
    first: dict[tuple[int, int], int] = {}
    wanted = [
        row if pair == (0, 0) else first.setdefault(pair, row)
        for row, pair in enumerate(tuple(entry) for entry in digests.tolist())
    ]
    assert same_digest(digests).tolist() == wanted
    assert same_digest(digests[:0]).tolist() == []


def test_binary_columns() -> None:
    column = pa.chunked_array([pa.array([b"ab", None], pa.binary(2)), pa.array([b"cd"], pa.binary(2))])
    assert fixed(column, 2).tolist() == [[97, 98], [0, 0], [99, 100]]
    assert fixed(column.slice(2), 2).tolist() == [[99, 100]]
    assert fixed(column.slice(3), 2).shape == (0, 2)


def test_the_tables_of_a_run(tmp_path: Path) -> None:
    """Three parts, of which one is empty and one has numbers that are not those of its rows."""
    storage = LocalStorage(str(tmp_path))
    parts = {0: ["a", None, "b"], 1: [], 7: ["b", "a", None, "c", "c"]}
    for part, images in parts.items():
        files = PartFiles(storage, part, None, f"test-{part}", no_beat, {})
        keys = [make_key(part, 2 * row) for row in range(len(images))]
        digests = [image and image.encode() * 16 for image in images]
        table = pa.table({
            "key": pa.array(keys, pa.string()),
            "sha256": pa.array(digests, pa.binary(16)),
            "place": pa.array(range(100 * part, 100 * part + len(keys)), pa.uint64()),
            "caption": pa.array([0] * len(keys), pa.uint64()),
        })  # fmt: skip
        files.write(SIGNATURES, table)
        files.publish()
    run = RunFiles(storage, list(parts), "merge", no_beat)
    notes = decide(run, CurateConfig(duplicates="exact"), IngestConfig())
    assert notes == {"exact_duplicate": 3, "groups": 3, "largest_group": 2}
    rows = [row for part in parts for row in run.read_part("curation", part).to_pylist()]
    assert [(row["key"], row["duplicate_of"]) for row in rows if not row["keep"]] == [
        (make_key(7, 0), make_key(0, 4)),
        (make_key(7, 2), make_key(0, 0)),
        (make_key(7, 8), make_key(7, 6)),
    ]
    assert [row["key"] for row in rows] == [
        make_key(part, 2 * row) for part in parts for row, _ in enumerate(parts[part])
    ]
    assert {row["reason"] for row in rows} == {None, "exact_duplicate"}
    assert sorted(run.created) == [f"curation/{part_name(part)}" for part in parts]


def test_a_key_has_twelve_digits() -> None:
    assert keys_of(np.array([30_000_12, 0])).to_pylist() == ["000003000012", make_key(0, 0)]
