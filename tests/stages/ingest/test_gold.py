from __future__ import annotations

import numpy as np
import pytest

from schemas.reasons import REJECTED_GOLD
from schemas.rows import GoldBox as TrueBox
from schemas.rows import GoldRow, Span
from stages.images import ImageInfo, decode_rgb
from stages.ingest.gold import GoldCount, gold_row, to_image_frame
from stages.ingest.row import Gold, GoldBox
from tests.stages.image_files import save


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_move_as_the_pixels_do(orientation: int) -> None:
    from PIL import Image

    stored = np.zeros((30, 50, 3), np.uint8)
    x1, y1, x2, y2 = 4, 6, 20, 11
    stored[y1:y2, x1:x2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode_rgb(save(Image.fromarray(stored), "PNG", exif=exif), 10**6)
    ys, xs = np.nonzero(upright[..., 0])
    info = ImageInfo("png", 30, 50, orientation, "")
    (box,) = to_image_frame(np.array([[x1, y1, x2, y2]], float), Gold(50, 30), info).tolist()
    assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_boxes_are_scaled_and_clipped_and_those_with_nothing_left_are_counted() -> None:
    info = ImageInfo("jpg", 100, 40, 1, "")
    boxes = [
        GoldBox((-10, 5, 30, 90), 0, "a"),
        GoldBox((200, 0, 220, 9)),
        GoldBox((9, 9, 9, 12)),
        GoldBox((9, 9, 5, 12)),
    ]
    row, rejected = gold_row("k", Gold(200, 80, [(0, 1)], boxes, {"crowd": 2}), info, "a")
    assert row == GoldRow("k", (Span(0, 1),), (TrueBox(0, 0.0, 2.5, 15.0, 40.0, "a"),))
    assert rejected == {"outside_image": 1, "empty_box": 2, "crowd": 2}
    assert set(rejected) <= set(REJECTED_GOLD)
    assert gold_row("k", None, info, "") == (GoldRow("k", (), ()), {})
    assert gold_row("k", Gold(200, 80, (), [GoldBox((1, 2, 300, 9))]), None, "")[0].boxes[0].x2 == 200


def test_spans_that_are_not_in_the_caption_go_with_their_boxes() -> None:
    spans = [(0, 9), (2, 5), (5, 5), (-1, 2), (0, 1)]
    boxes = [GoldBox((0, 0, 1, 1), span) for span in (0, 1, 2, 3, 4, -1, 1)]
    row, rejected = gold_row("k", Gold(10, 10, spans, boxes), None, "a dog")
    assert row.spans == (Span(2, 5), Span(0, 1))
    assert [box.span for box in row.boxes] == [0, 1, -1, 0]
    assert rejected == {"span_outside_caption": 3}


def test_without_a_size_the_frame_is_the_images_own() -> None:
    info = ImageInfo("jpg", 100, 40, 6, "")
    boxes = np.array([[-1.0, 2.0, 200.0, 9.0]])
    assert to_image_frame(boxes, Gold(None, None), info).tolist() == [[0, 2, 100, 9]]
    assert to_image_frame(boxes, Gold(None, None), None).tolist() == boxes.tolist()


def test_every_box_of_a_part_is_used_or_has_a_reason() -> None:
    count = GoldCount(elsewhere=4)
    assert count.notes()["gold"] == {"in": 4, "used": 0, "rejected": {"unknown_image": 4}}
    good, bad = GoldBox((0, 0, 5, 5)), GoldBox((5, 5, 5, 5))
    count.row("k", Gold(10, 10, (), [good, bad], {"crowd": 1}), None, "a")
    count.reject(Gold(10, 10, (), [good, good], {"bad_box": 1}))
    count.reject(None)
    rejected = {"bad_box": 1, "crowd": 1, "empty_box": 1, "pair_rejected": 2, "unknown_image": 4}
    assert count.notes()["gold"] == {"in": 10, "used": 1, "rejected": rejected}
    assert count.unused() == {f"true boxes ({reason})": number for reason, number in rejected.items()}
    plain = GoldCount()
    plain.row("k", None, None, "a")
    assert (plain.notes(), plain.unused(), plain.seen) == ({}, {}, False)
