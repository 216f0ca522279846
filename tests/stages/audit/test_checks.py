"""Each warning comes when its figure is past the limit, and only then."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stages.audit.checks import checks, warnings

QUIET: dict[str, Any] = {
    "pairs": 1000,
    "pairs_with_image": 1000,
    "boxes": 3000,
    "boxes_per_image": 3.2,
    "min_score": 0.5,
    "unique_phrases": 900,
    "phrases_asked": 4000,
    "phrases_grounded": 2000,
    "other_script": 10,
    "parts": {"planned": 4, "counted": 4, "pairs": 4, "phrases": 4, "labels": 4, "pseudo": 4},
    "rejected": {"ingest": {"not_an_image": 20}, "label": {"image_changed": 1}},
    "dropped": {"phrases": {"not_english": 30}},
    "duplicates": {"image_captions": {"share": 0.04}},
    "phrases_tables": {"most_frequent": [{"phrase": "a ball", "boxes": 55}, {"phrase": "a kite", "boxes": 50}]},
    "box_shapes": {"whole_image_share": 0.09, "near_duplicate_share": 0.19},
    "histograms": {"score_kept": [0] * 50 + [60] * 50},
    "by_threshold": [{"threshold": 0.4, "boxes": 9000}, {"threshold": 0.5, "boxes": 3000}],
    "gold": {
        "named": 1000,
        "by_threshold": [{"threshold": 0.4, "matched": 900}, {"threshold": 0.5, "matched": 700}],
        "at_min_score": {"judged": 500, "precision": 0.9, "threshold": 0.5},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    stats = copy.deepcopy(QUIET)
    at = stats
    *folders, name = path.split("/")
    for folder in folders:
        at = at[int(folder) if isinstance(at, list) else folder]
    at[name] = value
    return stats


def test_nothing_unusual_no_warning() -> None:
    assert warnings(QUIET) == []


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("parts/planned", 5, "parts_missing"),
        ("parts/labels", 3, "stage_incomplete"),
        ("boxes", 0, "no_boxes"),
        ("pairs_with_image", 0, "no_images"),
        ("rejected/ingest", {"not_an_image": 20, "truncated_image": 90}, "rejected_ingest"),
        ("rejected/label", {"image_changed": 60}, "rejected_label"),
        ("other_script", 51, "other_language"),
        ("dropped/phrases/not_english", 51, "other_language"),
        ("duplicates/image_captions/share", 0.06, "duplicates"),
        ("phrases_grounded", 900, "ungrounded"),
        ("boxes_per_image", 1.1, "boxes_per_image"),
        ("boxes_per_image", 6.0, "boxes_per_image"),
        ("phrases_tables/most_frequent/0/boxes", 70, "top_phrase"),
        ("box_shapes/whole_image_share", 0.11, "whole_image"),
        ("box_shapes/near_duplicate_share", 0.21, "near_duplicates"),
        ("histograms/score_kept", [0] * 50 + [200] * 5 + [44] * 45, "score_pile_up"),
        ("gold/at_min_score/precision", 0.79, "gold_precision"),
        ("gold/by_threshold/1/matched", 199, "teacher_recall"),
    ],
)
def test_past_its_limit(path: str, value: Any, code: str) -> None:
    (found,) = warnings(changed(path, value))
    assert found["code"] == code and found["limit"] is not None
    assert found["text"].endswith(".") and found["reason"].endswith(".")


def test_every_check_of_a_quiet_run_is_listed_with_its_reason() -> None:
    found = checks(QUIET)
    assert [check.code for check in found] == [
        *("parts_missing", "stage_incomplete", "no_images", "no_boxes"),
        *("rejected_ingest", "rejected_label", "other_language", "duplicates", "ungrounded", "boxes_per_image"),
        *("top_phrase", "whole_image", "near_duplicates", "score_pile_up", "teacher_recall", "gold_precision"),
    ]
    assert all(check.reason.endswith(".") and not check.unusual for check in found)


def test_an_unfinished_stage_is_named() -> None:
    stats = changed("parts/pseudo", 2)
    stats["parts"]["labels"] = 3
    (found,) = warnings(stats)
    assert (found["value"], found["limit"]) == (2, 4)
    assert found["text"] == "There are labels for 3 and pseudo for 2 of 4 parts."


def test_without_true_boxes_that_captions_name_a_teacher_that_finds_hardly_any_is_named() -> None:
    stats = changed("gold/named", 29)
    assert warnings(stats) == []
    stats["by_threshold"][1]["boxes"] = 599  # of 4,000 phrases
    (found,) = warnings(stats)
    assert (found["code"], found["limit"]) == ("teacher_boxes", 0.15) and found["value"] == pytest.approx(0.14975)
    assert "teacher info" in found["reason"]
    assert warnings(stats | {"gold": None}) == [found]
    assert warnings(stats | {"phrases_asked": 29, "phrases_grounded": 0}) == []
    assert warnings(stats | {"by_threshold": stats["by_threshold"][:1]}) == []  # a floor above 0.5 tells nothing


def test_few_rows_say_little() -> None:
    stats = changed("boxes_per_image", 6.0) | {"boxes": 99, "pairs": 99, "phrases_asked": 29, "gold": None}
    stats["rejected"] = {"ingest": {"not_an_image": 9}}
    stats["phrases_grounded"] = 0
    assert [warning["code"] for warning in warnings(stats)] == ["rejected_ingest"]
    stats["rejected"] = {}
    assert warnings(stats) == []


def test_a_run_without_gold_or_labels() -> None:
    stats = changed("gold", None) | {"boxes": 0, "phrases_tables": {}, "boxes_per_image": None, "by_threshold": []}
    stats["parts"] = {"planned": 4, "counted": 4, "pairs": 4}
    assert warnings(stats) == []
