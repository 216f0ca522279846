"""ODVG lines are read back by a small reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.export.odvg import same_in_lower_case
from tests.stages.export.exported import Exported, captions, check_images, same, truth


def test_odvg_has_one_region_per_box(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("odvg")
    found, names = [], {}
    for line in export.path("odvg.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        assert set(record) == {"filename", "height", "width", "grounding", "source_id", "license"}
        key = Path(record["filename"]).stem
        names[key] = record["filename"]
        caption = record["grounding"]["caption"]
        assert caption == captions(run)[key].strip()
        shift = captions(run)[key].index(caption)
        for region in record["grounding"]["regions"]:
            ((start, end),) = region["tokens_positive"]
            assert region["phrase"] == caption[start:end]
            found.append((key, start + shift, end + shift, *region["bbox"], region["score"]))
    same(found, truth(run))
    check_images(export, names)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red ball", "a red ball"),
        ("İĞDIR and İstanbul", "IĞDIR and Istanbul"),  # the dotted capital I is two characters in lower case
        ("ΟΔΟΣ, STRASSE, ǅ", "ΟΔΟΣ, STRASSE, ǅ"),
    ],
)
def test_a_caption_has_as_many_characters_in_lower_case(caption: str, expected: str) -> None:
    assert same_in_lower_case(caption) == expected
    assert len(expected.lower()) == len(expected) == len(caption)


def test_no_character_is_longer_in_lower_case() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert len(same_in_lower_case(everything).lower()) == len(everything)
