"""Model cards: every packaged file of weights has one; what its users must know is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from model import cards
from model.cards import WEIGHTS


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
