"""Hashes of texts."""

from __future__ import annotations

from stages.hashes import hash_texts


def test_hashes_never_change() -> None:
    """Summaries of different days are merged by them."""
    assert hash_texts(["red ball", "", "снег"]).tolist() == [
        int.from_bytes(digest, "little")
        for digest in (bytes.fromhex(h) for h in ("3ee61f094df384c1", "e4a6a0577479b2b4", "ea9adca53b23bd20"))
    ]
