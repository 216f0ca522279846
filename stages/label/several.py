"""Several teachers in one run: `label.teachers`.

The first one's labels are `labels/`, which all other stages read. Each of the others has a stage of its own after that,
`label-NAME`, with the folder `labels-NAME/`, and is heard by the filter alone, for what they agree on.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from schemas.records import OTHER_LABELS
from stages.stage import UserError

if TYPE_CHECKING:
    from schemas.config import Config, LabelConfig, TeacherConfig

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
OWN = (
    "teacher",
    "variant",
    "weights",
    "revision",
    "weights_sha256",
    "tuned",
    "tuned_sha256",
    "score_floor",
    "short",
    "long",
)


def folder_of(name: str) -> str:
    """Where the labels of one of the further teachers lie."""
    return OTHER_LABELS + name


def name_of(teacher: TeacherConfig) -> str:
    return teacher.name or teacher.teacher


def other_names(label: LabelConfig) -> list[str]:
    """The names of all teachers but the first. Raises UserError for names that are no names of folders, or not each
    its own."""
    names = [name_of(teacher) for teacher in label.teachers]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"label.teachers: {count} are named {name}; give each of them its own `name`")
        if not NAME.fullmatch(name):
            raise UserError(f"label.teachers: {name!r} is no name of a folder; give that teacher a `name`")
    return names[1:]


def first_of(label: LabelConfig) -> LabelConfig:
    """The section of the first teacher: what stands of it in the list, too. Raises UserError where list and section say
    different things of it."""
    if not label.teachers:
        return label
    first = label.teachers[0]
    given = {key: value for key in OWN if (value := getattr(first, key)) is not None}
    for key, value in given.items():
        other = getattr(label, key)
        if key in label.model_fields_set and other not in (None, "auto", value):
            raise UserError(f"label.{key}: {other}, but the first of label.teachers has {value}; leave one of them out")
    return label.model_copy(update=given)


def section_of(label: LabelConfig, teacher: TeacherConfig) -> LabelConfig:
    """The section of one of the further teachers: its own keys, and how all of them run (batches, device, threads).

    What it does not say is not taken from the first one, but for the score floor.
    """
    own = {key: getattr(teacher, key) for key in OWN}
    floor = label.score_floor if teacher.score_floor is None else teacher.score_floor
    return label.model_copy(update={**own, "score_floor": floor, "teachers": ()})


def config_of(config: Config, name: str) -> Config:
    """The config as one of the further teachers sees it."""
    (teacher,) = (teacher for teacher in config.label.teachers if name_of(teacher) == name)
    return config.model_copy(update={"label": section_of(config.label, teacher)})
