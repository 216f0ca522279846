"""What an interrupted job leaves: its own to go on from, and kept while the job works on something else.

A job's marker holds the fingerprint of what it is working on, from its first step to its record. A training that is
begun again with other settings must not cost the days that are in the checkpoints of the one before: these move to
`state/interrupted/JOB/FINGERPRINT/`, and come back when the settings do.
"""

from __future__ import annotations

from pipeline.run.commits import record_path
from pipeline.run.target import JOB
from pipeline.storage.base import Storage
from stages.stage import JobStage


def job_marker(stage: str) -> str:
    """The file that says what a job that has begun is working on, by its fingerprint."""
    return f"state/jobs/{stage}"


def kept_folder(stage: type[JobStage], fingerprint: str) -> str:
    return f"state/interrupted/{stage.name}/{fingerprint}"


def begin_job(storage: Storage, stage: type[JobStage], fingerprint: str) -> None:
    """Leaves in the job's folders what an interrupted attempt at this very work has made, and nothing else.

    A kill between any two steps loses no file: the next call goes on from there.
    """
    left = _left(storage, stage)
    if left != fingerprint:
        storage.delete(record_path(stage.name, JOB))
        for output in stage.outputs:
            if left is None:  # a result that is finished, and is recomputed
                storage.delete_folder(output.folder)
            else:
                _move(storage, output.folder, kept_folder(stage, left))
        storage.write(job_marker(stage.name), fingerprint.encode())
    kept = kept_folder(stage, fingerprint)
    for path in storage.list(kept):
        storage.move(path, path.removeprefix(f"{kept}/"))


def end_job(storage: Storage, stage: type[JobStage]) -> None:
    """Once its record is written."""
    storage.delete(job_marker(stage.name))


def is_under_way(storage: Storage, stage: type[JobStage], fingerprint: str) -> bool:
    """Whether an interrupted attempt at this very work is there to go on from."""
    return _left(storage, stage) == fingerprint


def kept_line(storage: Storage, stage: type[JobStage], fingerprint: str) -> str | None:
    """For a person, before the job begins: where the files of an interrupted attempt at other work go."""
    left = _left(storage, stage)
    if left is None or left == fingerprint:
        return None
    files = [size for output in stage.outputs for size in storage.list(output.folder).values()]
    if not files:
        return None
    return (
        f"the {stage.name} that was interrupted had other settings or data than this one: its {len(files):,} files "
        f"({sum(files) / 1e6:,.0f} MB) are kept in {kept_folder(stage, left)}/, and it goes on from them when it is "
        "run with its own settings; delete the folder if you do not need it"
    )


def _left(storage: Storage, stage: type[JobStage]) -> str | None:
    marker = storage.read_or_none(job_marker(stage.name))
    return None if marker is None else marker.decode()


def _move(storage: Storage, folder: str, into: str) -> None:
    for path in storage.list(folder):
        storage.move(path, f"{into}/{path}")
