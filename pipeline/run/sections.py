"""Sections that stages bring with them, joined to those of schemas/config.py: a new stage is one file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import create_model

from schemas.config import Config, Section
from stages.stage import Stage


def config_class(stages: Iterable[type[Stage]]) -> type[Config]:
    """`Config` with a section for each stage that has brought one, under the stage's name."""
    own = tuple((stage.name, stage.section) for stage in stages if stage.section is not None)
    return _joined(own) if own else Config


@cache
def _joined(own: tuple[tuple[str, type[Any]], ...]) -> type[Config]:
    sections: dict[str, Any] = {}
    for name, kind in own:
        if name in Config.model_fields:
            raise ValueError(f"stage {name}: schemas/config.py has a section of this name already")
        model = _model_of(kind)
        sections[name] = (model, model())
    joined: type[Config] = create_model("Config", __base__=Config, **sections)
    return joined


def _model_of(kind: type[Any]) -> type[Section]:
    """A section with the fields of a dataclass; unknown keys are errors there as everywhere."""
    hints = get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.default is MISSING:
            raise TypeError(f"{kind.__qualname__}.{field.name} needs a default: a run without this section has to work")
        values[field.name] = (hints[field.name], field.default)
    model: type[Section] = create_model(kind.__name__, __base__=Section, **values)
    return model
