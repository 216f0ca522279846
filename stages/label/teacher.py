"""The teacher that a config names. What is wrong with its section is a UserError here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from model import teachers
from model.teacher import Description, TeacherError
from stages.label.several import OWN, first_of, name_of, other_names, section_of
from stages.stage import UserError

if TYPE_CHECKING:
    from model.scheduler import Scheduler
    from schemas.config import Config, LabelConfig, TeacherConfig


def resolve_teacher(config: Config) -> dict[str, Any]:
    """What the fields of the label section come to that say which teacher it is, and those of each of `teachers`.

    Raises UserError.
    """
    label, source = first_of(config.label), config.ingest.source
    with user_errors():
        found = teachers.resolve(label, source)
    if not other_names(label):
        return found
    found = {**{key: getattr(label, key) for key in OWN}, **found}
    first = label.teachers[0].model_copy(update={key: None for key in OWN if key != "teacher"})  # it is in the section
    others = [_resolved(label, teacher, source) for teacher in label.teachers[1:]]
    return {**found, "teachers": (first, *others)}


def _resolved(label: LabelConfig, teacher: TeacherConfig, source: str) -> TeacherConfig:
    """One of the further teachers, with what it is explicit."""
    own = section_of(label, teacher)
    try:
        with user_errors():
            found = teachers.resolve(own, source)
    except UserError as error:
        raise UserError(f"label.teachers, {name_of(teacher)}: {error}") from error
    return teacher.model_copy(update={"score_floor": own.score_floor, **found})


def describe(config: Config) -> Description:
    """The (first) teacher of a config, resolved or not: its weights are read. Raises UserError where they are not
    there."""
    label = first_of(config.label)
    with user_errors():
        return Description.of(label.model_copy(update=teachers.resolve(label, config.ingest.source)))


def open_scheduler(label: LabelConfig) -> Scheduler:
    """The teacher of a resolved label section, ready to work in its batches. Raises UserError."""
    from model.scheduler import Scheduler

    with user_errors():
        return Scheduler(teachers.open_teacher(label), label.batch_size)


def resolve_device(device: str) -> str:
    """auto: cuda where torch sees one, else cpu. Raises UserError for a device that is not there."""
    from model import device as devices

    with user_errors():
        return devices.resolve_device(device)


@contextmanager
def user_errors() -> Iterator[None]:
    """What the model's layer raises for a wrong config is for the user to mend."""
    from model.device import DeviceError

    try:
        yield
    except (TeacherError, DeviceError) as error:
        raise UserError(str(error)) from error
