"""The cells of the grid: what is compared is trained alike, and only what must is made from something else."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.selftraining.cells import Grid, cells_of
from pipeline.run.config import load_config

GRID = Grid(seeds=(0, 1), steps=1200, lengths=(600,), web=4000, sizes=(1000, 4000), thresholds=(0.5, 0.7))


def test_models_that_are_compared_see_the_same_samples_from_the_same_start(tmp_path: Path) -> None:
    cells = {cell.name: cell for cell in cells_of(GRID)}
    assert set(cells) == {
        *("start-s0", "teacher-s0", "labels-s0", "student-s0-t0.5-n4000", "upper-s0"),
        *("start-s1", "teacher-s1", "labels-s1", "student-s1-t0.5-n4000", "upper-s1"),
        *("student-s0-t0.7-n4000", "student-s0-t0.5-n1000", "mentioned-s0"),
        *("teacher-s0-k600", "student-s0-t0.5-n4000-k600"),
    }
    configs = {}
    for name, cell in cells.items():
        settings = [f"{key}={json.dumps(value)}" for key, value in cell.settings.items()]
        configs[name] = load_config("configs/selftrain.yaml", settings, str(tmp_path / name))
    roles = [configs[name].train for name in ("teacher-s1", "student-s1-t0.5-n4000", "upper-s1")]
    changing = {"gold", "pseudo", "ungrounded", "phrase_prompts"}
    same = [train.model_dump(exclude=changing) for train in roles]
    assert same[0] == same[1] == same[2] and same[0]["init"] == "$WORK/start-s1/student/weights.safetensors"
    teacher, student, upper = roles
    assert [gold.split for gold in upper.gold] == ["gold", "web"] and not upper.pseudo and student.pseudo
    assert student.gold[0].weight * 2000 == configs["student-s1-t0.5-n4000"].ingest.count == upper.gold[1].count == 4000
    assert upper.gold[1].seed == configs["labels-s1"].ingest.seed == 1
    assert student.phrase_prompts == upper.gold[1].detection == 1.0  # the web pairs of both are lists
    mentioned = configs["mentioned-s0"].train
    assert [gold.source for gold in mentioned.gold] == ["scenes", "run"] and not mentioned.pseudo
    assert configs["mentioned-s0"].ingest == configs["labels-s0"].ingest and mentioned.gold[1].detection == 1.0
    assert mentioned.model_dump(exclude=changing) == configs["upper-s0"].train.model_dump(exclude=changing)
    for name in ("teacher-s0", "student-s0-t0.5-n4000"):
        assert configs[f"{name}-k600"].train == configs[name].train.model_copy(update={"steps": 600})
        assert configs[f"{name}-k600"].label == configs[name].label
    assert upper.gold[0] == student.gold[0] and teacher.gold[0].seed == student.gold[0].seed
    assert configs["labels-s1"].label.weights == "$WORK/teacher-s1/student/weights.safetensors"


def test_a_grid_that_begins_with_given_weights_has_no_start_cells(tmp_path: Path) -> None:
    cells = cells_of(Grid(**{**vars(GRID), "start": "/weights/teacher.safetensors"}))
    trained = [cell for cell in cells if "train" in cell.commands]
    assert not any(cell.name.startswith("start") for cell in cells) and len(trained) == 11
    assert {cell.settings["train.init"] for cell in trained} == {"/weights/teacher.safetensors"}
    assert {cell.settings["train.gold"][0]["seed"] for cell in trained} == {7}
    assert {cell.settings["train.seed"] for cell in trained} == {0, 1}
