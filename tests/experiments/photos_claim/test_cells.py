"""The cells of the claim: models are trained alike, from a start that knows the tenth alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.cell import chosen
from experiments.photos_claim.__main__ import STUDY
from experiments.photos_claim.cells import THRESHOLD, Grid, cells_of
from pipeline.run.config import load_config
from schemas.config import Config

CELLS = {cell.name: cell for cell in cells_of(Grid(seeds=(0, 1)))}


def config(name: str, folder: Path) -> Config:
    settings = {**CELLS[name].settings}
    if settings.get("filter.min_score") == THRESHOLD:
        settings["filter.min_score"] = 0.4
    values = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return load_config("experiments/photos_claim/claim.yaml", values, str(folder / name))


def test_the_models_of_a_seed_differ_in_their_boxes_alone(tmp_path: Path) -> None:
    roles = [config(f"{role}-s1", tmp_path).train for role in ("teacher", "student", "upper")]
    same = [train.model_dump(exclude={"gold", "pseudo"}) for train in roles]
    assert same[0] == same[1] == same[2]
    assert same[0]["init"] == "$WORK/start-s1/start.safetensors" and same[0]["seed"] == 1
    teacher, student, upper = roles
    assert [train.pseudo for train in roles] == [False, True, False]
    assert [Path(one.source).name for train in roles for one in train.gold] == [
        *("gold.json", "gold.json", "entities_train.json")
    ]
    assert [one.weight for one in (*teacher.gold, *student.gold, *upper.gold)] == [1.0, 9.0, 1.0]


def test_the_start_is_fitted_on_the_tenth() -> None:
    split, start = CELLS["start-s0"].commands
    assert "--gold data/photos/entities_train.json --seed 0 --out $WORK/start-s0" in split
    assert "--gold $WORK/start-s0/gold.json" in start and "entities_train" not in start


def test_labels_are_made_without_gold(tmp_path: Path) -> None:
    labels = config("labels-s0", tmp_path)
    assert labels.ingest.source.endswith("start-s0/captions.csv") and labels.ingest.instances is None
    assert labels.label.weights is not None and labels.label.weights.endswith("teacher-s0/student/weights.safetensors")
    assert config("student-s0", tmp_path).label == labels.label
    assert [cell.name for cell in chosen(list(CELLS.values()), "student-s0")] == [
        *("start-s0", "teacher-s0", "labels-s0", "student-s0")
    ]


def test_every_field_of_the_grid_is_an_option() -> None:
    options = STUDY.arguments().parse_args(["plan", "--seeds=3,4", "--labelled=0.25", "--data=elsewhere"])
    grid = Grid(**{name: getattr(options, name) for name in vars(Grid())})
    assert grid == Grid(seeds=(3, 4), labelled=0.25, data="elsewhere")


def test_a_plan_needs_no_data_and_a_run_does(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folders = [f"--work={tmp_path}", f"--cells={tmp_path}", f"--data={tmp_path}"]
    STUDY.main(["plan", *folders])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 16 and said[-1].endswith("h left on one core or device")
    with pytest.raises(SystemExit, match="2"):
        STUDY.main(["run", *folders])
    assert "python -m recipes.glip_photos.prepare makes it" in capsys.readouterr().err
