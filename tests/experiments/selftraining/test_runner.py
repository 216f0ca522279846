"""What the runner computes, what it recomputes, and the smallest grid from end to end."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.selftraining.cells import Grid, cells_of, chosen
from experiments.selftraining.runner import Runner
from experiments.selftraining.summary import collect
from model.checkpoint import packaged_weights
from stages.synthetic import draw_scene

GRID = Grid(seeds=(0, 1), steps=1200, lengths=(600,), web=4000, sizes=(1000, 4000), thresholds=(0.5, 0.7))


def test_a_cell_is_made_again_only_where_it_must(tmp_path: Path) -> None:
    cells = cells_of(GRID)
    runner = Runner(tmp_path / "work", tmp_path / "results", None)
    assert [cell.name for cell in runner.pending(cells)] == [cell.name for cell in cells]
    (tmp_path / "results").mkdir()
    for cell in cells:
        (tmp_path / "results" / f"{cell.name}.json").write_text(json.dumps({"key": cell.key()}))
    assert runner.pending(cells) == []  # without any folder
    (tmp_path / "results" / "upper-s1.json").unlink()
    assert [cell.name for cell in runner.pending(cells)] == ["start-s1", "upper-s1"]
    (tmp_path / "results" / "student-s0-t0.7-n4000.json").unlink()
    again = {"start-s0", "teacher-s0", "labels-s0", "student-s0-t0.7-n4000", "start-s1", "upper-s1"}
    assert {cell.name for cell in runner.pending(cells)} == again
    assert {cell.name for cell in runner.pending(cells_of(replace(GRID, images=7)))} == again  # evaluated, not made
    other = cells_of(replace(GRID, steps=7, lengths=()))
    assert len(runner.pending(other)) == len(other)
    assert [cell.name for cell in chosen(cells, "upper-s0")] == ["start-s0", "upper-s0"]


def test_a_model_is_evaluated_on_other_images_without_being_made_again(tmp_path: Path) -> None:
    teacher = next(cell for cell in cells_of(replace(GRID, images=3)) if cell.name == "teacher-s0")
    runner = Runner(tmp_path / "work", tmp_path, None)
    result = tmp_path / "teacher-s0.json"
    before = {"key": teacher.key(), "seconds": 4.0, "detection": None, "agreement": None}
    result.write_text(json.dumps({**before, "settings": {**teacher.settings, "evaluate.count": 2}}))
    with pytest.raises(FileNotFoundError):
        runner.evaluate(teacher)
    weights = tmp_path / "work" / "teacher-s0" / "student" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.symlink_to(packaged_weights("glip-nano"))
    assert runner.evaluate(teacher)
    after = json.loads(result.read_text())
    assert after["settings"] == teacher.settings and {**after, **before}.keys() == after.keys()
    objects = Counter(name for index in range(3) for name, _ in draw_scene("eval", 1, index).objects)
    assert after["detection"]["all"]["objects"] == objects.total() and after["seconds"] == 4.0
    weights.unlink()
    assert runner.evaluate(teacher)  # nothing to do


def test_the_smallest_grid_from_end_to_end(tmp_path: Path) -> None:
    """Two steps, twenty web pairs: the commands of every cell, what they leave, and the result."""
    weights = packaged_weights("glip-nano")
    grid = Grid(seeds=(0,), steps=2, batch_size=2, start=str(weights), web=20, sizes=(20,), images=2)
    cells = [cell for cell in cells_of(grid) if cell.name != "mentioned-s0"]
    runner = Runner(tmp_path / "work", tmp_path / "results", None)
    assert all(runner.make(cell) for cell in runner.pending(cells)) and not runner.pending(cells)
    found = [json.loads((tmp_path / "results" / f"{cell.name}.json").read_text()) for cell in cells if cell.facts]
    collect(found, vars(grid), tmp_path / "out.json", tmp_path)
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["samples_seen"] == [4] and result["pictures"] == [2]
    assert result["start_sha256"] == [hashlib.sha256(Path(weights).read_bytes()).hexdigest()]
    pseudo = result["by_threshold"]["points"][0]["samples_with_pseudo_boxes"]
    shards = json.loads((tmp_path / "work" / "student-s0-t0.5-n20" / "shards" / "index.json").read_text())["shards"]
    assert 0 < pseudo == sum(shard["samples"] for shard in shards) <= 20
    for role in ("teacher", "student", "upper_bound"):  # hardly trained, they know what the start knows
        assert result[role]["common"] > 20
