"""Elements of a large JSON file, one at a time, wherever the window on the file ends."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from stages import json_stream
from stages.json_stream import Element, members, stream, stream_from

DATA: dict[str, Any] = {
    "info": {"nested": [[1, {"a": []}]], "text": 'a "quoted" \\ [bracket'},
    "images": [{"id": 7, "name": "ü 🐕 \u2028"}, {"id": 8}, 12, -0.5e3, None, "text", [1, [2]]],
    "none": [],
    "n": 12,
    "annotations": [{"image_id": 7}],
}
EXPECTED = [(key, value) for key, values in DATA.items() if isinstance(values, list) for value in values]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 18])
@pytest.mark.parametrize("options", [{}, {"ensure_ascii": False, "indent": 1}, {"separators": (",", ":")}])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_elements_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, chunk: int, options: dict[str, Any], mark: bytes
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    data = mark + json.dumps(DATA, **options).encode()
    found = list(stream(io.BytesIO(data)))
    assert [(array, value) for array, _, value in found] == EXPECTED
    for array, offset, value in found:
        assert next(stream_from(io.BytesIO(data), array, offset)) == Element(array, offset, value)
    images = [entry for entry in found if entry.array == "images"]
    for number, (_, offset, _) in enumerate(images):
        assert list(stream_from(io.BytesIO(data), "images", offset)) == images[number:]


@pytest.mark.parametrize("used", [0, 1, None])
def test_members_are_all_top_level_keys_however_much_of_an_array_is_used(used: int | None) -> None:
    found: dict[str, Any] = {}
    for key, value in members(io.BytesIO(json.dumps(DATA).encode()), keyed=None):
        found[key] = [element.value for element in islice(value, used)] if isinstance(value, Iterator) else value
    info = [{"id": "nested", **value} if isinstance(value, dict) else value for value in DATA["info"].values()]
    expected = {**DATA, "info": info}
    assert found == {key: value[:used] if isinstance(value, list) else value for key, value in expected.items()}


def test_bytes_that_are_no_utf8_are_an_error_where_members_are_strict() -> None:
    data = b'{"images": [{"name": "\xff"}]}'
    assert [value for _, _, value in stream(io.BytesIO(data))] == [{"name": "\udcff"}]
    with pytest.raises(ValueError, match="can't decode"):
        for _, values in members(io.BytesIO(data), strict=True):
            list(values)


def test_a_file_that_is_one_array_has_no_key() -> None:
    assert [(array, value) for array, _, value in stream(io.BytesIO(b" [1, {}] \n"))] == [("", 1), ("", {})]
    assert list(stream(io.BytesIO(b"{}"))) == [] == list(stream(io.BytesIO(b"[]")))


@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_an_object_of_values_counts_as_an_array_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    data = json.dumps({"annotations": {"5": {"a": 1}, "6": {"id": 9}, "7": "text"}, "info": {"a": 1}}).encode()
    found = list(stream(io.BytesIO(data), {"annotations"}))
    assert [value for _, _, value in found] == [{"id": "5", "a": 1}, {"id": 9}, "text"]
    assert list(stream_from(io.BytesIO(data), "annotations", found[1].offset)) == found[1:]
    assert list(stream(io.BytesIO(data))) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0"),
        (b'"text"', "not the expected JSON at byte 0"),
        (b'{"a": [1, 2', "at byte 11"),
        (b'{"a": [1 2]}', "not the expected JSON at byte 9"),
        (b'{"a": [{"b": }]}', "broken JSON at byte 13"),
        (b'{"a": [1]} more', "the JSON ends before byte 11"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply|broken"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(stream(io.BytesIO(data)))


def test_what_comes_before_the_damage_is_read() -> None:
    elements = stream(io.BytesIO(b'{"a": [1, 2, {'))
    assert [next(elements).value, next(elements).value] == [1, 2]
    with pytest.raises(ValueError, match="broken JSON"):
        next(elements)


def test_an_element_larger_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", 10)
    monkeypatch.setattr(json_stream, "_ELEMENT_LIMIT", 100)
    assert [value for _, _, value in stream(io.BytesIO(b'["' + b"x" * 90 + b'"]'))] == ["x" * 90]
    with pytest.raises(ValueError, match="broken JSON at byte 1"):
        list(stream(io.BytesIO(b'["' + b"x" * 1000 + b'"]')))
