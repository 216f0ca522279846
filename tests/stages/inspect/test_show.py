"""Single samples as images and text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.inspect.show import COLOURS, TINT, show
from stages.rle import encode
from stages.stage import UserError


def test_show_draws_the_kept_boxes_in_their_colours(run: Any) -> None:
    row = next(r for r in run.rows["pseudo"] if len(r["boxes"]) == 1 and r["boxes"][0]["x1"] > 40)
    (shown,) = show(run.all_parts(), [row["key"]])
    box = row["boxes"][0]
    assert shown.lines[0].startswith(row["key"]) and f"{box['score']:.3f}" in shown.lines[1] and len(shown.lines) == 2
    pixels = np.asarray(Image.open(io.BytesIO(shown.png)).convert("RGB")).astype(int)
    scale = pixels.shape[1] / row["width"]
    colour = _rgb(COLOURS[box["phrase"] % 8])
    left = pixels[round((box["y1"] + box["y2"]) / 2 * scale), round(box["x1"] * scale) + 1]
    assert (left == colour).all()


def test_show_lays_the_colour_of_a_box_over_its_mask(run: Any, shapes: Callable[..., Any]) -> None:
    """A mask in the left half of the box: the right half of the image under it stays as it is."""
    plain = shapes(seed=7).fill(20)
    row = next(
        r for r in plain.rows["pseudo"] if len(r["boxes"]) == 1 and r["boxes"][0]["x2"] - r["boxes"][0]["x1"] > 60
    )
    (before,) = show(plain.all_parts(), [row["key"]])
    box, pixels = row["boxes"][0], np.zeros((row["height"], row["width"]), np.bool_)
    x1, y1, x2, y2 = (round(box[side]) for side in ("x1", "y1", "x2", "y2"))
    pixels[y1:y2, x1 : (x1 + x2) // 2] = True
    mask = {"counts": encode(pixels), "height": row["height"], "width": row["width"], "score": 0.5}
    rows = [{"key": r["key"], "masks": [mask] if r is row else []} for r in plain.rows["pseudo"]]
    plain.write("masks", 0, rows)
    (after,) = show(plain.all_parts(), [row["key"]])
    drawings = [np.asarray(Image.open(io.BytesIO(s.png)).convert("RGB")).astype(int) for s in (before, after)]
    scale = drawings[0].shape[1] / row["width"]
    y = round((y1 + y2) / 2 * scale)
    left, right = round((x1 * 3 + x2) / 4 * scale), round((x1 + x2 * 3) / 4 * scale)
    colour = _rgb(COLOURS[box["phrase"] % 8])
    assert (drawings[0][y, right] == drawings[1][y, right]).all()
    mixed = drawings[0][y, left] + (colour - drawings[0][y, left]) * TINT / 255
    assert drawings[1][y, left] == pytest.approx(mixed, abs=1.5)


def test_show_draws_boxes_that_coincide_inside_each_other(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(2, until="phrases", gold=False)  # its first row is a reject
    row = next(row for row in run.rows["phrases"] if len(row["phrases"]) > 1)
    boxes = [
        {"phrase": p, "x1": 50.0, "y1": 60.0, "x2": 250.0, "y2": 200.0, "score": s} for p, s in ((0, 0.9), (1, 0.8))
    ]
    labels = {"key": row["key"], "width": 320, "height": 240, "boxes": boxes, "dropped": []}
    for dataset in ("labels", "pseudo"):
        run.write(dataset, 0, [labels])
    (shown,) = show(run.all_parts(), [row["key"]])
    pixels = np.asarray(Image.open(io.BytesIO(shown.png)).convert("RGB")).astype(int)
    scale = pixels.shape[1] / 320
    across = pixels[round(150 * scale), round(50 * scale) : round(50 * scale) + 8]
    seen = [[i for i in (0, 1) if (pixel == _rgb(COLOURS[i])).all()] for pixel in across]
    assert [0] in seen and [1] in seen and seen.index([0]) < seen.index([1])


def _rgb(colour: str) -> Any:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def test_show_by_phrase_and_threshold(run: Any) -> None:
    found = list(show(run.all_parts(), phrase=" Red   BALL", limit=3))
    norms = {row["key"]: [p["norm"] for p in row["phrases"]] for row in run.rows["phrases"]}
    expected = [
        r["key"] for r in run.rows["pseudo"] if any(norms[r["key"]][b["phrase"]] == "red ball" for b in r["boxes"])
    ]
    assert [shown.key for shown in found] == expected[:3]
    key = next(row["key"] for row in run.rows["labels"] if len(row["boxes"]) > 3)
    labels = next(row for row in run.rows["labels"] if row["key"] == key)
    (shown,) = show(run.all_parts(), [key], threshold=0.2)
    assert len(shown.lines) - 1 == sum(box["score"] > 0.2 for box in labels["boxes"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name a key"),
        ({"keys": ["12"]}, "'12' is no key"),
        ({"keys": ["000000000000"]}, "no pair 000000000000"),  # rejected at ingest
        ({"keys": ["000000900000"]}, "no pair 000000900000"),
        ({"phrase": "unicorn"}, "no box of the phrase 'unicorn'"),
    ],
)
def test_show_says_what_is_wrong(run: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(show(run.all_parts(), **options))


def test_show_cannot_steer_a_terminal(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(3)
    pair = {**run.rows["pairs"][0], "caption": "a ball \x1b[2J\u202e and a kite"}
    run.write("pairs", 0, [pair])
    (shown,) = show(run.all_parts(), [pair["key"]])
    assert "\x1b" not in shown.lines[0] and "\u202e" not in shown.lines[0] and r"\x1b[2J\u202e" in shown.lines[0]


def test_show_without_a_image(run: Any) -> None:
    key = next(row["key"] for row in run.rows["pairs"] if row["image"] is None)
    (shown,) = show(run.all_parts(), [key])
    assert shown.png is None and shown.lines[-1] == "  no image: no_image"


def test_show_says_what_rescore_says(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(2, until="phrases", gold=False)  # its first row is a reject
    row = next(row for row in run.rows["phrases"] if len(row["phrases"]) > 1)
    place = {"x1": 50.0, "y1": 60.0, "x2": 250.0, "y2": 200.0}
    boxes = [{"phrase": 0, **place, "score": score} for score in (0.9, 0.8, 0.3)]
    labels = {"key": row["key"], "width": 320, "height": 240, "boxes": boxes, "dropped": []}
    run.write("labels", 0, [labels])
    kept = [{**boxes[0]}, {**boxes[1], "phrase": 1, "score": 0.5}]  # the second was given to the other phrase
    gone = {"dropped": [{"box": 2, "reason": "not_scored"}]}
    run.write("pseudo", 0, [{**labels, "boxes": kept, **gone}])
    cosines = ((0.25, 0.25), (0.125, 0.5))  # of their own phrases, and of the best ones
    opinions = [{"score": own, "best_phrase": n, "best_score": best} for n, (own, best) in enumerate(cosines)]
    run.write("scores", 0, [{"key": row["key"], "image": 0.375, "boxes": [*opinions, {}]}])
    first, second = (phrase["norm"] for phrase in row["phrases"][:2])
    (shown,) = show(run.all_parts(), [row["key"]])
    corners = "[50, 60, 250, 200]"
    assert shown.lines[1:] == [
        "  image and caption 0.375",
        f"  0.900  {first}  {corners}  crop 0.250",
        f"  0.500  {second}  {corners}  crop 0.500",
    ]
    (shown,) = show(run.all_parts(), [row["key"]], threshold=0.2)
    assert shown.lines[-1] == f"  0.300  {first}  {corners}  not_scored"
