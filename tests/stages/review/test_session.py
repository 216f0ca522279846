"""A sitting without a browser: tasks, images, and judgements that are refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from stages.review.session import BadRequest, crop_area, refuse_empty
from stages.stage import RowError, UserError
from tests.stages.review.sitting import lines, session_of


@pytest.fixture
def run(shapes: Callable[..., Any]) -> Any:
    return shapes(part_size=40).fill(80)


def test_tasks_say_what_is_shown_and_what_was_said(run: Any) -> None:
    session = session_of(run, 20, 5)
    session.judge({"reviewer": "ann", "task": 3, "verdict": "wrong_phrase"})
    session.judge({"reviewer": "ann", "task": 22, "verdict": "there", "boxes": [[1, 2, 30, 40]]})
    tasks = session.state("ann")["tasks"]
    assert [task["kind"] for task in tasks] == ["box"] * 20 + ["phrase"] * 5
    assert [i for i, task in enumerate(tasks) if task["verdict"]] == [3, 22]
    assert tasks[22]["boxes"] == ((1.0, 2.0, 30.0, 40.0),)
    phrases = {row["key"]: row for row in run.rows["phrases"]}
    for task, unit in zip(tasks, session.units, strict=True):
        assert task["caption"] == phrases[unit.key]["caption"] and task["box"] == unit.corners
        assert "score" not in task  # who sees it would believe it
    assert all(task["verdict"] is None for task in session.state("bob")["tasks"])


def test_a_judgement_says_what_it_is_of(run: Any) -> None:
    session = session_of(run, 20, 0)
    session.judge({"reviewer": "ann", "task": 0, "verdict": "right"})
    session.judge({"reviewer": "ann", "task": 0, "verdict": None})
    first, second = lines(run, "ann")
    unit = session.units[0]
    caption = next(row["caption"] for row in run.rows["pairs"] if row["key"] == unit.key)
    assert (first["key"], tuple(first["box"]), first["verdict"]) == (unit.key, unit.corners, "right")
    assert first["text"] == caption[unit.span[0] : unit.span[1]] and second["verdict"] is None
    part = run.root / "labels" / f"part-{unit.key[:7]}.parquet"
    import hashlib

    assert first["labels"] == hashlib.sha256(part.read_bytes()).hexdigest()
    assert first["teacher"] == run.config.label.teacher


@pytest.mark.parametrize(
    "request_",
    [
        {"task": 0, "verdict": "there", "boxes": [[0, 0, 5, 5]]},
        {"task": 0, "verdict": "right", "boxes": [[0, 0, 5, 5]]},
        {"task": 21, "verdict": "right"},
        {"task": 21, "verdict": "there"},
        {"task": 21, "verdict": "there", "boxes": [[5, 5, 0, 0]]},
        {"task": 21, "verdict": "there", "boxes": "all"},
        {"task": -1, "verdict": "right"},
        {"task": 99, "verdict": "right"},
        {"task": "0", "verdict": "right"},
        {"verdict": "right"},
        {"task": 0},
        [1, 2],
        None,
    ],
)
def test_what_our_page_would_not_send_is_refused(run: Any, request_: Any) -> None:
    session = session_of(run, 20, 5)
    named = {**request_, "reviewer": "ann"} if isinstance(request_, dict) else request_
    with pytest.raises(BadRequest):
        session.judge(named)
    with pytest.raises(UserError, match="reviewer's name"):
        session.judge({"reviewer": "../ann", "task": 0, "verdict": "right"})
    assert not (run.root / "reviews").exists()


def test_the_crop_shows_the_box_and_the_image_all(run: Any) -> None:
    session = session_of(run, 20, 0)
    shown = next(i for i, unit in enumerate(session.units) if session.samples[unit.key].pair.image)
    with Image.open(io.BytesIO(session.image(shown))) as image:
        assert image.size == (320, 240)
    x1, y1, x2, y2 = crop_area(session.units[shown].corners or (0, 0, 1, 1), (320, 240))
    with Image.open(io.BytesIO(session.crop(shown))) as crop:
        assert crop.width / crop.height == pytest.approx((x2 - x1) / (y2 - y1), rel=0.05)
        assert crop.width <= 700


def test_an_image_that_cannot_be_shown_has_a_reason(run: Any) -> None:
    session = session_of(run, 20, 0)
    key = session.units[0].key
    (run.root / "images" / f"{key}.jpg").write_bytes(b"another")
    with pytest.raises(RowError, match=r"image_changed|no_image|missing_image"):
        session.image(0)


@pytest.mark.parametrize(
    ("corners", "area"), [((0, 0, 10, 10), (0, 0, 18, 18)), ((90, 50, 100, 80), (82, 39, 100, 80))]
)
def test_a_crop_lies_in_its_image(corners: Any, area: Any) -> None:
    assert crop_area(corners, (100, 80)) == area


def test_nothing_to_judge_is_said() -> None:
    with pytest.raises(UserError, match="no box and no phrase"):
        refuse_empty([], "runs/x")
