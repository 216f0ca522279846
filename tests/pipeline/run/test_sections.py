"""A section that a stage brings is one like any other: typed, frozen, without unknown keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError
from toys import ToyPhrases

from pipeline.run.config import dump, validated
from pipeline.run.sections import config_class
from schemas.config import Config
from schemas.marks import Only
from schemas.settings import settings_of
from stages.stage import Stage, UserError


@dataclass(frozen=True)
class Options:
    mode: Literal["fast", "exact"] = "fast"
    least: Annotated[float, Field(ge=0.0)] = 0.5
    workers: Annotated[int, Only.SPEED] = 1
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unfinished:
    names: list[str] = field(default_factory=list)


class WithOptions(ToyPhrases):
    name = "extra"
    section = Options
    depends_on = None


def test_it_is_checked_resolved_and_written_like_the_others() -> None:
    kind = config_class([ToyPhrases, WithOptions])
    config = validated({"extra": {"least": 0.25, "names": ["a"]}, "filter": {"min_score": 0.7}}, "here", kind)
    assert isinstance(config, Config) and config.filter.min_score == 0.7
    assert WithOptions.options(config, Options) == Options(least=0.25, names=("a",))
    assert "extra:\n  mode: fast\n  least: 0.25\n  workers: 1\n  names:\n  - a\n" in dump(config)
    assert validated({"extra": None}, "here", kind) == kind()
    with pytest.raises(ValidationError, match="frozen"):
        config.extra.mode = "exact"  # type: ignore[attr-defined]
    assert config_class([WithOptions, ToyPhrases]) is kind and config_class([ToyPhrases]) is Config


def test_its_mistakes_are_one_line_each() -> None:
    kind = config_class([WithOptions])
    with pytest.raises(UserError) as error:
        validated({"extra": {"least": -1, "mod": "fast", "mode": "slow"}}, "a.yaml", kind)
    assert sorted(str(error.value).splitlines()) == [
        "a.yaml: extra.least: input should be greater than or equal to 0, not -1",
        "a.yaml: extra.mod: unknown key; did you mean extra.mode?",
        "a.yaml: extra.mode: input should be 'fast' or 'exact', not 'slow'",
    ]
    with pytest.raises(UserError, match="extra: unknown key"):
        validated({"extra": {}}, "a.yaml")


def test_marks_decide_what_enters_its_stages_fingerprint() -> None:
    config = config_class([WithOptions]).model_validate({"extra": {"workers": 4}})
    assert WithOptions.settings(config) == {"mode": "fast", "least": 0.5, "names": []}
    assert settings_of(config, ("extra.mode",)) == {"mode": "fast"}


def test_a_section_without_a_default_or_with_a_taken_name_is_refused() -> None:
    class NoDefault(WithOptions):
        section = Unfinished

    class Taken(WithOptions):
        name = "filter"

    wrong: list[tuple[type[Stage], type[Exception], str]] = [
        (NoDefault, TypeError, r"Unfinished\.names needs a default"),
        (Taken, ValueError, "schemas/config.py has a section of this name already"),
    ]
    assert len(wrong) == 2
    for stage, error, text in wrong:
        with pytest.raises(error, match=text):
            config_class([stage])
