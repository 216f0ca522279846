"""`phrasebox evaluate --benchmark refcoco`, from files to figures, with networks that are small but real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.model import tiny_sam
from tests.pipeline.cli.conftest import Command
from tests.stages.evaluate import refcoco_files


@pytest.mark.slow
def test_referring_segmentation_of_scenes(tmp_path: Path, phrasebox: Command) -> None:
    """glip-nano knows the scenes; the masks of random weights are none, but they are counted."""
    data, images = refcoco_files.of_scenes(tmp_path / "refcoco", 4)
    settings = {
        "evaluate.models": "[teacher]",
        "evaluate.data": data,
        "evaluate.images": images,
        "label.teacher": "glip-nano",
        "label.device": "cpu",
        "mask.model": tiny_sam.save("sam", tmp_path / "sam"),
        "mask.device": "cpu",
    }
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text("ingest: {source: scenes, count: 2}\n")
    assert phrasebox("ingest", "--run", str(run), "--config", str(config), "--inline").returncode == 0
    chosen = [f"--set={key}={value}" for key, value in settings.items()]
    done = phrasebox("evaluate", "--run", str(run), "--benchmark", "refcoco", "--inline", *chosen)
    assert done.returncode == 0, done.stderr
    result = json.loads((run / "evaluation/refcoco-teacher.json").read_text())
    assert result["settings"]["benchmark"] == "refcoco" and result["split"] == "val"
    assert result["expressions"] > 8 and result["box_accuracy"] >= 25
    assert 0 <= result["oIoU"] <= 100 and 0 <= result["P@0.9"] <= result["P@0.5"] <= 100
    done = phrasebox(
        "evaluate", "--run", str(run), "--benchmark", "refcoco", "--set=evaluate.split=testB", "--inline", *chosen
    )
    assert done.returncode == 2 and "no split 'testB'; there are val" in done.stderr


def test_a_mistake_in_the_benchmark_is_one_line(tmp_path: Path, phrasebox: Command) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("ingest: {source: scenes, count: 2}\n")
    run = ["--run", str(tmp_path / "run"), "--config", str(config)]
    done = phrasebox("evaluate", *run, "--benchmark", "refcocco")
    assert done.returncode == 2 and "no benchmark 'refcocco'; there are scenes" in done.stderr
    done = phrasebox("evaluate", *run, "--benchmark", "refcoco")
    assert done.returncode == 2 and "refcoco needs `data` (refs(unc).json with instances.json beside it)" in done.stderr
    done = phrasebox("evaluate", *run, "--benchmark", "scenes", "--set", "evaluate.split=val")
    assert done.returncode == 2 and "evaluate.split: scenes has no splits" in done.stderr
