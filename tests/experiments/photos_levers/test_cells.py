"""Each lever is the base but for one thing, on as many samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.photos_levers.__main__ import STUDY
from experiments.photos_levers.cells import BASE, LEVERS, WORDS, Grid, cells_of, seconds
from pipeline.run.config import load_config
from schemas.config import TrainConfig

GRID = Grid()
CELLS = {cell.name: cell for cell in cells_of(GRID)}


def train(name: str, folder: Path) -> TrainConfig:
    values = [f"{key}={json.dumps(value)}" for key, value in CELLS[name].settings.items()]
    return load_config("experiments/photos_levers/levers.yaml", values, str(folder / name)).train


@pytest.mark.parametrize("name", [*LEVERS, "base-s1", "long-s0"])
def test_a_cell_differs_from_the_base_in_what_it_is_named_for(name: str, tmp_path: Path) -> None:
    base, own = (train(cell, tmp_path).model_dump() for cell in (BASE, name))
    differ = {key for key in base if base[key] != own[key]}
    expected = {
        "free-levels": {"frozen", "backbone_lr"},
        "free-body": {"frozen", "backbone_lr"},
        "large": {"scales"},
        "negatives": {"negative_categories"},
        "lists": {"gold"},
        "no-detector-boxes": {"gold"},
        "substitution": {"word_substitution"},
        "no-softmax": {"phrase_softmax"},
        "base-s1": {"seed"},
        "long-s0": {"steps"},
    }
    assert differ == expected[name]
    assert WORDS in own["frozen"] and own["batch_size"] == base["batch_size"]


def test_the_base_is_the_first_stage_of_the_recipe(tmp_path: Path) -> None:
    recipe = load_config("recipes/glip_photos/first.yaml", [], str(tmp_path / "recipe")).train.model_dump()
    base = train(BASE, tmp_path).model_dump()
    same = {"gold", "init", "frozen", "scales", "lr", "text_lr", "negative_categories", "phrase_softmax", "batch_size"}
    assert {key for key in same if recipe[key] != base[key]} == set()


def test_what_it_costs() -> None:
    rates = {"train": 10.0, "label": 10.0}
    base = seconds(CELLS[BASE], GRID, rates)
    assert base == 1200 * 8 / 10 + 480 / 10 + 60
    assert seconds(CELLS["free-body"], GRID, rates) - base == pytest.approx(960)
    assert all(seconds(cell, GRID, STUDY.rates) < 45 * 60 for cell in CELLS.values())
    assert len(LEVERS) <= 10


def test_a_plan_lists_all_cells(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    STUDY.main(["plan", f"--work={tmp_path}", f"--cells={tmp_path}"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == list(CELLS) and lines[-1].endswith(
        "h left on one core or device"
    )
