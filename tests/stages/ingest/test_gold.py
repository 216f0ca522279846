from __future__ import annotations

import numpy as np
import pytest

from schemas.rows import GoldBox as TrueBox
from schemas.rows import GoldRow, Span
from stages.images import ImageInfo, decode_rgb
from stages.ingest.gold import gold_row, to_image_frame
from stages.ingest.row import Gold, GoldBox
from tests.stages.image_files import save


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_move_as_the_pixels_do(orientation):
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


def test_boxes_are_scaled_clipped_and_dropped_when_nothing_is_left():
    info = ImageInfo("jpg", 100, 40, 1, "")
    boxes = [
        GoldBox((-10, 5, 30, 90), 0, "a"),
        GoldBox((200, 0, 220, 9)),
        GoldBox((9, 9, 9, 12)),
        GoldBox((9, 9, 5, 12)),
    ]
    row = gold_row("k", Gold(200, 80, [(0, 1)], boxes), info)
    assert row == GoldRow("k", (Span(0, 1),), (TrueBox(0, 0.0, 2.5, 15.0, 40.0, "a"),))
    assert gold_row("k", None, info) == GoldRow("k", (), ())
    assert gold_row("k", Gold(200, 80, (), [GoldBox((1, 2, 300, 9))]), None).boxes[0].x2 == 200
