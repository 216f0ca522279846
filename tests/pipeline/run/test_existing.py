"""A run that is there already, to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.run.config import CONFIG, write_config
from pipeline.run.existing import existing_run, read_run, turned_off
from pipeline.run.plan import PLAN, write_plan
from pipeline.storage.local import LocalStorage
from schemas.config import Config
from stages.evaluate.stage import EvaluateStage
from stages.stage import Slice, UserError


def test_a_folder_that_is_no_run_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run here \(neither config.yaml nor plan.json\)"):
        existing_run(str(tmp_path))
    with pytest.raises(UserError, match="no run here"):
        read_run(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", [CONFIG, PLAN])
def test_a_run_has_its_config_or_its_plan(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert existing_run(str(tmp_path)).exists(name)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    storage = LocalStorage(str(tmp_path))
    write_config(storage, Config(run=str(tmp_path)))
    write_plan(storage, {4: Slice("", 0, 2), 7: Slice("", 2, 3)})
    storage.write("evaluation/coco-teacher.json", b"{}")
    return tmp_path


def test_what_stages_have_written_is_there(run: Path) -> None:
    files = read_run(str(run))
    assert files.parts() == [4, 7] and "scores" in turned_off(str(run)) and "pairs" not in turned_off(str(run))
    assert files.files("evaluation") == ["evaluation/coco-teacher.json"]
    assert not files.has_part("pairs", 4)


def test_what_lies_there_of_a_stage_that_is_off_is_not(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvaluateStage, "enabled", classmethod(lambda cls, config: config.part_size == 1))
    assert "evaluation" in turned_off(str(run))
    assert read_run(str(run)).files("evaluation") == []
    write_config(LocalStorage(str(run)), Config(run=str(run), part_size=1))
    assert read_run(str(run)).files("evaluation") == ["evaluation/coco-teacher.json"]
