"""The teachers there are, by the name that a config gives them.

A new teacher is one file and one line: here, in TEACHERS, or in the `[project.entry-points."phrasebox.teachers"]` of
any installed package. docs/teacher.md shows one. A value is the import path of a class (`model.teacher.Teacher`), so
that listing the teachers imports none of them.
"""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from model.variants import VARIANTS

if TYPE_CHECKING:
    from model.teacher import Teacher
    from schemas.config import LabelConfig

TEACHERS: dict[str, str] = {
    **dict.fromkeys(VARIANTS, "model.teachers.glip:GlipTeacher"),
    "transformers": "model.teachers.transformers:TransformersTeacher",
}
PLUGINS = "phrasebox.teachers"  # group of entry points
AUTO = "auto"
AUTO_FOR_SCENES = "glip-nano"
AUTO_FOR_OTHERS = "glip-photos"


def teacher_name(teacher: str, source: str) -> str:
    """`label.teacher`; what `auto` comes to depends on `ingest.source`."""
    if teacher != AUTO:
        return teacher
    return AUTO_FOR_SCENES if source == "scenes" else AUTO_FOR_OTHERS


def all_teachers() -> dict[str, str]:
    """Import paths by name, those of installed packages included."""
    return {**{plugin.name: plugin.value for plugin in entry_points(group=PLUGINS)}, **TEACHERS}


def teacher_class(name: str) -> type[Teacher]:
    """Raises TeacherError for a name that is not listed, or whose package cannot be imported."""
    from model.teacher import TeacherError

    known = TEACHERS if name in TEACHERS else all_teachers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise TeacherError(f"label.teacher: no teacher {name!r}; there are {', '.join(sorted(known))}{hint}")
    module, _, attribute = known[name].partition(":")
    try:
        found: type[Teacher] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise TeacherError(f"label.teacher: {name} needs the package {error.name}, which is not installed") from error
    return found


def resolve(label: LabelConfig, source: str) -> dict[str, Any]:
    """What the fields of a label section come to that say which teacher it is: its name, its architecture, the digest
    of its weights and of those beside them, and the size of its images. `source`: `ingest.source`. Raises TeacherError.
    """
    from model.checkpoint import WeightsError, sha256
    from model.teacher import TeacherError

    label = label.model_copy(update={"teacher": teacher_name(label.teacher, source)})
    kind = teacher_class(label.teacher)
    try:
        usual = kind.defaults(label)
        path = kind.weights(label.model_copy(update=usual))
        found = None if path is None else sha256(path)
        tuned = kind.tuned(label)
        beside = None if tuned is None else sha256(tuned)
    except (OSError, WeightsError) as error:
        raise TeacherError(f"weights of {label.teacher}: {error}") from error
    if label.weights_sha256 not in (None, found):
        raise TeacherError(f"label.weights: sha256 {found}, but label.weights_sha256 asks for {label.weights_sha256}")
    more = {} if beside == label.tuned_sha256 else {"tuned_sha256": beside}
    return {"teacher": label.teacher, "variant": None, "weights_sha256": found, **more, **usual}


def open_teacher(label: LabelConfig) -> Teacher:
    """The teacher of a label section that names one, on its device and at its precision.

    Raises TeacherError, DeviceError.
    """
    import torch

    from model.checkpoint import WeightsError
    from model.device import forbid_tf32, resolve_device
    from model.teacher import TeacherError

    torch.set_num_threads(label.threads)
    forbid_tf32()
    resolve_device(label.device)
    try:
        return teacher_class(label.teacher)(label)
    except (OSError, WeightsError) as error:
        raise TeacherError(f"weights of {label.teacher}: {error}") from error
