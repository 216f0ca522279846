"""Measures of made images, captions that say something and that do not, and which rule comes first."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFilter

from schemas.config import CurateConfig
from schemas.rows import Pair
from schemas.tables import PairTable
from stages.curate.rules import (
    BROKEN,
    COLUMNS,
    MEASURED,
    are_on,
    beyond,
    broken,
    caption_hashes,
    columns,
    is_boilerplate,
    is_file_name,
    measure,
    measures_images,
)
from tests.stages.curate.photographs import photograph

SIZE = (MEASURED, MEASURED)


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize(SIZE))


def page_of_text() -> Image.Image:
    page = Image.new("L", SIZE, 255)
    pen = ImageDraw.Draw(page)
    for line in range(0, MEASURED, 11):
        pen.text((2, line), "the quick brown fox jumps over the lazy dog and back", fill=0)
    return page


def test_sharpness_falls_with_blur() -> None:
    image = photograph(1, SIZE)
    values = [measure(grey(image.filter(ImageFilter.GaussianBlur(radius))))[0] for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and values[0] > 10 * values[2]
    pixels = grey(image).astype(np.int64)
    own = [
        pixels[y - 1, x] + pixels[y + 1, x] + pixels[y, x - 1] + pixels[y, x + 1] - 4 * pixels[y, x]
        for y in range(1, MEASURED - 1)
        for x in range(1, MEASURED - 1)
    ]
    assert values[0] == pytest.approx(np.var(own))


def test_entropy_of_levels() -> None:
    assert measure(np.full(SIZE, 7, np.uint8))[:2] == (0.0, 0.0)
    halves = np.zeros(SIZE, np.uint8)
    halves[:, 128:] = 200
    assert measure(halves)[1] == pytest.approx(1.0)
    ramp = np.tile(np.arange(256, dtype=np.uint8), (MEASURED, 1))
    assert measure(ramp)[1] == pytest.approx(8.0)


def test_a_page_of_text_is_told_from_a_photograph() -> None:
    assert measure(grey(page_of_text()))[2] > 0.5
    assert measure(255 - grey(page_of_text()))[2] > 0.5
    assert max(measure(grey(photograph(seed, SIZE)))[2] for seed in range(6)) < 0.2


@pytest.mark.parametrize(
    "caption",
    ["IMG_1234.jpg", "dsc00042", "DSC_0042", "sunset-on-beach.JPEG", "20180304_113000", "image 3", "(1)"],
)
def test_names_of_files(caption: str) -> None:
    assert is_file_name(caption)


@pytest.mark.parametrize("caption", ["a dog", "the image of 3 dogs", "see dog.jpg for more", "собака", "3 dogs", "犬"])
def test_captions_are_no_names_of_files(caption: str) -> None:
    assert not is_file_name(caption)


@pytest.mark.parametrize(
    "caption",
    ["Image", "click to enlarge", "Click here!", "No image available", "stock photo", "View larger", "logo"],
)
def test_boilerplate(caption: str) -> None:
    assert is_boilerplate(caption)


@pytest.mark.parametrize("caption", ["a logo on a wall", "photo of a dog", "click beetle", "a default view"])
def test_captions_are_no_boilerplate(caption: str) -> None:
    assert not is_boilerplate(caption)


def test_the_same_caption_whatever_its_form() -> None:
    hashes = caption_hashes(["A red  ball", "a red ball ", "a red\tball", "a red box", "ﬁne", "FINE"])
    assert len(set(hashes.tolist())) == 3 and hashes[0] == hashes[1] == hashes[2] and hashes[4] == hashes[5]


def table(*rows: tuple[str, int | None, int | None, tuple[float, float, float] | None]) -> pa.Table:
    pairs = PairTable.of_records(
        Pair(f"{number:012d}", "id", caption, None, width, height, None, None, None, None)
        for number, (caption, width, height, _) in enumerate(rows)
    )
    return pa.table(columns(pairs, [measures for *_, measures in rows]))


def test_the_first_rule_that_is_broken() -> None:
    given = table(
        ("a dog", 100, 80, (50.0, 7.0, 0.0)),
        ("a dog", 100, 19, (5.0, 7.0, 0.9)),
        ("a dog", 400, 80, (5.0, 7.0, 0.9)),
        ("a dog", 100, 80, (5.0, 1.0, 0.9)),
        ("a dog", 100, 80, (50.0, 1.0, 0.9)),
        ("IMG_1.jpg", 100, 80, (50.0, 7.0, 0.9)),
        ("IMG_1.jpg", None, None, None),
        ("logo", 100, 80, None),
    )
    assert tuple(given.column_names) == COLUMNS
    config = CurateConfig(
        min_side=20, max_aspect=4.0, min_sharpness=6.0, min_entropy=2.0, max_text=0.5,
        drop_file_names=True, drop_boilerplate=True,
    )  # fmt: skip
    names = [None if number < 0 else BROKEN[number] for number in broken(given, config).tolist()]
    images = [None, "small_image", "extreme_aspect", "blurred_image", "plain_image", "text_image"]
    assert names == [*images, "file_name_caption", "boilerplate_caption"]
    assert broken(given, CurateConfig()).tolist() == [-1] * 8
    assert broken(given.slice(0, 0), config).tolist() == []


def test_later_pairs_of_a_caption() -> None:
    draw = np.random.default_rng(0)
    hashes = draw.integers(0, 9, 300).astype(np.uint64)
    takes_part = draw.random(300) < 0.7
    seen: Counter[int] = Counter()
    wanted = []
    for caption, part in zip(hashes.tolist(), takes_part.tolist(), strict=True):
        wanted.append(part and seen[caption] >= 5)
        seen[caption] += part
    assert beyond(hashes, takes_part, 5).tolist() == wanted and any(wanted)
    assert beyond(hashes[:0], takes_part[:0], 5).tolist() == []


def test_what_turns_the_rules_on() -> None:
    assert not are_on(CurateConfig(duplicates="perceptual"))
    assert are_on(CurateConfig(min_entropy=0.0)) and measures_images(CurateConfig(min_entropy=0.0))
    assert are_on(CurateConfig(max_caption_repeats=3)) and not measures_images(CurateConfig(max_caption_repeats=3))
    assert are_on(CurateConfig(drop_boilerplate=True)) and are_on(CurateConfig(min_side=1))
