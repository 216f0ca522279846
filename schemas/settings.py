"""The settings of a stage, as they follow from what it depends on and from the marks of the config's fields.

A field changes the result unless it is marked: `workers: Annotated[int, Only.SPEED] = 1`. What a stage's result
depends on is therefore never listed twice: a stage names sections or fields, and a new field of a section enters the
fingerprint by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from schemas.marks import Enters, EntersUnless, Only

if TYPE_CHECKING:
    from schemas.config import Config, Section


def settings_of(config: Config, names: Iterable[str]) -> dict[str, Any]:
    """Value by field, JSON-able, of all fields that change the result.

    `names`: `filter` for a section, `label.teacher` for one field of it, `corpus` for a field outside of the sections.
    Raises ValueError for a field that does not change the result, and for two fields of one name, of which the second
    would hide the first.
    """
    found: dict[str, Any] = {}
    for name in names:
        head, _, field = name.partition(".")
        value = getattr(config, head)
        section, field = (value, field) if _is_section(value) else (config, head)
        entries = section_settings(section)
        if field and field not in entries:
            raise ValueError(f"{name} is no setting that changes the result")
        chosen = {field: entries[field]} if field else entries
        if twice := found.keys() & chosen.keys():
            raise ValueError(f"two settings are named {min(twice)}; let one of them enter by Stage.digests")
        found |= chosen
    return found


def section_settings(section: Section) -> dict[str, Any]:
    """Value by field of one section; sections below it (`train.gold`) are dicts."""
    found: dict[str, Any] = {}
    plain = section.model_dump(mode="json")
    for name, marks in marks_of(type(section)).items():
        if any(isinstance(mark, Only) for mark in marks) or is_as_before(getattr(section, name), marks):
            continue
        value = _below(getattr(section, name), plain[name])
        for mark in marks:
            value = mark.form(value) if isinstance(mark, Enters) else value
        found[name] = value
    return found


def is_as_before(value: Any, marks: Iterable[Any]) -> bool:
    """Whether a field does what was done before it was there."""
    return any(isinstance(mark, EntersUnless) and mark.before == value for mark in marks)


def _below(value: Any, plain: Any) -> Any:
    if _is_section(value):
        return section_settings(value)
    if isinstance(value, tuple) and any(map(_is_section, value)):
        return [section_settings(entry) for entry in value]
    return plain


def marks_of(section: type[Section]) -> dict[str, list[Any]]:
    """The marks of each field of a section, beside pydantic's own constraints."""
    return {name: list(field.metadata) for name, field in section.model_fields.items()}


def _is_section(value: Any) -> bool:
    return hasattr(type(value), "model_fields")
