"""Model cards: every packaged file of weights has one; what its users must know is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from model import cards
from model.cards import WEIGHTS
from model.checkpoint import packaged_weights, sha256
from schemas.config import LabelConfig


def test_every_packaged_file_has_a_card() -> None:
    assert cards.cards() == sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))
    assert all(cards.card(name).startswith(f"# {name}\n") for name in cards.cards())


def test_every_packaged_teacher_says_in_a_line_where_a_real_one_is() -> None:
    notes = [cards.note(name) or "" for name in cards.cards()]
    assert len(notes) >= 1
    assert all("photos" in note and "`phrasebox teacher pull glip-t`" in note and len(note) < 300 for note in notes)


def test_the_quoted_paragraph_is_a_line_for_whoever_uses_the_packaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    (tmp_path / "glip-a.md").write_text("# glip-a\n\n> For research\n> alone.\n\nMore.\n")
    (tmp_path / "glip-b.md").write_text("# glip-b\n\nFor everybody.\n")
    assert cards.note("glip-a") == "For research alone."
    assert cards.note("glip-a", "mine.safetensors") is None
    assert cards.note("glip-b") is None and cards.note("glip-c") is None


def test_the_weights_of_photos_limit_what_their_labels_may_be_used_for() -> None:
    photos, nano = LabelConfig(teacher="glip-photos"), LabelConfig(teacher="glip-nano")
    assert cards.terms(photos) == "for research and evaluation only"
    assert cards.terms(nano) is None
    assert "research and evaluation" in cards.notes(photos)["glip-photos"]


def test_a_copy_of_the_packaged_file_has_its_card_and_another_file_none() -> None:
    digest = sha256(packaged_weights("glip-photos"))
    copy = LabelConfig(teacher="glip-photos", weights="copy.safetensors", weights_sha256=digest)
    assert cards.terms(copy) == "for research and evaluation only"
    assert cards.notes(copy) == {"glip-photos": cards.note("glip-photos")}
    other = copy.model_copy(update={"weights_sha256": "0" * 64})
    assert cards.terms(other) is None and cards.notes(other) == {}


def test_a_further_teacher_brings_its_card() -> None:
    label = LabelConfig.model_validate({"teacher": "glip-nano", "teachers": ["glip-nano", "glip-photos"]})
    assert list(cards.notes(label)) == ["glip-nano", "glip-photos"]
    assert cards.terms(label) == "for research and evaluation only"
