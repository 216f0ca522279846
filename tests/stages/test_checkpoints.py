"""What a section with a model comes to, and errors that name its keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from model.checkpoint import sha256
from stages.checkpoints import resolve_checkpoint
from stages.stage import UserError
from tests.hub import COMMIT, serving


@dataclass(frozen=True)
class Section:
    model: str | None = None
    revision: str | None = None
    model_sha256: str | None = None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "config.json").write_text("{}")
    (tmp_path / "it" / "model.safetensors").write_text("weights")
    return tmp_path / "it"


def test_a_folder_and_a_model_of_the_hub(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_checkpoint("rescore", Section()) == {}
    digest = sha256(folder)
    assert resolve_checkpoint("rescore", Section(str(folder))) == {"revision": None, "model_sha256": digest}
    with serving(tmp_path / "cache", monkeypatch) as hub:
        hub.models["owner/name"] = folder
        once = resolve_checkpoint("rescore", Section("owner/name"))
        assert once == {"revision": COMMIT, "model_sha256": digest}
        assert resolve_checkpoint("rescore", Section("owner/name", **once)) == once


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (Section("/nowhere"), r"mask\.model: /nowhere: no such folder"),
        (Section("HERE", None, "ab"), r"mask\.model: sha256 [0-9a-f]{64}, but mask\.model_sha256 asks for ab"),
    ],
)
def test_errors_name_the_key(folder: Path, section: Section, words: str) -> None:
    model = str(folder) if section.model == "HERE" else section.model
    with pytest.raises(UserError, match=words):
        resolve_checkpoint("mask", Section(model, section.revision, section.model_sha256))
