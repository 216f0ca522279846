"""Both forms of Flickr30k Entities are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.evaluate.flickr30k_gold import read_gold
from stages.stage import UserError
from tests.stages.evaluate.flickr30k_files import FIRST, LEFT, RIGHT, SECOND, as_mdetr


def test_captions_and_boxes_of_the_text_form(io: Any, entities: Path) -> None:
    (image,) = read_gold(io, str(entities / "test.txt"), 1)
    assert (image.name, image.size) == ("54.jpg", (100, 80))
    assert [(caption.text, caption.without_box) for caption in image.captions] == [
        (FIRST, 1), (SECOND, 2), ("Nobody is here .", 0),
    ]  # fmt: skip
    found = [
        (caption.text[start:end], phrase.types, phrase.boxes.tolist())
        for caption in image.captions
        for phrase in caption.phrases
        for start, end in phrase.spans
    ]
    assert found == [
        ("Two girls", ("people", "other"), [list(LEFT), list(RIGHT)]),
        ("red hats", ("clothing",), [list(RIGHT)]),
        ("each other", ("people",), [list(LEFT), list(RIGHT)]),
        ("hats [ sic ]", ("clothing",), [list(RIGHT)]),
    ]
    assert [one.name for one in read_gold(io, str(entities), 10)] == ["36.jpg", "54.jpg"]


def test_json_that_is_not_mdetrs(io: Any, tmp_path: Path) -> None:
    dataset = as_mdetr({(0, 9): [[0, 0, 20, 40]]})
    del dataset["images"][0]["tokens_positive_eval"]
    (tmp_path / "flickr.json").write_text(json.dumps(dataset))
    with pytest.raises(UserError, match="has no 'tokens_positive_eval'"):
        list(read_gold(io, str(tmp_path / "flickr.json"), 5))
    with pytest.raises(UserError, match="no folder Sentences"):
        list(read_gold(io, str(tmp_path / "nowhere"), 5))
