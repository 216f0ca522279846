"""Captions are checked and never mended; other fields are made storable."""

from __future__ import annotations

import math
from typing import Any

import pytest

from stages.ingest.text import check_caption, decode_text, number, storable, storable_or_none
from stages.stage import RowError


@pytest.mark.parametrize("caption", ["", " a  dog\t\n", "ü 🐕 \u2028 e\u0301", "x" * 50, "\ufeffa", "\x1b[31m"])
def test_a_caption_is_kept_as_it_is(caption: str) -> None:
    assert check_caption(caption, 50) == caption
    assert check_caption(caption.encode(), 50) == caption


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, "missing_caption", ""),
        (math.nan, "missing_caption", ""),
        (7, "caption_not_text", "it is of type int"),
        (["a"], "caption_not_text", "it is of type list"),
        (b"ab\xff", "caption_not_text", "not UTF-8 at byte 2"),
        ("x" * 51, "caption_too_large", "51 characters, the limit is 50"),
        ("ab\0c", "caption_control_characters", "U+0000 at character 2"),
        ("\ud800", "caption_control_characters", "U+D800 at character 0"),
    ],
)
def test_a_caption_that_cannot_be_used_says_why(value: Any, reason: str, detail: str) -> None:
    with pytest.raises(RowError) as error:
        check_caption(value, 50)
    assert (error.value.reason, error.value.detail) == (reason, detail)


def test_bytes_are_utf8_or_an_error() -> None:
    assert decode_text("ü".encode()) == "ü"
    with pytest.raises(RowError, match="not UTF-8 at byte 0"):
        decode_text("ü".encode("latin-1"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), ("a\0b\udfff", "a\ufffdb\ufffd"), (7, "7"), (b"x", "b'x'"), ("x" * 5000, "x" * 4096)],
)
def test_anything_can_be_stored(value: Any, expected: str) -> None:
    assert storable(value) == expected


def test_nothing_stays_nothing() -> None:
    assert storable_or_none(None) is None and storable_or_none(math.nan) is None
    assert storable_or_none("") == "" and storable_or_none(1.5) == "1.5"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), (" 2.5 ", 2.5), ("1e3", 1000.0), (True, None), ("x", None), (None, None), (math.inf, None),
     ("nan", None), (10**400, None), ([1], None)],
)  # fmt: skip
def test_finite_numbers_also_as_text(value: Any, expected: float | None) -> None:
    assert number(value) == expected
