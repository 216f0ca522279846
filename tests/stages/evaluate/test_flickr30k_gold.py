"""Both forms of Flickr30k Entities are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.evaluate.flickr30k_gold import read_gold, read_sentence
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


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        ("He drives [/EN#1/vehicles a car].", "He drives a car.", ["a car"]),
        ("[/EN#1/people Two girls], [/EN#2/other hats]", "Two girls, hats", ["Two girls", "hats"]),
        ("[/EN#1/animals 茶色の犬]が[/EN#2/scene 草原]を走る。", "茶色の犬が草原を走る。", ["茶色の犬", "草原"]),
        ("[/EN#1/animals\u3000犬]が走る", "犬が走る", ["犬"]),
        ("[/EN#1/other hats [ sic ] of red]", "hats [ sic ] of red", ["hats [ sic ] of red"]),
        ("[/EN#1/other a :]] by [/EN#2/other a [ tree]", "a :] by a [ tree", ["a :]", "a [ tree"]),
        ("[/EN#1/other a man] \x85 waits", "a man \x85 waits", ["a man"]),
        ("[/EN#1/other a\x85man]", "a\x85man", ["a\x85man"]),
    ],
)
def test_marked_lines_as_they_come(line: str, text: str, words: list[str]) -> None:
    caption = read_sentence(line, {"1": [LEFT], "2": [RIGHT]}, "here")
    assert caption.text == text
    assert [text[start:end] for phrase in caption.phrases for start, end in phrase.spans] == words


@pytest.mark.parametrize(
    "line", ["[/EN#1/people a man", "[/EN#1/people ]", "[/EN#1/a b [/EN#2/a c]", "[/EN#x/people a]"]
)
def test_a_phrase_that_is_not_closed_is_named(line: str) -> None:
    with pytest.raises(UserError, match=r"here: a phrase is not closed, or not marked as \[/EN#1/people a man\]"):
        read_sentence(line, {}, "here")


def test_a_line_ends_at_its_line_feed_alone(io: Any, entities: Path) -> None:
    """U+0085, of an ellipsis in another encoding, and U+2028 end no line of a text file."""
    path = entities / "Sentences" / "54.txt"
    path.write_bytes("[/EN#1/people Two girls] \x85 in\u2028hats .\r\nNobody .\n".encode())
    (image,) = read_gold(io, str(entities / "test.txt"), 1)
    assert [caption.text for caption in image.captions] == ["Two girls \x85 in\u2028hats .", "Nobody ."]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [1, 2]}, r"bbox is \[1, 2\], which is not four numbers \(annotations\[0\], id 0\)"),
        ({"tokens_positive": [[1]]}, r"not enough values .* \(annotations\[0\], id 0\)"),
        ({"image_id": {}}, r"none of its 1 annotations is of one of its 1 images"),
    ],
)
def test_a_bad_annotation_is_named(io: Any, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    dataset = as_mdetr({(0, 9): [[0, 0, 20, 40]]})
    dataset["annotations"][0] |= change
    (tmp_path / "flickr.json").write_text(json.dumps(dataset))
    with pytest.raises(UserError, match=words):
        read_gold(io, str(tmp_path / "flickr.json"), 5)


def test_json_that_is_not_mdetrs(io: Any, tmp_path: Path) -> None:
    dataset = as_mdetr({(0, 9): [[0, 0, 20, 40]]})
    del dataset["images"][0]["tokens_positive_eval"]
    (tmp_path / "flickr.json").write_text(json.dumps(dataset))
    with pytest.raises(UserError, match="has no 'tokens_positive_eval'"):
        list(read_gold(io, str(tmp_path / "flickr.json"), 5))
    with pytest.raises(UserError, match="no folder Sentences"):
        list(read_gold(io, str(tmp_path / "nowhere"), 5))
