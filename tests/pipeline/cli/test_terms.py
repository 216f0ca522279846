"""A packaged teacher's terms are told: on the console, in the report, on the export's card."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model import cards
from model.checkpoint import packaged_weights, sha256
from pipeline.cli import app

PHOTOS = Path(__file__).resolve().parents[3] / "configs" / "photos"

SCENES = "{corpus: tiny, ingest: {source: scenes, count: 3}, filter: {min_score: 0.1}, label: {teacher: glip-nano}}\n"
ABOUT = "For research & evaluation alone."


def phrasebox(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize("told", [True, False])
def test_terms_go_with_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    (tmp_path / "glip-nano.md").write_text(f"# glip-nano\n\n{'> ' if told else ''}{ABOUT}\n")
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(SCENES)
    said = phrasebox("run", str(config), "--run", str(run), "--until", "audit", "--inline")
    phrasebox("export", str(run), "--format", "card")
    stats = json.loads((run / "report" / "stats.json").read_text())
    page, card = ((run / name).read_text() for name in ("report/index.html", "shards/README.md"))
    assert said.splitlines().count(f"glip-nano: {ABOUT}") == told
    assert stats["teacher_note"] == (ABOUT if told else None)
    assert ("For research &amp; evaluation alone." in page) == told
    assert ("| about the teacher | For research & evaluation alone. |" in card) == told
    assert ABOUT not in phrasebox("run", str(config), "--run", str(run), "--until", "ingest", "--inline")


def test_a_card_that_changes_changes_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    config, run, card = tmp_path / "config.yaml", tmp_path / "run", tmp_path / "glip-nano.md"
    config.write_text(SCENES)
    for about in ("For scenes.", "For drawings."):
        card.write_text(f"# glip-nano\n\n> {about}\n")
        phrasebox("run", str(config), "--run", str(run), "--until", "audit", "--inline")
        assert json.loads((run / "report" / "stats.json").read_text())["teacher_note"] == about


def test_research_only_goes_with_labels_of_photos(tmp_path: Path) -> None:
    """The packaged photo teacher, as it is: on the console, in shards, report and card, and by `teacher info`."""
    run = tmp_path / "run"
    said = phrasebox("run", "--source", str(PHOTOS), "--run", str(run), "--set", "ingest.count=2", "--inline")
    phrasebox("export", str(run), "--format", "card")
    told = cards.note("glip-photos") or ""
    assert "research and evaluation" in told
    assert said.splitlines().count(f"glip-photos: {told}") == 1
    assert json.loads((run / "report" / "stats.json").read_text())["teacher_note"] == told
    assert "research and evaluation" in (run / "report" / "index.html").read_text()
    assert "research and evaluation" in (run / "shards" / "README.md").read_text()
    with tarfile.open(run / "shards" / "0000000-000.tar") as shard:
        names = [name for name in shard.getnames() if name.endswith(".json")]
        teachers = {json.load(shard.extractfile(name) or pytest.fail(name))["teacher"] for name in names}
    digest = sha256(packaged_weights("glip-photos"))
    assert teachers == {f"glip-photos@{digest[:12]} (for research and evaluation only)"}
    assert "Terms: for research and evaluation only." in phrasebox("teacher", "info", "glip-photos").splitlines()


def test_a_second_teacher_tells_its_terms(tmp_path: Path) -> None:
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(SCENES.replace("{teacher: glip-nano}", "{teachers: [glip-nano, glip-photos]}"))
    said = phrasebox("run", str(config), "--run", str(run), "--until", "audit", "--inline")
    assert [line.partition(":")[0] for line in said.splitlines() if "teacher pull glip-t" in line] == [
        "glip-nano",
        "glip-photos",
    ]
    note = json.loads((run / "report" / "stats.json").read_text())["teacher_note"]
    assert note == f"{cards.note('glip-nano')} Beside it, glip-photos: {cards.note('glip-photos')}"
