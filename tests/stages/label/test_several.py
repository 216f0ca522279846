"""Several teachers: which section each of them has, and what cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from model.checkpoint import packaged_weights, sha256
from pipeline.run.task import load_class, reference_of
from schemas.config import Config
from stages import stages_of
from stages.label.several import config_of, first_of, folder_of, other_names
from stages.label.stage import LabelStage, OtherTeacherStage
from stages.label.teacher import resolve_teacher
from stages.stage import UserError

NANO = {"name": "small", "teacher": "glip-nano", "short": 96, "score_floor": 0.2}


def config(*teachers: Any, **label: Any) -> Config:
    return Config.model_validate({"label": {"device": "cpu", "teachers": list(teachers), **label}})


def resolved(given: Config) -> Config:
    label = given.label.model_copy(update=resolve_teacher(given))
    return Config.model_validate_json(given.model_copy(update={"label": label}).model_dump_json())


def test_the_first_teacher_is_the_runs() -> None:
    found = resolved(config("glip-photos", NANO)).label
    alone = resolved(Config.model_validate({"label": {"device": "cpu", "teacher": "glip-photos"}})).label
    assert found.model_copy(update={"teachers": ()}) == alone
    assert LabelStage.settings(resolved(config("glip-photos", NANO))) == LabelStage.settings(
        Config(label=alone)
    )  # another teacher beside it costs no second look


def test_each_of_the_others_has_a_section_of_its_own() -> None:
    whole = resolved(config("glip-photos", NANO, "glip-nano", score_floor=0.3, batch_size=3))
    assert other_names(whole.label) == ["small", "glip-nano"]
    small, plain = (config_of(whole, name).label for name in other_names(whole.label))
    assert (small.teacher, small.short, small.long, small.score_floor, small.batch_size) == (
        "glip-nano",
        96,
        320,
        0.2,
        3,
    )
    assert (plain.teacher, plain.short, plain.long, plain.score_floor, plain.batch_size) == (
        "glip-nano",
        192,
        320,
        0.3,
        3,
    )
    assert small.weights_sha256 == sha256(packaged_weights("glip-nano")) and small.teachers == ()


def test_a_resolved_config_comes_to_the_same_again() -> None:
    once = resolved(config("glip-nano", NANO, short=128))
    assert resolved(once) == once and once.label.short == 128
    changed = once.model_copy(update={"label": once.label.model_copy(update={"short": 64})})
    assert resolved(changed).label.short == 64  # --set label.short=64 is not overruled by the list


def test_each_has_a_stage_after_that_of_the_first() -> None:
    whole = resolved(config("glip-nano", NANO, "glip-photos"))
    stages = [stage for stage in stages_of(whole) if issubclass(stage, LabelStage)]
    assert [stage.name for stage in stages] == ["label", "label-small", "label-glip-photos"]
    assert [stage.outputs[0].folder for stage in stages] == ["labels", "labels-small", "labels-glip-photos"]
    for stage in (stages[0], stages[1], stages[2]):
        assert load_class(reference_of(stage)) is stage  # as a worker finds it
    assert (
        issubclass(stages[1], OtherTeacherStage) and stages[1].siblings(whole) == () and stages[1].resolve(whole) == {}
    )
    first, small, photos = (stage.settings(whole) for stage in stages)
    assert first["teacher"] == small["teacher"] == "glip-nano" and (first["short"], small["short"]) == (192, 96)
    assert photos["weights"] == sha256(packaged_weights("glip-photos")) and "teachers" not in first
    assert [stage.name for stage in stages_of(Config()) if issubclass(stage, LabelStage)] == ["label"]


@pytest.mark.parametrize(
    ("teachers", "label", "problem"),
    [
        (["glip-nano", "glip-nano"], {}, "2 are named glip-nano; give each of them its own `name`"),
        (["glip-nano", {**NANO, "name": "../up"}], {}, r"'\.\./up' is no name of a folder"),
        (
            ["glip-nano", "glip-t"],
            {"teacher": "glip-photos"},
            "glip-photos, but the first of label.teachers has glip-nano",
        ),
        ([{"teacher": "glip-nano", "short": 64}, NANO], {"short": 96}, r"label\.short: 96, but the first"),
        (["glip-nano", "glip-t"], {}, r"label\.teachers, glip-t: .*weights"),
        (["glip-nano", {"teacher": "glipnano"}], {}, r"label\.teachers, glipnano: .*no teacher 'glipnano'"),
    ],
)
def test_what_cannot_be_meant_is_an_error(teachers: list[Any], label: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as error:
        resolve_teacher(config(*teachers, **label))
    assert "\n" not in str(error.value)


def test_one_teacher_is_no_list() -> None:
    with pytest.raises(ValidationError, match=r"one alone is label\.teacher"):
        config("glip-nano")
    assert first_of(config().label) == config().label and folder_of("owl") == "labels-owl"
