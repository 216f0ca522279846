"""What the chunker is trained on: annotated captions, made-up ones, and the mended labels of parsers."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "benchmarks" / "chunker"))
import augment  # noqa: E402
import fit  # noqa: E402
import mend  # noqa: E402
import patterns  # noqa: E402
import real  # noqa: E402
import templates  # noqa: E402


def well_formed(row: dict[str, Any]) -> bool:
    end = 0
    for start, stop in row["spans"]:
        text = row["caption"][start:stop]
        if not (end <= start < stop <= len(row["caption"])) or text != text.strip():
            return False
        end = stop
    return True


def test_annotated_captions_are_well_formed() -> None:
    rows = fit.read_annotated(ROOT / "benchmarks" / "chunker" / "annotated.txt")
    assert len(rows) >= 1000
    assert all(well_formed(row) for row in rows)


def test_real_captions_are_told_by_place_and_hold_no_text(tmp_path: Path) -> None:
    places, splits = set(), {"dev": 0, "train": 0}
    for entry in real.REAL.read_text(encoding="utf-8").splitlines():
        file, line, check, split, spans = entry.split("\t")
        places.add((file, int(line)))
        splits[split] += 1
        edges = [int(edge) for span in spans.split() for edge in span.split("-")]
        assert edges == sorted(edges) and len(check) == 8
    assert len(places) == sum(splits.values()) and min(splits.values()) >= 150


def test_another_caption_file_is_an_error(tmp_path: Path) -> None:
    table, captions = tmp_path / "real.tsv", tmp_path / "captions.tsv"
    captions.write_text("a dog\nx#1\ta cat sleeps\n", encoding="utf-8")
    table.write_text(f"captions.tsv\t2\t{real.check_of('a cat sleeps')}\tdev\t0-5\n", encoding="utf-8")
    (row,) = real.real_rows([captions], ("dev",), table)
    assert (row["caption"], row["spans"]) == ("a cat sleeps", [[0, 5]])
    assert real.real_rows([captions], ("train",), table) == []
    captions.write_text("a dog\nx#1\ta cat sits\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"captions\.tsv, line 2"):
        real.real_rows([captions], ("dev",), table)


def test_made_up_and_web_like_captions_keep_their_spans() -> None:
    rng = random.Random(5)
    line = augment.line_of({"caption": "a man in the dog 's red coat , waves", "spans": [[0, 5], [9, 28]]})
    bank = templates.phrase_bank([line])
    assert [" ".join(word.text for word in phrase) for phrase in bank] == ["a man", "the dog 's red coat"]
    for _ in range(300):
        assert well_formed(augment.row_of(patterns.made_up(bank, rng)))
        assert well_formed(augment.row_of(augment.websome(line, rng)))


@pytest.mark.parametrize(
    ("text", "tags", "chunks", "expected"),
    [
        ("close up of a bee", "VB RP IN DT NN", [(3, 5)], ["close up", "a bee"]),
        ("a close up shot of bees", "DT JJ RP NN IN NNS", [(0, 4), (5, 6)], ["a close up shot", "bees"]),
        ("they close up the shop", "PRP VBP RP DT NN", [(0, 1), (3, 5)], ["the shop"]),
        ("boy in a hat", "UH IN DT NN", [(2, 4)], ["boy", "a hat"]),
        ("cross the road", "VB DT NN", [(1, 3)], ["the road"]),
        ("two cats and dogs", "CD NNS CC NNS", [(0, 2), (3, 4)], ["two cats", "dogs"]),
        ("a bus in front of it", "DT NN IN NN IN PRP", [(0, 2), (3, 4), (5, 6)], ["a bus"]),
    ],
)
def test_mended_parses(text: str, tags: str, chunks: list[tuple[int, int]], expected: list[str]) -> None:
    forms = text.split()
    heads, deps = list(range(len(forms))), ["dep"] * len(forms)
    spans = mend.mend(mend.Parse(forms, [True] * len(forms), tags.split(), deps, heads, chunks))
    assert [" ".join(forms[start:end]) for start, end in spans] == expected
