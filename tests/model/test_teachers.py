"""The registry: names, what `auto` comes to, plug-ins, digests, and errors that say what to do."""

from __future__ import annotations

import hashlib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

from model import teachers
from model.checkpoint import packaged_weights
from model.device import DeviceError
from model.glip import Glip
from model.prompt import CategoryList
from model.teacher import Teacher, TeacherError
from model.teachers.glip import GlipTeacher
from model.tuning import Tuned
from model.variants import VARIANTS
from schemas.config import LabelConfig


class Stone(Teacher):
    """Takes no weights and finds nothing; enough to be opened."""

    device = torch.device("cpu")

    def __init__(self, label: LabelConfig) -> None:
        self.label = label


@pytest.fixture
def stone(monkeypatch: pytest.MonkeyPatch) -> LabelConfig:
    """A label section that asks for a teacher that only an installed package lists."""
    plugin = EntryPoint("stone", f"{__name__}:Stone", teachers.PLUGINS)
    monkeypatch.setattr(teachers, "entry_points", lambda group: [plugin] if group == "phrasebox.teachers" else [])
    return LabelConfig(teacher="stone", device="cpu")


def test_every_variant_of_glip_is_listed_and_can_be_imported() -> None:
    assert set(VARIANTS) <= set(teachers.TEACHERS)
    assert {teachers.teacher_class(name) for name in VARIANTS} == {GlipTeacher}


def test_auto_is_a_packaged_teacher_and_other_names_stay() -> None:
    for source in ("scenes", "photos/", "s3://bucket/pairs.tsv"):
        name = teachers.teacher_name("auto", source)
        assert packaged_weights(name).is_file()
        found = teachers.resolve(LabelConfig(), source)
        assert found["teacher"] == name and found["variant"] == name
    assert teachers.teacher_name("glip-l", "scenes") == "glip-l"


def test_a_file_or_a_folder_has_a_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nano.safetensors"
    Glip.from_variant("glip-nano", seed=5).save(file)
    label = LabelConfig(teacher="glip-nano", weights=str(file))
    found = teachers.resolve(label, "scenes")
    assert found["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(GlipTeacher, "weights", classmethod(lambda cls, label: tmp_path))
    line = f"{found['weights_sha256']}  nano.safetensors\n".encode()
    assert teachers.resolve(label, "scenes")["weights_sha256"] == hashlib.sha256(line).hexdigest()


def test_a_resolved_section_resolves_to_itself() -> None:
    once = LabelConfig(short=224).model_copy(update=teachers.resolve(LabelConfig(short=224), "scenes"))
    assert once.model_copy(update=teachers.resolve(once, "photos/")) == once
    assert (once.short, once.long) == (224, VARIANTS["glip-nano"].long)


def test_a_packages_own_teacher(stone: LabelConfig) -> None:
    assert teachers.resolve(stone, "scenes") == {"teacher": "stone", "variant": None, "weights_sha256": None}
    opened = teachers.open_teacher(stone)
    assert isinstance(opened, Stone) and opened.label is stone
    with pytest.raises(TeacherError, match=r"label\.weights: the teacher stone takes none"):
        teachers.resolve(stone.model_copy(update={"weights": "x.pth"}), "scenes")
    with pytest.raises(TeacherError, match=r"no teacher 'stine'; there are .*stone, .*; did you mean stone\?"):
        teachers.resolve(LabelConfig(teacher="stine"), "scenes")


def test_settings_of_the_dynamic_head_are_for_glip(stone: LabelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ({"deform": "plain"}, {"compile": True}):
        with pytest.raises(TeacherError, match=rf"label\.{next(iter(setting))}: the teacher stone takes none"):
            teachers.resolve(stone.model_copy(update=setting), "scenes")
    glip = LabelConfig(teacher="glip-nano", device="cpu", short=192, long=320)
    kernel = pytest.importorskip("model.deform_kernel", reason="Triton has no package for this platform")
    opened = teachers.open_teacher(glip.model_copy(update={"deform": "triton"}))
    assert isinstance(opened, GlipTeacher) and opened.notes == {}
    operators = [module.operator for module in opened.network.modules() if hasattr(module, "operator")]
    assert operators == [kernel.deform_conv] * 6
    monkeypatch.setattr(kernel, "INTERPRETED", False)
    with pytest.raises(DeviceError, match="needs a GPU"):
        teachers.open_teacher(glip.model_copy(update={"deform": "triton"}))


def test_a_name_of_ours_is_not_taken_over_by_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = EntryPoint("glip-nano", f"{__name__}:Stone", teachers.PLUGINS)
    monkeypatch.setattr(teachers, "entry_points", lambda group: [plugin])
    assert teachers.teacher_class("glip-nano") is GlipTeacher
    assert teachers.all_teachers()["glip-nano"].startswith("model.teachers.glip")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(teachers.TEACHERS, "far", "package_that_nobody_has.teacher:Far")
    with pytest.raises(TeacherError, match="far needs the package package_that_nobody_has, which is not installed"):
        teachers.teacher_class("far")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"weights": "/nowhere/x.pth"}, "weights of glip-nano: .*/nowhere/x.pth"),
        ({"teacher": "glip-l"}, "weights of glip-l: no weights for glip-l are packaged"),
        ({"weights_sha256": "ab"}, "label.weights: sha256 [0-9a-f]{64}, but label.weights_sha256 asks for ab"),
    ],
)
def test_weights_that_are_not_there_or_not_the_ones(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(TeacherError, match=words):
        teachers.resolve(LabelConfig(**setting), "scenes")


def test_tuned_weights_have_a_digest_and_are_for_glip(tmp_path: Path, stone: LabelConfig) -> None:
    file = tmp_path / "tuned.safetensors"
    base = hashlib.sha256(packaged_weights("glip-nano").read_bytes()).hexdigest()
    file.write_bytes(Tuned("glip-nano", base, "prompt", CategoryList.of(["hen", "cow"]), {}).to_bytes())
    label = LabelConfig(teacher="glip-nano", device="cpu", tuned=str(file), short=192, long=320)
    found = teachers.resolve(label, "scenes")
    assert found["tuned_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() and found["weights_sha256"] == base
    opened = teachers.open_teacher(label)
    assert isinstance(opened, GlipTeacher) and opened.network.listed is not None
    assert opened.network.listed.names == ("hen", "cow")
    resolved = label.model_copy(update=found)
    file.write_bytes(Tuned("glip-nano", base, "prompt", CategoryList.of(["eel"]), {}).to_bytes())
    again = resolved.model_copy(update=teachers.resolve(resolved, "scenes"))
    assert again.tuned_sha256 == hashlib.sha256(file.read_bytes()).hexdigest() != resolved.tuned_sha256
    assert teachers.resolve(again.model_copy(update={"tuned": None}), "scenes")["tuned_sha256"] is None
    with pytest.raises(TeacherError, match=r"weights of glip-nano: .*gone"):
        teachers.resolve(label.model_copy(update={"tuned": "/gone"}), "scenes")
    file.write_bytes(Tuned("glip-nano", "0" * 64, "prompt", CategoryList.of(["eel"]), {}).to_bytes())
    with pytest.raises(TeacherError, match=r"weights of glip-nano: tuned for glip-nano with the weights 0{12}, not"):
        teachers.open_teacher(label)
    with pytest.raises(TeacherError, match=r"label\.tuned: the teacher stone takes none"):
        teachers.resolve(stone.model_copy(update={"tuned": str(file)}), "scenes")
