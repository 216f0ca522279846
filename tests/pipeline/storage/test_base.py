"""What every storage can do by what it must be able to do."""

from __future__ import annotations

import pytest

from pipeline.storage.base import Storage
from pipeline.storage.open import open_storage


class Few(Storage):
    """Files in a dictionary."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__("nowhere")
        self.files = files

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def list(self, folder: str) -> dict[str, int]:
        return {path: len(data) for path, data in sorted(self.files.items()) if path.startswith(f"{folder}/")}

    def delete(self, path: str) -> None:
        self.files.pop(path, None)


def test_a_folder_is_deleted_file_by_file_and_nothing_beside_it() -> None:
    storage = Few({"a/x": b"1", "a/b/y": b"2", "ab/z": b"3"})
    storage.delete_folder("a")
    assert storage.files == {"ab/z": b"3"}


def test_a_file_that_is_not_there_reads_as_none() -> None:
    storage = Few({"a/x": b""})
    assert storage.read_or_none("a/x") == b"" and storage.read_or_none("a/y") is None


@pytest.mark.parametrize("place", ["tmp_path", "bucket"])
def test_a_moved_file_is_under_its_new_name_alone(place: str, request: pytest.FixtureRequest) -> None:
    """On a disk and in a real S3 server."""
    storage = open_storage(f"{request.getfixturevalue(place)}/moved")
    storage.write("student/a", b"new")
    storage.write("state/kept/student/a", b"old")
    storage.move("student/a", "state/kept/student/a")
    assert storage.read("state/kept/student/a") == b"new" and not storage.list("student")
    with pytest.raises(FileNotFoundError):
        storage.move("student/a", "state/kept/student/a")
