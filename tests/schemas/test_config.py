"""The config: strict about names and ranges, and always readable again."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from schemas.config import Config, GoldSet

FULL: dict[str, Any] = {
    "run": "s3://bucket/runs/a",
    "corpus": "web_1",
    "part_size": 500,
    "ingest": {"source": "data/", "format": "webdataset", "count": 10},
    "phrases": {"stop_phrases": ["medium", "logo"], "drop_heads": ["time"]},
    "filter": {"min_score": 0.4, "phrase_nms_iou": 0.6},
    "train": {"gold": [{"source": "scenes", "count": 5, "weight": 2.5}], "scales": [160, 192]},
    "evaluate": {"models": ["student"]},
}


@pytest.mark.parametrize("given", [{}, FULL], ids=["defaults", "full"])
def test_a_config_that_was_written_is_read_back_as_it_was(given: dict[str, Any]) -> None:
    config = Config.model_validate(given)
    text = yaml.safe_dump(config.model_dump(mode="json"))
    assert Config.model_validate(yaml.safe_load(text)) == config
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"runs": "x"}, "runs"),
        ({"filter": {"min_scores": 0.5}}, "filter.min_scores"),
        ({"filter": {"min_score": 1.5}}, "filter.min_score"),
        ({"part_size": 0}, "part_size"),
        ({"corpus": "Web-1"}, "corpus"),
        ({"run": "  "}, "run"),
        ({"ingest": {"format": "zip"}}, "ingest.format"),
        ({"train": {"gold": [{"source": "scenes", "weight": 0}]}}, "train.gold.0.weight"),
        ({"label": {"precision": "fp8"}}, "label.precision"),
        ({"phrases": {"drop_heads": ["colour"]}}, "phrases.drop_heads.0"),
    ],
)
def test_what_no_run_could_use_is_refused_by_name(given: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(given)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [place]


def test_a_gold_set_alone_needs_no_list() -> None:
    alone = Config.model_validate({"train": {"gold": {"source": "reviews"}}})
    assert alone == Config.model_validate({"train": {"gold": [{"source": "reviews"}]}})
    with pytest.raises(ValidationError, match=r"train\.gold\.0\.sources"):
        Config.model_validate({"train": {"gold": {"sources": "reviews"}}})


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().filter.min_score = 0.9  # type: ignore[misc]


def test_sections_are_named_after_the_commands() -> None:
    sections = {name for name, field in Config.model_fields.items() if isinstance(field.default, BaseModel)}
    assert {"ingest", "phrases", "label", "filter", "shard", "audit", "train", "evaluate"} <= sections
    assert GoldSet(source="scenes").weight == 1.0
