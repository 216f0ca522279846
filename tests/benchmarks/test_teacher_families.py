"""The benchmark of detectors of transformers runs both sides and counts right; how fast anything is, is not tested."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from benchmarks import teacher_families
from benchmarks.detectors import FAMILIES, clip_tokenizer
from benchmarks.teacher_families import measured, ratios, texts_of
from benchmarks.teacher_measure import Pair, scenes
from model.teachers import transformers


def test_the_families_are_those_of_the_teacher() -> None:
    assert set(FAMILIES) == set(transformers.FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["owlvit", "omdet-turbo"])  # with the library's pipeline, and without
def test_a_rehearsal_measures_both_sides(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.json"
    arguments = ["--rehearse", "--family", family, "--count", "1", "--rounds", "1", "--batch-sizes", "1"]
    monkeypatch.setattr(sys, "argv", ["teacher_families", *arguments, "--out", str(out)])
    teacher_families.main()
    result = json.loads(out.read_text())
    (found,) = result["families"]
    (row,) = found["rows"]
    assert found["family"] == family and row["ours"] > 0 and row["library"] > 0
    assert found["ratio_at_1"] == found["ratio_at_best"] == pytest.approx(row["ours"] / row["library"], abs=0.01)
    assert row["ours_range"] == [row["ours"]] * 2 and found["phrases_per_image"] == len(texts_of(scenes(1)[0]))
    assert found["command"].endswith("--batch-sizes 1") and found["threads"] == 1
    monkeypatch.setattr(teacher_families, "of_family", lambda name, *_: {"family": name, "new": True})
    monkeypatch.setattr(sys, "argv", ["teacher_families", "--rehearse", "--family", "owlv2", "--out", str(out)])
    teacher_families.main()
    kept = {entry["family"]: entry for entry in json.loads(out.read_text())["families"]}
    assert kept == {family: found, "owlv2": {"family": "owlv2", "new": True}}


def test_ratios_are_of_batches_of_one_and_of_the_best() -> None:
    rows = [
        {"batch_size": 1, "ours": 3.0, "library": 2.0},
        {"batch_size": 4, "ours": 6.0, "library_failed": "sizes differ"},
        {"batch_size": 8, "ours": 5.0, "library": 4.0},
    ]
    assert ratios(rows) == {"ratio_at_1": 1.5, "ratio_at_best": 1.5}
    assert ratios(rows[1:2]) == {"ratio_at_1": None, "ratio_at_best": None}


def test_what_a_side_cannot_do_is_said() -> None:
    calls: list[tuple[str, int]] = []

    def good(pairs: Sequence[Pair], batch_size: int) -> Iterable[int]:
        calls.append(("good", len(pairs)))
        return [1 for _ in pairs]

    def bad(pairs: Sequence[Pair], batch_size: int) -> Iterable[int]:
        calls.append(("bad", len(pairs)))
        raise RuntimeError("sizes differ\nand more")

    row = measured({"ours": good, "library": bad}, scenes(3), 2, rounds=2)
    assert row["library_failed"] == "sizes differ" and row["ours"] > 0 and "library" not in row
    assert calls == [("good", 2), ("bad", 2), ("good", 3), ("good", 3)]


def test_both_sides_are_asked_for_the_same_phrases() -> None:
    (pair,) = scenes(1)
    assert texts_of(pair) == [pair.caption[start:end] for ((start, end),) in pair.spans] and texts_of(pair)


def test_words_are_single_tokens() -> None:
    tokenizer = clip_tokenizer(["red", "umbrella", "umbrellas", "a"])
    assert tokenizer.tokenize("a Red umbrella") == ["a</w>", "red</w>", "umbrella</w>"]
