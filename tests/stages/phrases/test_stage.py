"""The stage writes a row for every pair, and says why a phrase is left out."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from schemas.config import Config, PhrasesConfig
from schemas.records import OPTIONAL, PHRASES
from stages.phrases.stage import PhrasesStage

# --- the stage --------------------------------------------------------------------------------------------------------


class MemoryPart:
    """One part in memory."""

    part = 0

    def __init__(self, captions: list[str]) -> None:
        keys = [f"{row:012d}" for row in range(len(captions))]
        self._pairs = pa.table({"key": keys, "caption": pa.array(captions, pa.string())})
        self.done = 0

    def read(self, dataset: str, columns: list[str]) -> pa.Table:
        assert dataset == "pairs"
        return self._pairs.select(columns)

    def write(self, dataset: str, table: pa.Table) -> None:
        assert dataset == "phrases" and table.select(PHRASES.names).schema.equals(PHRASES)
        self.extra = table.drop_columns(PHRASES.names).schema
        self.rows = table.to_pylist()

    def progress(self, pairs: int) -> None:
        self.done += pairs


def run(captions: list[str], **options: Any) -> list[dict[str, Any]]:
    part = MemoryPart(captions)
    result = PhrasesStage(Config(phrases=PhrasesConfig(**options))).run_part(part)
    assert result.counts.balanced and result.counts.out == len(part.rows) == part.done == len(captions)
    return part.rows


def kept(row: dict[str, Any]) -> list[str]:
    return [phrase["text"] for phrase in row["phrases"]]


def left_out(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["caption"][d["start"] : d["end"]], d["reason"]) for d in row["dropped"]]


def test_stage_keeps_every_row() -> None:
    rows = run(["a man in a red shirt", "", "ein Hund und eine Katze auf dem Sofa", "he sleeps"])
    assert [kept(row) for row in rows] == [["a man", "a red shirt"], [], [], []]
    assert [left_out(row) for row in rows] == [
        [],
        [("", "unparsable")],
        [("ein Hund und eine Katze auf dem Sofa", "not_english")],
        [],
    ]


def test_stage_notes_count_captions_by_script_and_language() -> None:
    captions = ["a dog", "ein Hund und eine Katze auf dem Sofa", "😀 ...", "two cats", "犬が公園で走る"]
    captions.append("Дети играют с мячом на берегу реки")
    result = PhrasesStage(Config()).run_part(MemoryPart(captions))
    assert result.notes["languages"] == {
        "Cyrillic": {"ru": 1},
        "Japanese": {"ja": 1},
        "Latin": {"de": 1, "en": 2},
        "none": {"none": 1},
    }


def test_stage_options_drop_with_a_reason() -> None:
    caption = "a photo of the very old red brick house in March 2018 with a dog and a cat"
    assert kept(run([caption])[0]) == ["a photo", "the very old red brick house", "March 2018", "a dog", "a cat"]
    row = run([caption], stop_phrases=("medium",), max_words=4, drop_heads=("time",), max_phrases=1)[0]
    assert kept(row) == ["a dog"]
    assert left_out(row) == [
        ("a photo", "stop_phrase"),
        ("the very old red brick house", "phrase_too_long"),
        ("March 2018", "head_class"),
        ("a cat", "too_many_phrases"),
    ]


def test_stage_drops_names_and_own_stop_phrases() -> None:
    caption = "Anna Lopez with a red umbrella in Paris"
    row = run([caption], drop_heads=("person_name", "place_name"), stop_phrases=("red umbrella",))[0]
    assert kept(row) == []
    assert [reason for _, reason in left_out(row)] == ["head_class", "stop_phrase", "head_class"]


def test_stage_drops_what_lies_behind_the_token_limit() -> None:
    caption = "a man , a dog , a cat , a horse"
    row = run([caption], max_tokens=8)[0]  # [CLS] a man , a dog , [SEP]
    assert kept(row) == ["a man", "a dog"]
    assert left_out(row) == [("a cat", "over_token_limit"), ("a horse", "over_token_limit")]


def test_expressions_are_a_column_of_their_own() -> None:
    """One for every phrase that stays, read among all phrases: "photo" is dropped, what it grows to is not there."""
    captions = ["a photo of a dog in a field of flowers", "he sleeps", "a man and a woman"]
    part = MemoryPart(captions)
    options = PhrasesConfig(expressions=True, stop_phrases=("medium",))
    PhrasesStage(Config(phrases=options)).run_part(part)
    assert part.extra.equals(OPTIONAL["phrases"])
    texts = [[row["caption"][e["start"] : e["end"]] for e in row["expressions"]] for row in part.rows]
    assert texts == [["a dog in a field of flowers", "a field of flowers", "flowers"], [], ["a man", "a woman"]]
    assert [kept(row) for row in part.rows] == [["a dog", "a field", "flowers"], [], ["a man", "a woman"]]
    without = MemoryPart(captions)
    PhrasesStage(Config(phrases=PhrasesConfig(stop_phrases=("medium",)))).run_part(without)
    assert len(without.extra) == 0
    assert without.rows == [{name: row[name] for name in PHRASES.names} for row in part.rows]


def test_settings_name_the_backend_and_its_weights() -> None:
    config = Config()
    resolved = PhrasesStage.resolve(config)
    assert resolved["backend"] == "distilled" and resolved["backend_version"].startswith("sha256:")
    settings_ = PhrasesStage.settings(config)
    assert settings_["backend_version"] == resolved["backend_version"]
    assert json.loads(json.dumps(settings_)) == settings_
