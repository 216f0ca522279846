"""`rounds: N`: the student of each round labels the pairs for the next one (self-training).

The first round is the run itself; round K lies in RUN/rounds/K, a run folder like any other. Its config is that of the
run, with the student of the round before as the teacher.
"""

from __future__ import annotations

from typing import Any

from model.teachers import teacher_name
from pipeline.run.edit import note_removal
from pipeline.run.lock import RunLock
from pipeline.run.plan import read_plan, read_removed
from pipeline.storage.base import Storage
from pipeline.storage.open import open_storage
from pipeline.storage.uri import is_remote
from schemas.config import Config, TeacherConfig
from stages.stage import UserError
from stages.train.stage import WEIGHTS


def folder_of(run: str, number: int) -> str:
    return run if number == 1 else f"{run.rstrip('/')}/rounds/{number}"


def config_of(config: Config, number: int) -> Config:
    """The config of one round, `config` being that of the whole, not resolved yet.

    What is said about the first teacher alone (its hash) is left out where the teacher is another one. Raises UserError
    where the student of the round before is in a store that weights cannot be read from.
    """
    if number == 1:
        return config
    before = folder_of(config.run, number - 1)
    if is_remote(before):
        raise UserError(f"rounds: weights are read from a local path, not from {before}; run rounds in a local folder")
    student: dict[str, Any] = {
        "teacher": config.train.variant,
        "variant": None,
        "weights": f"{open_storage(before).root}/{WEIGHTS}",
        "weights_sha256": None,
        "revision": None,
        "tuned": None,
        "tuned_sha256": None,
    }
    if config.label.teachers:  # the student stands in for the first of them
        first = TeacherConfig(teacher=config.train.variant, name=config.label.teachers[0].name)
        student["teachers"] = (first, *config.label.teachers[1:])
    if config.train.variant != teacher_name(config.label.teacher, config.ingest.source):
        student |= {"short": None, "long": None}  # sizes of the first teacher's images
    return config.model_copy(
        update={
            "run": folder_of(config.run, number),
            "rounds": 1,
            "label": config.label.model_copy(update=student),
        }
    )


def has_teacher(config: Config) -> bool:
    """Whether the weights that a later round labels with are there."""
    folder, _, name = (config.label.weights or "").rpartition("/")
    return open_storage(folder).exists(name)


def inherit(first: Storage, later: Storage) -> None:
    """What `phrasebox remove` took out of the run stays out of its later rounds."""
    missing = read_removed(first).keys() - read_removed(later).keys()
    if missing:
        with RunLock(later):
            note_removal(later, list(read_plan(later)), sorted(missing))
