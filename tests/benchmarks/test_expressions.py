"""Scores of expressions on made-up rows; the annotations as they are stored; and the figures that the page quotes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from benchmarks.expressions import TABLE, Row, annotated, grit, scores
from benchmarks.record import ROOT
from recipes.chunker.captions import lines_of

RECORDED = ROOT / "benchmarks" / "results" / "expressions.json"


def test_scores_count_exact_spans() -> None:
    rows = [
        Row("a dog in a field", "dev", [(0, 5), (9, 16)], {(0, 16)}, {(0, 16)}),
        Row("a cat", "dev", [(0, 5)], {(0, 5)}, set()),
    ]
    assert scores(lambda row: sorted(row.gold), rows)["exact_f1"] == 1.0
    nothing_grows = scores(lambda row: row.phrases, rows)
    assert (nothing_grows["precision"], nothing_grows["recall"]) == (0.333, 0.5)
    assert nothing_grows["exact_f1"] == 0.4 and nothing_grows["grown_recall"] == 0.0
    assert nothing_grows["interval"] == [0.0, 1.0]


def test_the_table_names_captions_and_has_no_text(tmp_path: Path) -> None:
    lines = [line.split("\t") for line in lines_of(TABLE)]
    assert [line[3] for line in lines] == ["dev"] * 398 + ["test"] * 117
    assert len({(line[0], line[1]) for line in lines}) == 515
    for _, _, check, _, phrases, spans in lines:
        assert re.fullmatch(r"[0-9a-f]{8}", check)
        given = {tuple(map(int, span.split("-"))) for span in phrases.split()}
        grown = [tuple(map(int, span.split("-"))) for span in spans.split()]
        assert all((start, end) in given and end <= last for start, end, last in grown) and spans
    for name in {line[0] for line in lines}:
        (tmp_path / name).write_text("another caption\tx\n" * 20_000, encoding="utf-8")
    with pytest.raises(ValueError, match="not the caption that was annotated"):
        list(annotated(tmp_path))


def test_a_row_is_read_with_its_caption(tmp_path: Path) -> None:
    caption = "a dog in a field"
    check = hashlib.sha256(caption.encode()).hexdigest()[:8]
    (tmp_path / "one.tsv").write_text(f"other\tx\n{caption}\thttp://x\n", encoding="utf-8")
    table = tmp_path / "table.tsv"
    table.write_text(f"one.tsv\t2\t{check}\ttest\t0-5 9-16\t0-5-16\n", encoding="utf-8")
    assert list(annotated(tmp_path, table)) == [Row(caption, "test", [(0, 5), (9, 16)], {(0, 16)}, {(0, 16)})]


def test_grits_recipe_on_a_parse() -> None:
    spacy = pytest.importorskip("spacy")
    words = ["a", "dog", "in", "a", "field", "."]
    parse = spacy.tokens.Doc(
        spacy.blank("en").vocab,
        words=words,
        spaces=[True, True, True, True, False, False],
        pos=["DET", "NOUN", "ADP", "DET", "NOUN", "PUNCT"],
        heads=[1, 1, 1, 4, 2, 1],
        deps=["det", "ROOT", "prep", "det", "pobj", "punct"],
    )
    row = Row(parse.text, "dev", [(0, 5), (9, 16)], set(), set())
    assert grit(lambda caption: parse, True, row) == grit(lambda caption: parse, False, row) == [(0, 16), (9, 16)]


def test_the_page_quotes_the_record() -> None:
    result = json.loads(RECORDED.read_text("utf-8"))
    page = (ROOT / "docs" / "phrases.md").read_text("utf-8")
    spacy = [f"spacy_{size}_{on}" for size in ("sm", "md") for on in ("own_chunks", "on_the_annotated_phrases")]
    for name in ("ours", *spacy):
        test = result[name]["test"]
        low, high = test["interval"]
        assert f"| {test['exact_f1']:.3f} ({low:.3f} to {high:.3f}) | {test['grown_recall']:.3f} |" in page
    assert result["ours"]["test"]["exact_f1"] >= 0.85
