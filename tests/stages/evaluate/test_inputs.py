"""The images of a benchmark: found by one of their names, as large as annotated, or named in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stages.evaluate.inputs import in_chunks, read_image
from stages.stage import UserError


def test_the_first_name_that_lies_there_is_read(io: Any, paint: Callable[..., str]) -> None:
    folder = paint({"a.png": 7, "deeper/b.png": 9})
    pixels = read_image(io, folder, ["a.jpg", "deeper/b.png", "a.png"], (80, 100))
    assert pixels.shape == (80, 100, 3) and pixels.tolist()[0][0] == [9, 9, 9]


def test_an_image_of_another_size_than_annotated_is_refused(io: Any, paint: Callable[..., str]) -> None:
    folder = paint({"a.png": 7})
    with pytest.raises(UserError, match=r"a\.png is 100 x 80, its annotations are for 50 x 40 pixels"):
        read_image(io, folder, ["a.png"], (40, 50))


@pytest.mark.parametrize("name", ["none.png", "../a.png"])
def test_what_is_not_in_the_folder_is_named(io: Any, paint: Callable[..., str], name: str) -> None:
    folder = paint({"inside/a.png": 7})
    with pytest.raises(UserError, match=r"evaluate\.images: .*a?\.png"):
        read_image(io, f"{folder}/inside", [name])


def test_chunks_hold_every_item_in_order() -> None:
    assert list(in_chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_chunks([], 3)) == []
