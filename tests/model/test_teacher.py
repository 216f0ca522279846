"""What every teacher has: a description, and settings that it refuses unless it says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from model.teacher import Description, Teacher, TeacherError
from schemas.config import LabelConfig


def test_a_description_names_the_architecture_and_the_weights() -> None:
    resolved = LabelConfig(teacher="transformers", variant="grounding-dino", weights_sha256="0123456789abcdef" * 4)
    found = Description.of(resolved)
    assert found == Description("transformers", "grounding-dino", "0123456789abcdef" * 4)
    assert str(found) == "grounding-dino@0123456789ab"
    assert str(Description.of(LabelConfig(teacher="colour"))) == "colour"
    tuned = Description.of(resolved.model_copy(update={"tuned_sha256": "fedcba9876543210" * 4}))
    assert str(tuned) == "grounding-dino@0123456789ab+fedcba987654"
    assert tuned.to_json() == {**found.to_json(), "tuned": "fedcba9876543210" * 4} and "tuned" not in found.to_json()


@pytest.mark.parametrize(
    ("setting", "hook"),
    [
        ({"weights": "x.safetensors"}, Teacher.weights),
        ({"short": 300}, Teacher.defaults),
        ({"long": 300}, Teacher.defaults),
        ({"precision": "bf16"}, Teacher.defaults),
    ],
)
def test_a_setting_that_a_teacher_does_not_have_is_an_error(setting: dict[str, Any], hook: Any) -> None:
    (name,) = setting
    with pytest.raises(TeacherError, match=rf"label\.{name}: the teacher colour takes none; leave it out"):
        hook(LabelConfig(teacher="colour", **setting))
    assert hook(LabelConfig(teacher="colour")) in (None, {})
