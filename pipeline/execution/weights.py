"""Weights on a cluster: what the config names travels by the run folder, so that no machine needs its own copy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pipeline.run.task import Context
from pipeline.storage.base import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.open import open_storage
from schemas.config import Config, Section

# Of the config; where the section has a `revision`, the key may also name an id of the hub.
KEYS = (("label", "weights"), ("rescore", "model"), ("mask", "model"), ("train", "init"))
START = ("visual", "text")  # of train.init, where it names the weights of the two encoders
TEACHER = "teacher"  # a value of `train.init` that names no file
FOLDER = "weights"  # in the run folder; each file, or folder of files, goes by its sha256
AnySection = TypeVar("AnySection", bound=Section)
SHIPPED = "run:"  # begins the name of such a file or folder in the config that travels


def ship(context: Context) -> Context:
    """Copies the weights into the run folder, unless they are there, and has the config speak of those."""
    storage = open_storage(context.root)

    def shipped(section: Section, key: str) -> str | None:
        path = _named(section, key)
        return None if path is None else SHIPPED + _upload(storage, path)

    return replace(context, config=_with_weights(context.read_config(), shipped).model_dump_json())


def _named(section: Section, key: str) -> Path | None:
    """The file or folder of this machine that a key names, by its path or, with a revision, by an id of the hub."""
    from model.hub import fetch

    name, revision = getattr(section, key), getattr(section, _revision_of(section, key), None)
    if name in (None, TEACHER):
        return None
    path = Path(name) if revision is None else fetch(name, revision).folder
    return path if path.exists() else None


def local_config(context: Context) -> Config:
    """The config on a worker: it speaks of files and folders of this machine again."""

    def local(section: Section, key: str) -> str | None:
        path = getattr(section, key)
        if path is None or not path.startswith(SHIPPED):
            return None
        return str(_local(open_storage(context.root), path.removeprefix(SHIPPED)))

    return _with_weights(context.read_config(), local)


def _with_weights(config: Config, where: Callable[[Section, str], str | None]) -> Config:
    """The config with other paths of weights; `where`: the path that a key of a section gets, None for its own."""
    for name, key in KEYS:
        config = config.model_copy(update={name: _with(getattr(config, name), key, where)})
    teachers = tuple(_with(teacher, "weights", where) for teacher in config.label.teachers)
    label = config.label.model_copy(update={"teachers": teachers})
    curate = config.curate.model_copy(update={"embedder": _with(config.curate.embedder, "model", where)})
    return config.model_copy(update={"label": label, "curate": curate})


def _with(section: AnySection, key: str, where: Callable[[Section, str], str | None]) -> AnySection:
    """With a path under the key, which has no revision; or, where the key holds a section, under each of its keys."""
    below = getattr(section, key)
    if isinstance(below, Section):
        for own in START:
            below = _with(below, own, where)
        return section.model_copy(update={key: below})
    path = where(section, key)
    if path is None:
        return section
    revision = _revision_of(section, key)
    return section.model_copy(update={key: path, **({revision: None} if hasattr(section, revision) else {})})


def _revision_of(section: Section, key: str) -> str:
    """The key with the revision of an id of the hub, where there is one."""
    return f"{key}_revision" if hasattr(section, f"{key}_revision") else "revision"


def _upload(storage: Storage, weights: Path) -> str:
    """Copies a file or folder, but for what is there already; returns its path in the run folder."""
    from model.checkpoint import sha256, weights_files

    digest = sha256(weights)
    if weights.is_dir():
        shipped = f"{FOLDER}/{digest}"
        copies = {f"{shipped}/{name.as_posix()}": weights / name for name in weights_files(weights)}
    else:
        shipped = f"{FOLDER}/{digest}{weights.suffix}"
        copies = {shipped: weights}
    for path, file in copies.items():
        if not storage.exists(path):
            with open(file, "rb") as source, storage.staged(path, "weights") as staged:
                shutil.copyfileobj(source, staged, 1 << 20)
                staged.publish()
    return shipped


def _local(storage: Storage, shipped: str) -> Path:
    """The file or folder itself on a disk that all share; else a copy, which the workers of a machine share."""
    if isinstance(storage, LocalStorage):
        return Path(storage.root) / shipped
    copy = Path(tempfile.gettempdir()) / f"phrasebox-weights-{os.getuid()}" / Path(shipped).name
    if not copy.exists():
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = copy.with_name(f"{copy.name}.{os.getpid()}")
        for path in storage.list(shipped):
            _download(storage, path, half / _below(shipped, path))
        try:
            half.replace(copy)
        except OSError:
            if not copy.exists():
                raise
            shutil.rmtree(half)  # a folder, which another worker of this machine has put there meanwhile
    return copy


def _below(folder: str, path: str) -> PurePosixPath:
    """The name of a file in its folder; nothing where it is no folder but the file itself."""
    name = PurePosixPath(path).relative_to(folder)
    if ".." in name.parts:
        raise ValueError(f"{path}: weights never lie outside of their folder")
    return name


def _download(storage: Storage, path: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with storage.open(path) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file, 4 << 20)
