"""The grid of benchmarks/selftrain.py: what it makes, what it makes again, and the arithmetic of its verdict."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.selftrain import Grid, Runner, cells_of, chosen, main
from benchmarks.selftrain_results import ROLES, collect
from model.checkpoint import packaged_weights
from pipeline.run.config import load_config
from stages.synthetic import draw_scene

SVG = "{http://www.w3.org/2000/svg}"
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


@pytest.mark.slow
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


def test_a_grid_that_begins_with_given_weights_has_no_start_cells(tmp_path: Path) -> None:
    cells = cells_of(Grid(**{**vars(GRID), "start": "/weights/teacher.safetensors"}))
    trained = [cell for cell in cells if "train" in cell.commands]
    assert not any(cell.name.startswith("start") for cell in cells) and len(trained) == 11
    assert {cell.settings["train.init"] for cell in trained} == {"/weights/teacher.safetensors"}
    assert {cell.settings["train.gold"][0]["seed"] for cell in trained} == {7}
    assert {cell.settings["train.seed"] for cell in trained} == {0, 1}


def test_only_a_run_needs_the_weights_that_it_starts_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["selftrain.py", "plan", "--start", "not/there.safetensors"])
    main()
    assert "left on one core" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["selftrain.py", "run", "--start", "not/there.safetensors"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "not/there.safetensors; configs/selftrain_start.yaml" in capsys.readouterr().err


def cell(
    role: str, seed: int, aps: tuple[float | None, ...], threshold: float = 0.5, web: int = 4000, steps: int = 1200
) -> dict[str, Any]:
    tiers = ("common", "rare", "unseen")
    curve = [{"threshold": 0.5, "precision": 0.9, "recall": 0.1 * seed}]
    return {
        **{
            "role": role,
            "seed": seed,
            "threshold": threshold,
            "web": web,
            "samples_seen": 8 * steps,
            "date": "2026-01-01",
        },
        **{"processor": "a CPU", "versions": {"python": "3.12.1", "torch": "2.13.0"}},
        "sets": {"pseudo": 1234},
        "settings": {"evaluate.count": 500, "train.steps": steps},
        "detection": {
            **{tier: {"AP": value} for tier, value in zip(tiers, aps, strict=True)},
            "by_noun": {
                "fire engine": {"AP": 0.02},
                "corn": {"AP": 0.01 * seed},
                "fox": {"AP": 0.05},
                "dog": {"AP": 0.5},
            },
        },
        "agreement": {tier: {"curve": curve} for tier in ("all", *tiers)},
    }


def test_the_verdict_by_hand(tmp_path: Path) -> None:
    cells = [
        *(cell("teacher", 0, (30.0, 2.0, 0.0)), cell("teacher", 1, (32.0, 4.0, 1.0))),
        *(cell("student", 0, (31.0, 9.0, 2.0)), cell("student", 1, (30.0, 8.0, 3.0))),
        *(cell("upper_bound", 0, (33.0, 11.0, 20.0)), cell("upper_bound", 1, (33.0, 15.0, 22.0))),
        cell("mentioned", 0, (32.0, 10.0, 9.0)),
        *(cell("student", 0, (29.0, 6.0, 1.0), threshold=0.7), cell("student", 0, (28.0, 5.0, None), web=1000)),
        *(cell("teacher", 0, (29.0, 1.0, 0.0), steps=600), cell("student", 0, (30.0, 3.0, 1.0), steps=600)),
        cell("student", 0, (30.0, 3.0, 1.0), steps=300),  # its teacher is not there
    ]
    longer = {"steps": 2400, "samples_seen": 19200, "seeds": [0], "teacher": {"rare": 3.0}, "student": {"rare": 12.0}}
    known = {**longer, "steps": 600, "student": {"rare": 99.0}}  # of another result; its own cells count
    none = {"points": [{"threshold": 0.5, "rare": 99.0}]}
    lengths = [{**longer, "upper_bound": {"rare": 14.0}}, known]
    beside = [{"by_steps": lengths, "by_threshold": none, "by_web_pairs": none}]
    collect(cells, vars(GRID), tmp_path / "out.json", tmp_path, beside)
    result = json.loads((tmp_path / "out.json").read_text())
    assert {tier: result["student"][tier] for tier in ("common", "rare", "unseen")} == {
        "common": 30.5, "rare": 8.5, "unseen": 2.5,
    }  # fmt: skip
    assert result["teacher"]["seeds"][1] == {"seed": 1, "common": 32.0, "rare": 4.0, "unseen": 1.0}
    verdict = result["verdict"]
    assert (verdict["rare_gain"], verdict["common_change"], verdict["rare_gap_closed"]) == (5.5, -0.5, 0.55)
    assert all(verdict["met"].values()) and len(verdict["met"]) == 3
    by_threshold, by_size = result["by_threshold"], result["by_web_pairs"]["points"]
    assert [(point["threshold"], point["rare"]) for point in by_threshold["points"]] == [(0.5, 9.0), (0.7, 6.0)]
    assert by_threshold["samples_seen"] == 9600 and by_threshold["teacher"]["rare"] == 2.0
    assert [(point["web_pairs"], point["unseen"]) for point in by_size] == [(1000, None), (4000, 2.0)]
    lengths = result["by_steps"]
    assert [(point["samples_seen"], point["seeds"]) for point in lengths] == [(4800, [0]), (9600, [0, 1]), (19200, [0])]
    assert [(point["teacher"]["rare"], point["student"]["rare"]) for point in lengths] == [(1, 3), (3, 8.5), (3, 12)]
    assert [point["upper_bound"] and point["upper_bound"]["rare"] for point in lengths] == [None, 13, 14]
    assert result["rare_by_words"]["teacher"] == {"one_word": 2.75, "two_words": 2.0}  # "dog" is a common noun
    assert result["teacher_labels"]["rare"] == [{"threshold": 0.5, "precision": 0.9, "recall": 0.05}]
    assert result["mentioned"] == {
        **{"common": 32.0, "rare": 10.0, "unseen": 9.0},
        "seeds": [{"seed": 0, "common": 32.0, "rare": 10.0, "unseen": 9.0}],
    }
    assert result["pictures"] == [500]
    assert result["samples_seen"] == [9600] and result["processors"] == ["a CPU"]
    assert result["versions"] == {"python": ["3.12.1"], "torch": ["2.13.0"]}
    lines = polylines(tmp_path / "selftrain_threshold.svg")
    assert [len(points) for points in lines] == [2, 2, 2]
    assert lines[1][0][1] < lines[1][1][1]  # rare: 9 lies above 6
    teacher, student, upper = polylines(tmp_path / "selftrain_steps.svg")
    assert [len(teacher), len(student), len(upper)] == [3, 3, 2] and upper[0][0] == student[1][0]


def test_what_a_student_gains_on_nouns_by_how_many_of_their_objects_are_labelled(tmp_path: Path) -> None:
    """By hand. The rare nouns are fox, corn and fire engine; the half of two is the better labelled one."""
    cells = []
    for role, fox, corn, engine in (("teacher", 5, 10, 0), ("student", 10, 20, 1), ("upper_bound", 15, 25, 7)):
        own = {"fox": fox, "corn": corn, "fire engine": engine, "dog": 50, "banjo": 3}
        cells.append(cell(role, 0, (30.0, 2.0, 0.0)))
        cells[-1]["detection"]["by_noun"] = {name: {"AP": ap / 100} for name, ap in own.items()}
    counts = {
        "fire engine": (40, 10, 4),
        "corn": (10, 10, 8),
        "fox": (30, 20, 20),
        "dog": (9, 9, 9),
        "banjo": (5, 0, 0),
    }
    nouns = {name: dict(zip(("objects", "boxes", "right"), own, strict=True)) for name, own in counts.items()}
    nouns["clover"] = {"objects": 7, "boxes": 0, "right": 0}  # not in the evaluation's images
    collect(cells, vars(GRID), tmp_path / "out.json", tmp_path, labels={"nouns": nouns})
    found = json.loads((tmp_path / "out.json").read_text())["by_share_labelled"]
    names = ("nouns", "objects", "labelled_right", "wrong_for_each_right", *ROLES, "gap_closed")
    assert [[half[name] for name in names] for half in found["rare"]] == [
        [1, 40, 0.1, 1.5, 0.0, 1.0, 7.0, 0.143],
        [2, 40, 0.7, 0.071, 7.5, 15.0, 20.0, 0.6],
    ]
    assert [half["wrong_for_each_right"] for half in found["unseen"]] == [None]


def polylines(plot: Path) -> list[list[tuple[float, float]]]:
    """The points of each curve, (x, y) from the upper left."""
    lines = ElementTree.parse(plot).getroot().iter(f"{SVG}polyline")
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.get("points", "").split())]
        for line in lines
    ]


def test_what_is_not_there_is_null(tmp_path: Path) -> None:
    collect([cell("teacher", 0, (30.0, 2.0, 0.0))], vars(GRID), tmp_path / "out.json", tmp_path)
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["student"] is None and result["verdict"] is None and result["teacher"]["common"] == pytest.approx(30)
    assert not list(tmp_path.glob("*.svg"))


def test_a_curve_comes_from_the_result_that_has_more_of_it(tmp_path: Path) -> None:
    short = [cell("student", 0, (29.0, rare, 1.0), web=web) for web, rare in ((1000, 8.0), (4000, 9.0))]
    collect([cell("teacher", 0, (30.0, 2.0, 0.0)), *short], vars(GRID), tmp_path / "short.json", tmp_path)
    beside = json.loads((tmp_path / "short.json").read_text())
    plot = (tmp_path / "selftrain_web_pairs.svg").read_text()
    long = [cell(role, 0, (30.0, 4.0, 0.0), steps=2400) for role in ("teacher", "student")]
    collect(long, {**vars(GRID), "steps": 2400}, tmp_path / "long.json", tmp_path, [beside])
    result = json.loads((tmp_path / "long.json").read_text())
    assert result["by_web_pairs"] == beside["by_web_pairs"] and result["by_web_pairs"]["samples_seen"] == 9600
    assert result["by_threshold"]["samples_seen"] == 19200 and len(result["by_threshold"]["points"]) == 1
    assert (tmp_path / "selftrain_web_pairs.svg").read_text() == plot


def test_the_dashed_line_is_the_teacher_of_the_curves_seed(tmp_path: Path) -> None:
    teachers = [cell("teacher", seed, (30.0, 2.0 + 6 * seed, 0.0)) for seed in (0, 1)]
    students = [cell("student", 1, (29.0, 8.0, 1.0), threshold=threshold) for threshold in (0.5, 0.7)]
    collect([*teachers, *students], {**vars(GRID), "seeds": (1, 0)}, tmp_path / "out.json", tmp_path)
    plot = tmp_path / "selftrain_threshold.svg"
    lines = ElementTree.parse(plot).getroot().iter(f"{SVG}line")
    dashed = [float(line.get("y1", "")) for line in lines if line.get("stroke-dasharray")]
    assert dashed[1] == polylines(plot)[1][0][1]  # rare: 8 and 8
