"""Images that several pairs share are known by their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.rows import ImageRef, Pair
from stages.export.shared_images import SharedImages
from tests.stages.audit_run import SyntheticRun

HASHES = ["ab" * 32, "cd" * 32, None, "ab" * 32, "ef" * 32, "ab" * 8 + "00" * 24]  # the last begins as the first


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[SyntheticRun, list[Pair]]:
    """Six pairs in two parts."""
    run = SyntheticRun(tmp_path / "run")
    rows: list[dict[str, Any]] = []
    for number, sha256 in enumerate(HASHES):
        image = {"uri": "x", "offset": -1, "length": -1} if sha256 else None
        key = f"{number // 3:07d}{number % 3:05d}"
        rows.append({"key": key, "source_id": "", "caption": "", "image": image, "sha256": sha256})
    for part in (0, 1):
        run.write("pairs", part, rows[3 * part : 3 * part + 3])
    ref = ImageRef("x")
    return run, [Pair(r["key"], "", "", ref if r["image"] else None, 1, 1, 1, r["sha256"], None, None) for r in rows]


def test_the_first_pair_with_an_image_is_found_from_other_parts(pairs: tuple[SyntheticRun, list[Pair]]) -> None:
    run, (first, other, without, again, last, alike) = pairs
    shared = SharedImages(run.all_parts())
    assert [shared.has_several(pair) for pair in (first, other, without, again, last)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert shared.find(first) is None
    shared.add(first, 7)
    assert shared.find(again) == shared.find(first) == ("000000000000", 7)
    assert shared.find(other) is shared.find(without) is shared.find(last) is None
    assert shared.find(alike) is None  # 64 bits are equal, the image is another
