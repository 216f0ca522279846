"""A detector of transformers labels and is evaluated in a run; tests/test_demo_llmdet.py kills and resumes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cli.commands import Options, run_rounds, run_stage, verify_run
from stages.stage import UserError
from tests.checkpoints import FAMILIES, write_checkpoint
from tests.digests import digests
from tests.hub import COMMIT, serving

ROOT = Path(__file__).resolve().parents[3]
DATASETS = ("labels", "pseudo", "shards", "rejects")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("checkpoints")
    return {family: write_checkpoint(family, top / family) for family in FAMILIES}


def settings(weights: Path | str, **more: Any) -> list[str]:
    own = {
        "ingest.count": 6,
        "part_size": 3,
        "label.teacher": "transformers",
        "label.weights": weights,
        "label.device": "cpu",
        "label.batch_size": 2,
        "filter.min_score": 0.3,
    }
    return [f"{key}={value}" for key, value in {**own, **more}.items()]


def run_until(last: str, run: Path, given: list[str]) -> None:
    config = run.with_suffix(".yaml")
    config.write_text("{}")
    run_rounds(str(config), given, str(run), None, last, Options(inline=True))


def data_files(run: Path) -> Iterator[tuple[str, bytes]]:
    for dataset in DATASETS:
        for path in sorted((run / dataset).rglob("*")):
            if path.is_file():
                yield path.relative_to(run).as_posix(), path.read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_labels_scenes(family: str, folders: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_until("shard", run, settings(folders[family]))
    rows = [row for part in sorted((run / "labels").iterdir()) for row in pq.read_table(part).to_pylist()]
    assert len(rows) == 6 and sum(len(row["boxes"]) for row in rows) > 6
    for row in rows:
        assert all(0 <= box["x1"] < box["x2"] <= row["width"] and box["score"] >= 0.1 for box in row["boxes"])
    record = json.loads((run / "commits" / "label" / "part-0000000.json").read_text())
    config = yaml.safe_load((run / "config.yaml").read_text())["label"]
    expected = {"name": "transformers", "variant": family, "weights": config["weights_sha256"]}
    assert record["notes"]["teacher"] == expected and len(config["weights_sha256"]) == 64
    verify_run(str(run), quick=False, workers=1)


@pytest.mark.slow
def test_every_family_labels_on_ray(folders: dict[str, Path], tmp_path: Path) -> None:
    """As the teachers of one run, each a stage of its own, with the bytes of one process; up to the shards."""
    teachers = [{"name": name, "teacher": "transformers", "weights": str(folders[name])} for name in FAMILIES]
    tree = {
        **{"part_size": 2, "ingest": {"count": 4}, "filter": {"min_score": 0.3}},
        "label": {"teachers": teachers, "device": "cpu", "batch_size": 2},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    made = ("labels", *(f"labels-{name}" for name in list(FAMILIES)[1:]))
    found = []
    for name, options in (("inline", Options(inline=True)), ("ray", Options(workers=1))):
        run_rounds(str(tmp_path / "run.yaml"), [], str(tmp_path / name), None, "shard", options)
        verify_run(str(tmp_path / name), quick=False, workers=1)
        found.append(digests(tmp_path / name, (*made, "shards")))
    assert found[0] == found[1] and len(found[0]) > 2 * len(FAMILIES)
    for folder in made:
        rows = [row for path in (tmp_path / "ray" / folder).iterdir() for row in pq.read_table(path).to_pylist()]
        assert len(rows) == 4 and sum(len(row["boxes"]) for row in rows) > 4


def test_a_checkpoint_of_the_hub_is_pinned_in_the_runs_config(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with serving(tmp_path / "cache", monkeypatch) as hub:
        hub.models["owner/owl"] = folders["owlv2"]
        run_until("label", run, settings("owner/owl", **{"label.revision": "main"}))
    config = yaml.safe_load((run / "config.yaml").read_text())["label"]
    assert (config["weights"], config["revision"], config["variant"]) == ("owner/owl", COMMIT, "owlv2")
    before = dict(data_files(run))
    run_stage(None, [], str(run), "label", Options(inline=True, force=True))  # without the hub
    assert dict(data_files(run)) == before
    run_until("label", tmp_path / "other", settings(folders["owlv2"]))
    assert dict(data_files(tmp_path / "other")) == before


def test_without_a_network_one_line_names_the_folder_to_provide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "cache", monkeypatch), pytest.raises(UserError) as caught:
        run_until("label", tmp_path / "run", settings("owner/owl"))
    line = str(caught.value)
    assert line.startswith("label.weights: owner/owl (main): the hub") and "\n" not in line
    assert line.endswith("download it elsewhere, and give the path of its folder instead")


def test_the_config_of_the_page_is_five_lines_that_label(folders: dict[str, Path], tmp_path: Path) -> None:
    """With a checkpoint that is at hand instead of the page's."""
    page = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    assert len(text.splitlines()) == 5 and "llmdet" in text
    (tmp_path / "run.yaml").write_text(text)
    given = [f"run={tmp_path / 'run'}", "ingest.source=scenes", "ingest.count=2", "label.device=cpu"]
    given += [f"label.weights={folders['mm-grounding-dino']}", "label.revision=null"]
    run_rounds(str(tmp_path / "run.yaml"), given, None, None, "shard", Options(inline=True))
    verify_run(str(tmp_path / "run"), quick=False, workers=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_evaluated(family: str, folders: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = settings(folders[family], **{"evaluate.models": "[teacher]", "evaluate.count": 3})
    run_stage(None, given, str(run), "ingest", Options(inline=True))
    run_stage(None, [], str(run), "evaluate", Options(inline=True))
    result = json.loads((run / "evaluation" / "scenes-teacher.json").read_text())
    assert result["failed"] == {} and result["detection"]["all"]["AP"] >= 0
    assert (result["model"]["name"], result["model"]["variant"]) == ("transformers", family)
