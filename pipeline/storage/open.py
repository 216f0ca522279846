"""The storage of a folder, by its path or URI."""

from __future__ import annotations

from pipeline.storage.base import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.object_store import ObjectStorage
from pipeline.storage.uri import is_remote, local_path


def open_storage(root: str) -> Storage:
    """Of a run folder. Raises UserError for a URI without a driver."""
    return ObjectStorage(root) if is_remote(root) else LocalStorage(local_path(root))


def open_folder(root: str) -> Storage:
    """Of any other folder that files are written to."""
    return ObjectStorage(root) if is_remote(root) else LocalStorage(local_path(root), staged_files="")
