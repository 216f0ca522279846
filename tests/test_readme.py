"""The README's config of three models runs as it stands, with tiny checkpoints and our photographs in their places."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import app
from tests.checkpoints import write_checkpoint
from tests.model import tiny_sam
from tests.similarity_models import save_checkpoint

ROOT = Path(__file__).resolve().parents[1]
PLACES = {"label.weights": "llmdet", "rescore.model": "siglip", "mask.model": "sam2", "ingest.source": "photos"}


def config_of_the_readme() -> str:
    (found,) = (ROOT / "README.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    return found.partition("```")[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("readme")
    mine = {
        "label.weights": write_checkpoint("mm-grounding-dino", top / "llmdet"),
        "rescore.model": save_checkpoint("siglip", top / "siglip"),
        "mask.model": tiny_sam.save("sam2", top / "sam2"),
        "ingest.source": ROOT / "configs" / "photos",
    }
    (top / "my.yaml").write_text(config_of_the_readme())
    given = [f"--set={key}={value}" for key, value in mine.items()]
    arguments = ["run", str(top / "my.yaml"), "--run", str(top / "run"), "--until", "audit", "--inline", *given]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return top / "run"


def rows(run: Path, dataset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((run / dataset).glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_it_is_five_lines_with_the_keys_that_the_test_replaces() -> None:
    text = config_of_the_readme()
    tree = yaml.safe_load(text)
    assert len(text.splitlines()) == len(tree) == 5
    for key, name in PLACES.items():
        section, _, field = key.partition(".")
        assert name in tree[section][field]


def test_boxes_are_labelled_looked_at_again_and_cut_out(run: Path) -> None:
    rules = yaml.safe_load(config_of_the_readme())["filter"]
    tables = [rows(run, name) for name in ("labels", "scores", "pseudo", "masks")]
    kept = low = 0
    for labels, scores, pseudo, masks in zip(*tables, strict=True):
        assert labels["key"] == scores["key"] == pseudo["key"] == masks["key"]
        assert len(masks["masks"]) == len(pseudo["boxes"])
        gone = {entry["box"]: entry["reason"] for entry in pseudo["dropped"]}
        for number, (box, score) in enumerate(zip(labels["boxes"], scores["boxes"], strict=True)):
            if number not in gone:
                assert box["score"] > rules["min_score"] and score["score"] > rules["min_region_score"]
                kept += 1
            elif gone[number] == "low_region_score":
                assert score["score"] <= rules["min_region_score"]
                low += 1
    assert kept > 10 and low > 10


def test_shards_and_report_have_what_the_three_made(run: Path) -> None:
    records = []
    for path in sorted((run / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            records += [json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")]  # type: ignore[arg-type]
    boxes = [box for record in records for box in record["boxes"]]
    assert len(boxes) == sum(len(row["boxes"]) for row in rows(run, "pseudo"))
    assert all(box["segmentation"]["counts"] for box in boxes)
    assert {record["teacher"].partition("@")[0] for record in records} == {"mm-grounding-dino"}
    stats = json.loads((run / "report/stats.json").read_text())
    assert stats["scores"]["boxes"] > 0 and stats["masks"]["masks"] == len(boxes)
    done = CliRunner().invoke(app, ["verify", str(run)])
    assert done.exit_code == 0 and "all in order" in done.output
