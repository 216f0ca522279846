"""What is said about the time left."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.run import progress
from pipeline.run.failures import Failure
from pipeline.run.progress import Tally
from pipeline.run.target import part_target
from pipeline.storage.open import open_storage


def beat(done: int, total: int, stage: str = "train") -> dict[str, Any]:
    return {"stage": stage, "done": done, "total": total, "message": ""}


def test_time_left_counts_from_where_this_count_of_steps_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    tally = Tally("train", total=1, done=0, result=True)
    for second in (0, 30, 60):
        now = 100.0 + second
        tally.look([beat(5 * second, 300)])  # crops: 5 a second
    now = 165.0
    tally.look([beat(0, 1000)])  # then steps
    assert tally.time_left == ""
    now = 175.0
    tally.look([beat(10, 1000), beat(7, 9, "label")])  # 1 a second
    assert tally.time_left == progress.clock(990)


def test_a_resumed_training_does_not_count_what_was_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    tally = Tally("train", total=1, done=0, result=True)
    now = 5.0
    tally.look([beat(800, 1000)])
    now = 55.0
    tally.look([beat(850, 1000)])
    assert tally.time_left == progress.clock(150)


def test_what_data_say_does_not_reach_the_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    display = progress.Display(open_storage("nowhere"))
    display.begin("phrases", total=1, done=0)
    display.failed(Failure("phrases", part_target(7), "a \x1b[2Jcaption\r with\x07 \u202eevil\u2066, ünd 猫"), "")
    display.end()
    said = capsys.readouterr().err
    assert said == "phrases, part 7 failed: a \\x1b[2Jcaption\\x0d with\\x07 \\x202eevil\\x2066, ünd 猫\n"
