"""The tables of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import CurateConfig, IngestConfig
from schemas.records import make_key, part_name
from stages.curate.merge import decide, keys_of
from stages.curate.pairs import SIGNATURES
from tests.stages.audit_run import no_beat


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
