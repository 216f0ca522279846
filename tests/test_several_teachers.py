"""A whole run with two teachers: what each leaves, what the filter makes of them, and that every command knows both."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cli.commands import Options, remove, retry, run_rounds, run_stage, show_status, verify_run, watch_run
from pipeline.cli.views import explain_pair
from stages.geometry import iou
from tests.digests import digests

TWO = ["glip-nano", {"name": "small", "teacher": "glip-nano", "short": 96, "long": 160}]
TREE: dict[str, Any] = {
    "corpus": "demo",
    "part_size": 4,
    "ingest": {"source": "scenes", "count": 8},
    "label": {"teachers": TWO, "score_floor": 0.2, "device": "cpu"},
    "filter": {"agree": 2, "min_score": 0.3},
    "audit": {"pictures": 2},
}


def go(run: Path, tree: dict[str, Any], last: str = "audit", options: Options = Options(inline=True)) -> Path:  # noqa: B008
    config = run.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"run": str(run), **tree}))
    run_rounds(str(config), [], None, None, last, options)
    return run


def rows(run: Path, dataset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((run / dataset).glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def fingers(run: Path, *folders: str) -> dict[str, str]:
    return digests(run, folders, "*.parquet")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(tmp_path_factory.mktemp("both") / "run", TREE)


@pytest.fixture
def copy(both: Path, tmp_path: Path) -> Path:
    """With a config that speaks of its own place."""
    run = tmp_path / "run"
    shutil.copytree(both, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "run": str(run)}))
    return run


def test_the_first_labels_as_it_would_alone(both: Path, tmp_path: Path) -> None:
    alone = go(tmp_path / "alone", {**TREE, "label": {**TREE["label"], "teachers": []}, "filter": {}}, "label")
    assert fingers(both, "labels") == fingers(alone, "labels") and len(fingers(both, "labels")) == 2
    before = {path: path.stat().st_mtime_ns for path in (alone / "commits").rglob("*.json")}
    go(alone, TREE, "label")  # a second teacher comes
    assert all(path.stat().st_mtime_ns == moment for path, moment in before.items()) and len(before) == 6
    assert fingers(alone, "labels-small") == fingers(both, "labels-small") != {}


def test_what_is_kept_is_what_both_have(both: Path) -> None:
    others = {row["key"]: row["boxes"] for row in rows(both, "labels-small")}
    kept = gone = 0
    for labels, pseudo in zip(rows(both, "labels"), rows(both, "pseudo"), strict=True):
        reasons = {entry["box"]: entry["reason"] for entry in pseudo["dropped"]}
        for number, box in enumerate(labels["boxes"]):
            same = [other for other in others[labels["key"]] if other["phrase"] == box["phrase"]]
            agreed = any(iou(corners(box), corners(other)) >= 0.5 for other in same)
            if number not in reasons:
                assert agreed
                kept += 1
            elif reasons[number] == "not_agreed":
                assert not agreed
                gone += 1
    assert kept > 0 and gone > 0


def corners(box: dict[str, Any]) -> Any:
    return np.array([box[name] for name in ("x1", "y1", "x2", "y2")], np.float64)


def test_every_command_knows_both(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in range(2):
        assert (copy / f"commits/label-small/part-{part:07d}.json").exists()
    show_status(str(copy), False)
    assert "  label-small 2/2 done, 8 pairs in, 8 out, 0 rejected" in capsys.readouterr().out
    watch_run(str(copy))
    assert "  label-small 2/2 parts, 8 pairs" in capsys.readouterr().out
    verify_run(str(copy), False, 1)
    assert "label-small 2" in capsys.readouterr().out
    damaged = copy / "labels-small/part-0000001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(Exception, match="1"):
        verify_run(str(copy), False, 1)
    assert "label-small, part 1: labels-small/part-0000001.parquet has" in capsys.readouterr().err
    run_stage(None, [], str(copy), "label", Options(inline=True))  # both teachers; only what is damaged
    said = capsys.readouterr().err
    assert "label-small 1/2" in said or "label-small 2/2" in said
    verify_run(str(copy), False, 1)


def test_a_pair_is_taken_out_of_both(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = rows(copy, "pairs")[5]
    (tmp_path / "ids").write_text(gone["source_id"] + "\n")
    remove(str(copy), str(tmp_path / "ids"), Options(inline=True))
    for dataset in ("labels", "labels-small"):
        assert len(rows(copy, dataset)) == 7 and gone["key"] not in [row["key"] for row in rows(copy, dataset)]
    verify_run(str(copy), False, 1)
    assert "all in order" in capsys.readouterr().out


def test_rows_that_either_rejects_are_tried_again(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = rows(copy, "pairs")[6]
    tar = copy / pair["image"]["uri"]
    whole, broken = tar.read_bytes(), bytearray(tar.read_bytes())
    broken[pair["image"]["offset"] + 400] ^= 255
    tar.write_bytes(broken)
    run_stage(None, [], str(copy), "label", Options(inline=True, force=True))
    assert [row["reason"] for row in rows(copy, "rejects/label-small")] == ["image_changed"]
    capsys.readouterr()
    explain_pair(str(copy), pair["key"], str(tmp_path))
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " rejected: image_changed, " in line]
    assert told == ["label", "label-small"]
    tar.write_bytes(whole)
    retry(str(copy), "image_changed", Options(inline=True))
    assert "label-small: 1 parts with image_changed" in capsys.readouterr().out
    assert rows(copy, "rejects/label-small") == [] and len(rows(copy, "labels-small")) == 8
    verify_run(str(copy), False, 1)


@pytest.mark.slow
def test_workers_find_every_teacher(both: Path, tmp_path: Path) -> None:
    run = go(tmp_path / "run", TREE, "filter", Options(workers=2))
    assert fingers(run, "labels", "labels-small", "pseudo") == fingers(both, "labels", "labels-small", "pseudo")
