"""The journal: the last word counts, a torn line costs nothing, a damaged one is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.review.journal import Judgement, path_of, read_journal, read_journals
from stages.stage import UserError

BOX = Judgement(
    **{"reviewer": "ann", "kind": "box", "key": "000000000001", "start": 2, "end": 7, "text": "a dog"},
    **{"box": (1.0, 2.5, 30.25, 40.0), "verdict": "right", "labels": "ab", "teacher": "glip-nano", "time": "now"},
)
PHRASE = replace(BOX, kind="phrase", box=None, verdict="there", boxes=((1.0, 1.0, 5.0, 5.0),))


def test_a_line_comes_back_as_it_was() -> None:
    data = BOX.line() + PHRASE.line() + replace(BOX, start=9, end=12, corrected=(0.0, 0.0, 9.0, 9.0)).line()
    assert data.count(b"\n") == 3
    assert read_journal(data, "x") == [BOX, PHRASE, replace(BOX, start=9, end=12, corrected=(0.0, 0.0, 9.0, 9.0))]


def test_the_last_word_counts_and_may_take_back() -> None:
    again = replace(BOX, verdict="wrong_box", time="later")
    assert read_journal(BOX.line() + again.line(), "x") == [again]
    assert read_journal(BOX.line() + replace(BOX, verdict=None).line(), "x") == []


def test_a_line_that_was_cut_off_at_the_end_is_not_there(tmp_path: Path) -> None:
    whole = BOX.line() + PHRASE.line()
    for cut in range(len(BOX.line()) + 1, len(whole) - 1, 40):
        assert read_journal(whole[:cut], "x") == [BOX]


@pytest.mark.parametrize(
    "change",
    [
        *({"verdict": "maybe"}, {"kind": "cat"}, {"key": "../../1"}, {"box": None}, {"box": [5, 5, 1, 1]}, {"more": 1}),
        *({"box": [0, 0, float("inf"), 1]}, {"box": ["a", 0, 1, 1]}),
    ],
)
def test_a_damaged_line_is_named(change: dict[str, object]) -> None:
    record = {**json.loads(BOX.line()), **change}
    with pytest.raises(UserError, match=r"reviews/ann\.jsonl, line 2"):
        read_journal(BOX.line() + json.dumps(record).encode() + b"\n", "reviews/ann.jsonl")


def test_each_reviewer_has_a_file(tmp_path: Path) -> None:
    for name in ("ann", "bob"):
        (tmp_path / "reviews").mkdir(exist_ok=True)
        (tmp_path / path_of(name)).write_bytes(replace(BOX, reviewer=name).line())
    (tmp_path / "reviews/notes.txt").write_text("no journal")
    io = RunFiles(LocalStorage(str(tmp_path)), [], "test", lambda *beat: None)
    assert [judgement.reviewer for judgement in read_journals(io)] == ["ann", "bob"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 41, "a\n", "é"])
def test_a_name_that_makes_no_file_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="reviewer's name"):
        path_of(name)
