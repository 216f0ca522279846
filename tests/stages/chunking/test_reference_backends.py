"""spaCy and NLTK behind the same contract; each runs where its model or data is installed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from stages.phrases import NounPhraseExtractor
from stages.stage import UserError

CAPTIONS = [
    "a man in a red shirt",
    "",
    "#tag  A dog ’s\u00a0bowl &amp; it",
    "ein Hund und eine Katze auf dem Sofa",
    "x" * 3000,
]


def open_or_skip(name: str) -> NounPhraseExtractor:
    pytest.importorskip(name)
    extractor = NounPhraseExtractor(name)
    try:
        assert extractor.version
    except UserError as error:
        assert "pip install" in str(error) and "\n" not in str(error)
        pytest.skip(str(error))
    return extractor


@pytest.mark.parametrize("name", ["spacy", "nltk"])
def test_reference_backends_keep_the_contract(name: str) -> None:
    found = open_or_skip(name).extract(CAPTIONS)
    assert [phrase.text for phrase in found[0]] == ["a man", "a red shirt"]
    assert found[1] == [] and found[3] == []
    assert found[2][-1].text.startswith("A dog")  # neither the tag nor the pronoun
    for caption, phrases in zip(CAPTIONS, found, strict=True):
        assert all(caption[p.start : p.end] == p.text for p in phrases)
        assert all(a.end <= b.start for a, b in pairwise(phrases))


@pytest.mark.parametrize(("name", "package"), [("spacy", "spacy"), ("nltk", "nltk")])
def test_a_missing_package_is_one_clear_line(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in [package, *[m for m in sys.modules if m.startswith(package + ".")]]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match="pip install") as caught:
        NounPhraseExtractor(name).extract(["a dog"])
    assert "\n" not in str(caught.value)
