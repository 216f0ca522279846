"""The storage of a folder follows from its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.storage.local import LocalStorage
from pipeline.storage.object_store import ObjectStorage
from pipeline.storage.open import open_folder, open_storage


def test_paths_are_on_the_disk_and_uris_in_a_store(tmp_path: Path) -> None:
    for name in (str(tmp_path), f"file://{tmp_path}"):
        storage = open_storage(name)
        assert isinstance(storage, LocalStorage) and storage.local and storage.root == str(tmp_path)
    remote = open_storage("memory://a/run")
    assert isinstance(remote, ObjectStorage) and not remote.local


@pytest.mark.parametrize("name", ["{folder}/out", "memory://out-of-tests"])
def test_a_folder_that_is_no_run_gets_files_alone(tmp_path: Path, name: str) -> None:
    storage = open_folder(name.format(folder=tmp_path))
    with storage.staged("deep/a.json", "attempt") as file:
        file.write(b"{}")
        file.publish()
    assert storage.list("") == {"/deep/a.json": 2} or storage.list("deep") == {"deep/a.json": 2}
    assert not (tmp_path / "out" / "state").exists()
