"""The arithmetic of the result: means over seeds, verdict, curves and shares, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.record import ROOT
from experiments.selftraining.__main__ import main
from experiments.selftraining.cells import Grid
from experiments.selftraining.plots import ROLES
from experiments.selftraining.summary import collect
from tests.experiments.selftraining.cell_results import cell

GRID = Grid(seeds=(0, 1), steps=1200, lengths=(600,), web=4000, sizes=(1000, 4000), thresholds=(0.5, 0.7))


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
    assert json.loads((tmp_path / "out.json").read_text())["by_threshold"]["teacher"]["rare"] == 8.0


def test_the_recorded_result_is_that_of_the_recorded_cells(tmp_path: Path) -> None:
    """The command of experiments/selftraining/README.md makes the result and the plots that are in the repository."""
    recorded = ROOT / "benchmarks" / "results" / "selftrain.json"
    results = ROOT / "experiments" / "selftraining" / "results"
    options = ["--beside", results / "threshold_pairs_length.json", "--out", tmp_path / "out.json", "--plots", tmp_path]
    options += ["--labels", results / "passes_teacher" / "labels-s2-rules.json"]
    options += ["--start", json.loads(recorded.read_text())["config"]["grid"]["start"]]
    main(["collect", *map(str, options)])
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(recorded.read_text())
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    assert drawn == {path.name for path in (ROOT / "docs" / "images").glob("selftrain_*.svg")} and len(drawn) == 3
