"""Fields that change the result enter the settings by themselves; marked ones do not, or in another form."""

from __future__ import annotations

from typing import Annotated

import pytest

from schemas.config import Config, Section
from schemas.marks import Enters, EntersUnless, Only, device_type
from schemas.settings import section_settings, settings_of


class Below(Section):
    weight: float = 1.0
    threads: Annotated[int, Only.SPEED] = 1


class Example(Section):
    plain: int = 3
    folder: Annotated[str, Only.PLACE] = "here"
    device: Annotated[str, Enters(device_type)] = "cuda:1"
    names: Annotated[tuple[str, ...], Enters(sorted)] = ("b", "a")
    young: Annotated[str, EntersUnless("auto")] = "auto"
    one: Below = Below()
    many: tuple[Below, ...] = (Below(weight=2.0),)


def test_marks_decide_what_enters_and_how_also_below() -> None:
    assert section_settings(Example()) == {
        "plain": 3,
        "device": "cuda",
        "names": ["a", "b"],
        "one": {"weight": 1.0},
        "many": [{"weight": 2.0}],
    }


def test_a_field_that_older_runs_do_not_have_leaves_them_current_until_it_is_set() -> None:
    assert "young" not in section_settings(Example())
    assert section_settings(Example(young="plain"))["young"] == "plain"


def test_sections_fields_and_what_stands_outside_of_them() -> None:
    config = Config.model_validate({"corpus": "web", "filter": {"min_score": 0.7}})
    found = settings_of(config, ("corpus", "shard", "filter.min_score"))
    assert found == {"corpus": "web", "samples_per_shard": 1000, "upright": False, "min_score": 0.7}
    assert settings_of(config, ()) == {}


@pytest.mark.parametrize("name", ["run", "part_size", "train.workers", "filter.min_scores"])
def test_what_does_not_change_the_result_cannot_be_depended_on(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is no setting that changes the result"):
        settings_of(Config(), (name,))


def test_two_fields_of_one_name_do_not_hide_each_other() -> None:
    with pytest.raises(ValueError, match="two settings are named threads"):
        settings_of(Config(), ("label.threads", "train.threads"))
