"""The images of a benchmark: found by one of their names, as large as annotated, or named in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages.evaluate.inputs import in_chunks, read_image
from stages.stage import UserError


def test_the_first_name_that_lies_there_is_read(io: Any, paint: Callable[..., str]) -> None:
    folder = paint({"a.png": 7, "deeper/b.png": 9})
    pixels = read_image(io, folder, ["a.jpg", "deeper/b.png", "a.png"], (100, 80))
    assert pixels.shape == (80, 100, 3) and pixels.tolist()[0][0] == [9, 9, 9]


def test_an_image_of_another_size_than_annotated_is_refused(io: Any, paint: Callable[..., str]) -> None:
    folder = paint({"a.png": 7})
    with pytest.raises(UserError, match=r"a\.png is 100 x 80, its annotations are for 50 x 40 pixels"):
        read_image(io, folder, ["a.png"], (50, 40))


def test_a_size_that_is_not_declared_is_the_images_own(io: Any, paint: Callable[..., str]) -> None:
    assert read_image(io, paint({"a.png": 7}), ["a.png"], None).shape == (80, 100, 3)


def test_annotations_of_the_image_before_its_turn_are_refused_with_the_remedy(io: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (100, 80)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(io, str(tmp_path), ["turned.jpg"], (80, 100)).shape == (100, 80, 3)
    with pytest.raises(UserError, match=r"is 80 x 100, its annotations are for 100 x 80 pixels; store it upright"):
        read_image(io, str(tmp_path), ["turned.jpg"], (100, 80))


@pytest.mark.parametrize("name", ["none.png", "../a.png"])
def test_what_is_not_in_the_folder_is_named(io: Any, paint: Callable[..., str], name: str) -> None:
    folder = paint({"inside/a.png": 7})
    with pytest.raises(UserError, match=r"evaluate\.images: .*a?\.png"):
        read_image(io, f"{folder}/inside", [name])


def test_chunks_hold_every_item_in_order() -> None:
    assert list(in_chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_chunks([], 3)) == []
