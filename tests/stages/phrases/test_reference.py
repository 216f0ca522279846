"""What reference backends share: the hash of a model."""

from __future__ import annotations

from pathlib import Path

from stages.phrases.reference import content_hash


def test_the_content_hash_sees_names_and_bytes_but_no_compiled_python(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "a").write_bytes(b"12")
    (folder / "b").write_bytes(b"3")
    before = content_hash(folder)
    (folder / "__pycache__" / "a.pyc").write_bytes(b"x")
    assert content_hash(folder) == before
    (folder / "a").write_bytes(b"1")
    (folder / "b").write_bytes(b"23")
    assert content_hash(folder) != before
