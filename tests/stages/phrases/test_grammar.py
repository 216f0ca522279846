"""The published chunk grammar."""

from __future__ import annotations

from stages.phrases.grammar import grammar_spans


def test_published_grammar() -> None:
    assert grammar_spans(["DT", "JJ", "NN", "VBZ", "NN", "NNS", "IN", "DT", "CC", "PRP"]) == [(0, 3), (4, 6)]
