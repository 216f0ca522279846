"""The teacher that a config names. What is wrong with its section is a UserError here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from model import teachers
from model.teacher import Description, TeacherError
from stages.stage import UserError

if TYPE_CHECKING:
    from model.scheduler import Scheduler
    from schemas.config import Config, LabelConfig


def resolve_teacher(config: Config) -> dict[str, Any]:
    """What the fields of the label section come to that say which teacher it is. Raises UserError."""
    with user_errors():
        return teachers.resolve(config.label, config.ingest.source)


def describe(config: Config) -> Description:
    """The teacher of a config, resolved or not: its weights are read. Raises UserError where they are not there."""
    return Description.of(config.label.model_copy(update=resolve_teacher(config)))


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
