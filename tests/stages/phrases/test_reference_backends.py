"""spaCy and NLTK behind the same contract; each runs where its model or data is installed."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from stages.phrases import NounPhraseExtractor, spacy_backend
from stages.stage import UserError

CAPTIONS = [
    "a man in a red shirt",
    "",
    "#tag  A dog ’s\u00a0bowl &amp; it",
    "ein Hund und eine Katze auf dem Sofa",
    "x" * 3000,
    "a dog \ud800 ” beside\u2028the cat\x00",
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


@pytest.mark.parametrize("name", ["spacy", "nltk"])
def test_a_caption_longer_than_a_parse_loses_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = "we saw a dog near the old house . "
    monkeypatch.setattr(spacy_backend, "LONGEST", 5 * len(short))
    ends = {p.end for p in open_or_skip(name).extract([short * 30])[0]}
    assert ends == {i * len(short) + short.index(noun) + len(noun) for i in range(30) for noun in ("dog", "house")}


@pytest.mark.parametrize(("name", "package"), [("spacy", "spacy"), ("nltk", "nltk")])
def test_a_missing_package_is_one_clear_line(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in [package, *[m for m in sys.modules if m.startswith(package + ".")]]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match="pip install") as caught:
        NounPhraseExtractor(name).extract(["a dog"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["spacy", "nltk"])
def test_the_version_holds_a_hash_of_the_model(name: str) -> None:
    assert re.search(r" sha256:[0-9a-f]{64}$", open_or_skip(name).version)
