"""GLIP as a teacher: opened from a label section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from model import teachers
from model.checkpoint import packaged_weights
from model.dyhead import DyConv
from model.glip import Glip
from model.scheduler import Scheduler
from model.teacher import TeacherError
from model.teachers.glip import GlipTeacher
from model.variants import VARIANTS
from schemas.config import LabelConfig


def test_what_is_opened_is_on_its_device_at_its_precision_and_size() -> None:
    torch.backends.cudnn.allow_tf32 = True
    teacher = teachers.open_teacher(LabelConfig(teacher="glip-nano", device="cpu", precision="bf16", short=96))
    assert isinstance(teacher, GlipTeacher)
    assert teacher.network.precision == "bf16" and not teacher.network.training
    assert teacher.sides == (96, VARIANTS["glip-nano"].long) and teacher.device == torch.device("cpu")
    assert not torch.backends.cudnn.allow_tf32


def test_the_blocks_of_the_head_are_compiled_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[dict[str, Any]] = []
    monkeypatch.setattr(DyConv, "compile", lambda block, **settings: compiled.append(settings))
    teachers.open_teacher(LabelConfig(teacher="glip-nano", device="cpu"))
    assert compiled == []
    teachers.open_teacher(LabelConfig(teacher="glip-nano", device="cpu", compile=True))
    assert compiled == [{"dynamic": True, "backend": "inductor"}] * VARIANTS["glip-nano"].tower


def test_what_is_opened_grounds_as_the_network_does(images_made: Any) -> None:
    images = images_made(4, [(96, 128), (128, 96)])
    captions, spans = ["a red box", "two dogs"], [[[(0, 9)]], [[(0, 8)]]]
    expected = Glip.pretrained("glip-nano").ground(images, captions, spans, 0.01)
    found = Scheduler(teachers.open_teacher(LabelConfig(teacher="glip-nano", device="cpu"))).ground(
        images, captions, spans, 0.01
    )
    assert len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        assert len(one.boxes) and torch.equal(one.boxes, other.boxes) and torch.equal(one.scores, other.scores)


def test_weights_in_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"glip-nano is opened from a file, and .* is a folder"):
        GlipTeacher.weights(LabelConfig(teacher="glip-nano", weights=str(tmp_path)))
    assert GlipTeacher.weights(LabelConfig(teacher="glip-nano")) == packaged_weights("glip-nano")


def test_images_are_as_large_as_the_variant_asks_for_unless_told() -> None:
    variant = VARIANTS["glip-t"]
    found = GlipTeacher.defaults(LabelConfig(teacher="glip-t"))
    assert found == {"variant": "glip-t", "short": variant.short, "long": variant.long}
    assert GlipTeacher.defaults(LabelConfig(teacher="glip-t", short=480))["short"] == 480
