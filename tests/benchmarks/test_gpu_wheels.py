"""What travels to a machine without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu_wheels import PACKAGES, copy_shared, pinned, size_of


def test_versions_are_those_of_the_constraints() -> None:
    found = pinned(PACKAGES)
    assert len(found) == len(PACKAGES) and all("==" in requirement for requirement in found)
    with pytest.raises(ValueError, match="does not name no-such-package"):
        pinned(("pydantic", "no_such-package"))


def test_shared_files_are_copied_and_can_be_written_over(tmp_path: Path) -> None:
    source, folder = tmp_path / "shared", tmp_path / ".gpu" / "shared"
    for name in ("parity/a.npz", "data/coco-mini/images/1.jpg", "data/other/large"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"12345")
    (source / "parity" / "a.npz").chmod(0o444)
    for _ in range(2):
        copy_shared(source, folder)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == ["data/coco-mini/images/1.jpg", "parity/a.npz"]
    assert (folder / "parity" / "a.npz").stat().st_mode & 0o200
    assert size_of(list(folder.rglob("*"))) == 10
    with pytest.raises(FileNotFoundError):
        copy_shared(tmp_path / "nowhere", folder)
