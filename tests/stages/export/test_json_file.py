"""Large JSON files are written piece by piece, and read back as one object."""

from __future__ import annotations

import io
import json

import pytest

from stages.export.json_file import ArraysFile, encode


def test_arrays_that_grow_side_by_side_become_one_object() -> None:
    arrays = ArraysFile(("images", "annotations", "empty"))
    for i in range(3):
        arrays.add("images", {"id": i, "caption": "a “ball”\n"})
        arrays.add("annotations", [i, None])
    file = io.BytesIO()
    arrays.finish(file, {"info": {"description": "x"}, "licenses": []})
    found = json.loads(file.getvalue())
    assert list(found) == ["info", "licenses", "images", "annotations", "empty"]
    assert found["images"] == [{"id": i, "caption": "a “ball”\n"} for i in range(3)]
    assert (found["annotations"], found["empty"]) == ([[0, None], [1, None], [2, None]], [])


def test_a_record_is_one_line_of_json_that_every_reader_takes() -> None:
    assert encode({"text": "größe\n", "x": 1.5}) == '{"text":"größe\\n","x":1.5}'.encode()
    caption = {"caption": "one\u2028two\u2029three\u0085four\x0bfive\x1csix"}
    assert (
        encode(caption).decode().splitlines() == [encode(caption).decode()] and json.loads(encode(caption)) == caption
    )
    with pytest.raises(ValueError, match="Out of range float"):
        encode({"x": float("nan")})
