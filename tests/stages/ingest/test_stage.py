"""The ingest stage: keys, counts, true boxes, and images in the run's own tars."""

from __future__ import annotations

import hashlib
import tarfile

from tests.stages.conftest import Run


def test_scenes_become_pairs_gold_and_addressed_images(run: Run) -> None:
    pairs = run.ingest(source="scenes", split="eval", count=5, seed=3, part_size=2)
    assert [pair["key"] for pair in pairs] == [
        "000000000000",
        "000000000001",
        "000000100000",
        "000000100001",
        "000000200000",
    ]
    assert [run.results[part].counts.in_ for part in range(3)] == [2, 2, 1]
    assert {pair["license"] for pair in pairs} == {"OFL-1.1"}  # of the atlas: sources/scenes/LICENSE-OFL.txt
    gold = run.rows("gold")
    assert [row["key"] for row in gold] == [pair["key"] for pair in pairs]
    assert any(row["boxes"] for row in gold)
    for pair in pairs:
        assert hashlib.sha256(run.image(pair)).hexdigest() == pair["sha256"]
    with tarfile.open(run.root / "images/part-0000001.tar") as tar:
        assert tar.getnames() == [f"{pair['key']}.jpg" for pair in pairs[2:4]]
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in tar} == {(0, 0, 0, 0o644)}
