"""`rounds: 2`: the student of the first round is the teacher of the second, in a run folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from model.checkpoint import sha256
from pipeline.cli.commands import Options, run_rounds, verify_run
from pipeline.run.rounds import config_of
from schemas.config import Config
from stages.label.several import first_of
from stages.stage import UserError

TINY: dict[str, Any] = {
    "part_size": 3,
    "rounds": 2,
    "ingest": {"source": "scenes", "count": 6},
    "label": {"device": "cpu", "batch_size": 3},
    "filter": {"min_score": 0.3},
    "audit": {"pictures": 1},
    "train": {
        "init": "teacher",
        "steps": 1,
        "batch_size": 2,
        "lr": 1e-5,
        "text_lr": 1e-5,
        "device": "cpu",
        "threads": 1,
    },
    "evaluate": {"count": 1},
}


def go(run: Path, **changes: Any) -> None:
    file = run.parent / "tiny.yaml"
    file.write_text(yaml.safe_dump({**TINY, **changes, "run": str(run)}))
    run_rounds(str(file), [], None, None, None, Options(inline=True))


@pytest.mark.slow
def test_the_student_labels_the_pairs_of_the_second_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    go(run)
    later = run / "rounds" / "2"
    student = run / "student" / "weights.safetensors"
    config = yaml.safe_load((later / "config.yaml").read_text())
    assert config["rounds"] == 1 and config["label"]["weights"] == str(student)
    assert config["label"]["weights_sha256"] == sha256(student)
    assert json.loads((later / "evaluation" / "scenes-teacher.json").read_text())["model"]["weights"] == sha256(student)
    first, second = (pq.read_table(folder / "labels").to_pylist() for folder in (run, later))
    assert [row["key"] for row in first] == [row["key"] for row in second] and first != second
    assert any(row["boxes"] for row in second)
    assert sha256(later / "student" / "weights.safetensors") != sha256(student)
    for folder in (run, later):
        verify_run(str(folder), quick=False, workers=1)

    capsys.readouterr()
    go(run)
    assert capsys.readouterr().out.count("nothing to be done") == 2
    for path in (later / "commits" / "train").iterdir():  # as if it had been killed there
        path.unlink()
    go(run)
    assert capsys.readouterr().out.count("nothing to be done") == 1


def test_a_later_round_has_the_config_of_the_run_with_the_student_as_teacher(tmp_path: Path) -> None:
    label = {"teacher": "glip-t", "weights": "glip_t.pth", "weights_sha256": "0" * 64, "short": 480, "long": 800}
    label |= {"tuned": "tuned.safetensors", "tuned_sha256": "1" * 64}
    config = Config.model_validate(
        {"run": str(tmp_path / "run"), "rounds": 3, "label": label, "filter": {"min_score": 0.4}}
    )
    third = config_of(config, 3)
    assert third.run == str(tmp_path / "run" / "rounds" / "3") and third.rounds == 1
    assert third.label.teacher == "glip-nano" and third.label.weights_sha256 is None
    assert third.label.tuned is None and third.label.tuned_sha256 is None
    assert third.label.weights == str(tmp_path / "run" / "rounds" / "2" / "student" / "weights.safetensors")
    assert (third.label.short, third.label.long) == (
        None,
        None,
    )  # the first teacher's image size is not the student's
    assert third.filter == config.filter and third.train == config.train
    assert config_of(config, 1) is config
    same = config.model_copy(update={"train": config.train.model_copy(update={"variant": "glip-t"})})
    assert (config_of(same, 2).label.short, config_of(same, 2).label.long) == (480, 800)


def test_the_student_stands_in_for_the_first_of_several_teachers(tmp_path: Path) -> None:
    teachers = [
        {"name": "one", "teacher": "glip-t", "weights": "glip_t.pth"},
        {"name": "two", "teacher": "glip-photos"},
    ]
    tree = {"run": str(tmp_path / "run"), "rounds": 2, "label": {"teachers": teachers}, "filter": {"agree": 2}}
    config = Config.model_validate(tree)
    later = config_of(config, 2).label
    assert later.teachers[1] == config.label.teachers[1]
    assert first_of(later).weights == str(tmp_path / "run" / "student" / "weights.safetensors")
    assert (first_of(later).teacher, later.teachers[0].name) == ("glip-nano", "one")


def test_the_images_keep_their_size_where_auto_comes_to_what_the_student_is(tmp_path: Path) -> None:
    label = {"short": 224, "variant": "glip-nano", "weights_sha256": "0" * 64}
    config = Config.model_validate({"run": str(tmp_path / "run"), "rounds": 2, "label": label})
    later = config_of(config, 2).label
    assert (later.teacher, later.variant, later.short, later.weights_sha256) == ("glip-nano", None, 224, None)


def test_rounds_in_an_object_store_are_refused_before_any_work() -> None:
    with pytest.raises(UserError, match="rounds: weights are read from a local path"):
        config_of(Config.model_validate({"run": "s3://bucket/run", "rounds": 2}), 2)
