"""Rows with several captions, and text interleaved with images."""

from __future__ import annotations

from typing import Any

import pytest

from stages.ingest.captions import captions_of, images_of, is_list, kind_of
from stages.stage import RowError


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b"], ""),
        ([["a", "b"], ["c"]], "list"),
        (["a", ["b"]], "list"),
        (['["a", "b"]', '["c"]'], "list"),
        (["['a', \"b\"]", "['c']"], "list"),
        (['["a"]', "b"], ""),  # one caption may look so
        (["[removed]", "[x]"], ""),
        (["[1, 2]"], ""),
        (["<__dj__image> a <|__dj__eoc|>"], "interleaved"),
        (["<image>\na dog", "<image> a cat", "plain"], "interleaved"),
        (["what <image> means", "b", "c"], ""),
        ([None, ""], ""),
    ],
)
def test_kinds_of_captions(values: list[Any], kind: str) -> None:
    assert kind_of(values) == kind


@pytest.mark.parametrize(
    ("value", "captions"),
    [
        (["a", "b"], ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'it\\'s']", ["a", "it's"]),
        ([{"raw": "a", "tokens": ["a"]}, {"caption": "b"}, {"x": 1}], ["a", "b", {"x": 1}]),
        ([], [None]),
        ([None, 3], [None, 3]),
        ("[not a list", ["[not a list"]),
        ("[" * 100_000 + "]" * 100_000, ["[" * 100_000 + "]" * 100_000]),
        (None, [None]),
        ("a", ["a"]),
    ],
)
def test_captions_of_a_list(value: Any, captions: list[Any]) -> None:
    assert captions_of(value, "list") == captions
    assert len(images_of(value, "i.jpg", "list")) == len(captions)
    assert is_list(value, "list") == (captions != [value])


@pytest.mark.parametrize(
    ("text", "images", "pairs"),
    [
        ("<__dj__image> a red dog <|__dj__eoc|>", ["1"], [("a red dog", "1")]),
        ("<__dj__image> a <|__dj__eoc|> <__dj__image> b <|__dj__eoc|>", ["1", "2"], [("a", "1"), ("b", "2")]),
        ("a <__dj__image> dog", ["1"], [("a   dog", "1")]),
        ("<image>\na dog", "1", [("a dog", "1")]),
        ("no token <|__dj__eoc|>", ["1"], [("no token", "1")]),
        ("<__dj__image> a <|__dj__eoc|> only text <|__dj__eoc|>", ["1"], [("a", "1"), ("only text", None)]),
        ("<__dj__image> a", [], [("a", "bad_record")]),
        ("<__dj__image><__dj__image> a", ["1", "2"], [("a", "bad_record")]),
        ("a", ["1", "2"], [("a", "bad_record")]),
        ("<|__dj__eoc|>", ["1"], [("", "1")]),
    ],
)
def test_chunks_take_their_images(text: str, images: Any, pairs: list[tuple[str, str | None]]) -> None:
    found = images_of(text, images, "interleaved")
    shown = [image.reason if isinstance(image, RowError) else image for image in found]
    assert list(zip(captions_of(text, "interleaved"), shown, strict=True)) == pairs


def test_one_caption_has_one_image() -> None:
    assert images_of("a", "x.jpg", "") == images_of("a", ["x.jpg"], "") == ["x.jpg"]
    assert images_of("a", [], "") == images_of("a", None, "") == [None]
    (error,) = images_of("a", ["x.jpg", "y.jpg"], "")
    assert isinstance(error, RowError) and error.reason == "bad_record"
