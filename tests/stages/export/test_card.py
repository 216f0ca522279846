"""The dataset card says what the run is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from stages.stage import UserError
from tests.stages.export.exported import Exported


def test_the_card(exported: Callable[..., Exported], run: Any) -> None:
    with pytest.raises(UserError, match="run `phrasebox audit` first"):
        exported("card")
    run.audit()
    export = exported("card")
    text = export.path("README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["annotations_creators"] == ["machine-generated"] and card["size_categories"] == ["n<1K"]
    boxes = sum(len(row["boxes"]) for row in run.rows["pseudo"])
    assert f"| boxes | {boxes:,} |" in body
    assert f"| `CC0` | {len(run.rows['pairs'])} |" in body
    assert "| filter | score > 0.5, NMS per phrase at IoU 0.6 |" in body
    assert "is the image with its original bytes and a JSON" in body


def test_the_card_of_a_run_lies_beside_its_shards_and_the_run_stays_in_order(tmp_path: Path) -> None:
    """By the commands: verify takes no offence at the card, and its licence is that of the scenes' images."""
    cli = CliRunner()

    def phrasebox(*arguments: str) -> None:
        result = cli.invoke(app, arguments)
        assert result.exit_code == 0, (result.output, result.exception)

    config = tmp_path / "config.yaml"
    config.write_text("{corpus: tiny, ingest: {source: scenes, count: 4}, filter: {min_score: 0.1}}\n")
    run = str(tmp_path / "run")
    phrasebox("run", str(config), "--run", run, "--until", "audit", "--inline")
    phrasebox("export", run, "--format", "card")
    phrasebox("verify", run)
    text = (tmp_path / "run" / "shards" / "README.md").read_text("utf-8")
    assert "| source | `scenes` (`scenes`) |" in text and "| `OFL-1.1` | 4 |" in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["language_creators"] == ["machine-generated"] and front["license_name"] == "OFL-1.1"
