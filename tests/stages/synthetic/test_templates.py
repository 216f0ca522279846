"""The words around the things name no thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stages.synthetic import NOUNS, templates
from stages.synthetic.nouns import BY_NAME
from stages.synthetic.randomness import Stream
from stages.synthetic.templates import file_name, hashtags


def texts(value: Any) -> Iterator[str]:
    """Every string in a constant, however deep; functions of a stream are called."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from texts(item)
    elif callable(value):
        yield from (value(Stream(seed)) for seed in range(20))


def test_no_template_names_a_thing() -> None:
    names = {name for noun in NOUNS for pair in noun.names() for name in pair}
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\b", re.IGNORECASE)
    constants = [getattr(templates, name) for name in dir(templates) if name.isupper() and not name.startswith("_")]
    found = [text for constant in constants for text in texts(constant)]
    assert len(found) > 100
    assert [text for text in found if pattern.search(text)] == []


def test_file_names_look_like_a_cameras() -> None:
    names = {file_name(Stream(seed)) for seed in range(200)}
    assert len(names) > 150 and all(re.fullmatch(r"[\w-]+\d{4}\.(jpe?g|JPG|png)", name) for name in names)


def test_hashtags_are_one_word_each() -> None:
    nouns = [BY_NAME["fire engine"], BY_NAME["dog"]]
    tags = [hashtags(nouns, Stream(seed)) for seed in range(200)]
    assert all(re.fullmatch(r"#\w+( #\w+){0,3}", text) for text in tags)
    assert any("#fireengine" in text for text in tags) and any("#dog" not in text for text in tags)
