"""Weights on a cluster: files that the config names travel by the run folder, so that no machine needs its own copy."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline.run.task import Context
from pipeline.storage.base import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from schemas.config import Config

KEYS = (("label", "weights"), ("train", "init"))  # of the config
FOLDER = "weights"  # in the run folder; each file goes by its sha256
SHIPPED = "run:"  # begins the name of such a file in the config that travels


def ship(context: Context) -> Context:
    """Copies the weights into the run folder, unless they are there, and has the config speak of those."""
    config = context.read_config()
    storage = open_storage(context.root)
    for section, key in KEYS:
        path = getattr(getattr(config, section), key)
        if path is not None and Path(path).is_file():
            shipped = f"{FOLDER}/{_sha256(Path(path))}{Path(path).suffix}"
            if not storage.exists(shipped):
                with open(path, "rb") as source, storage.staged(shipped, "weights") as staged:
                    shutil.copyfileobj(source, staged, 1 << 20)
                    staged.publish()
            config = _with(config, section, key, SHIPPED + shipped)
    return replace(context, config=config.model_dump_json())


def local_config(context: Context) -> Config:
    """The config on a worker: it speaks of files of this machine again."""
    config = context.read_config()
    for section, key in KEYS:
        path = getattr(getattr(config, section), key)
        if path is not None and path.startswith(SHIPPED):
            config = _with(config, section, key, str(_local(open_storage(context.root), path.removeprefix(SHIPPED))))
    return config


def _local(storage: Storage, path: str) -> Path:
    """The file itself on a disk that all share; else a copy, which the workers of a machine share."""
    if isinstance(storage, LocalStorage):
        return Path(storage.root) / path
    copy = Path(tempfile.gettempdir()) / f"phrasebox-weights-{os.getuid()}" / Path(path).name
    if not copy.exists():
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = copy.with_name(f"{copy.name}.{os.getpid()}")
        with storage.open(path) as source, open(half, "wb") as file:
            shutil.copyfileobj(source, file, 4 << 20)
        half.replace(copy)
    return copy


def _with(config: Config, section: str, key: str, value: str) -> Config:
    changed = getattr(config, section).model_copy(update={key: value})
    return config.model_copy(update={section: changed})


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
