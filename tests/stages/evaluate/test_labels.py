"""Labels of a run against its gold, on a run small enough to count by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import Config
from schemas.records import GOLD, LABELS, PHRASES, REJECTS, part_name
from stages.evaluate.labels import band_of, evaluate_labels
from stages.evaluate.stage import EvaluateStage
from stages.stage import UserError


def phrase(caption: str, text: str, norm: str) -> dict[str, Any]:
    start = caption.index(text)
    return {"start": start, "end": start + len(text), "text": text, "head": norm, "norm": norm}


def box(corners: tuple[float, float, float, float], **more: Any) -> dict[str, Any]:
    return {**dict(zip(("x1", "y1", "x2", "y2"), map(float, corners), strict=True)), **more}


def write_part(root: Path, part: int, rows: list[dict[str, Any]]) -> None:
    """rows: caption, phrases, labels, gold spans (texts) and gold boxes."""
    tables: dict[str, list[dict[str, Any]]] = {"phrases": [], "labels": [], "gold": []}
    for number, row in enumerate(rows):
        key, caption = f"{part:07d}{number:05d}", row["caption"]
        spans = [{"start": caption.index(text), "end": caption.index(text) + len(text)} for text in row["spans"]]
        tables["phrases"].append({"key": key, "caption": caption, "phrases": row["phrases"], "dropped": []})
        tables["labels"].append({"key": key, "width": 100, "height": 100, "boxes": row["labels"], "dropped": []})
        tables["gold"].append({"key": key, "spans": spans, "boxes": row["gold"]})
    for (name, own), schema in zip(tables.items(), (PHRASES, LABELS, GOLD), strict=True):
        (root / name).mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(own, schema=schema), root / name / part_name(part))


@pytest.fixture
def run(tmp_path: Path) -> RunFiles:
    """Three dogs in two parts, one found twice; a kite that the extractor cut short; a tree that has no true box."""
    dog, kite = "a dog and a red kite", "the dog by a tree"
    write_part(
        tmp_path,
        0,
        [
            {
                "caption": dog,
                "phrases": [phrase(dog, "a dog", "dog"), phrase(dog, "red kite", "red kite")],
                "spans": ["a dog", "a red kite"],
                "gold": [box((0, 0, 10, 10), span=0, category="dog"), box((50, 50, 70, 70), span=1, category="kite"),
                         box((80, 80, 90, 90), span=-1, category="cup")],
                "labels": [box((0, 0, 10, 9), phrase=0, score=0.92), box((0, 0, 10, 10), phrase=0, score=0.62),
                           box((50, 50, 70, 60), phrase=1, score=0.72)],
            }
        ],
    )  # fmt: skip
    write_part(
        tmp_path,
        3,
        [
            {
                "caption": kite,
                "phrases": [phrase(kite, "the dog", "dog"), phrase(kite, "a tree", "tree")],
                "spans": ["the dog"],
                "gold": [box((20, 20, 40, 40), span=0, category="dog"), box((60, 20, 80, 40), span=0, category="dog")],
                "labels": [box((20, 20, 40, 40), phrase=0, score=0.82), box((20, 20, 40, 40), phrase=1, score=0.55)],
            }
        ],
    )
    return RunFiles(LocalStorage(str(tmp_path)), [0, 3], "test", lambda *_: None)


def test_every_box_is_judged_as_by_hand(run: RunFiles) -> None:
    done: list[int] = []
    result = evaluate_labels(run, 0.5, done.append)
    at = {name: own["at"] for name, own in result["agreement"].items()}
    # Right: the dog at 0.92 (IoU 0.9), the kite (0.5), the dog at 0.82 (1.0). Wrong: the second dog box, the tree's.
    assert at["all"] == {
        "threshold": 0.5, "boxes": 5, "right": 3, "gold": 4, "precision": 3 / 5, "recall": 3 / 4,
        "mean_iou": pytest.approx((0.9 + 0.5 + 1.0) / 3),
    }  # fmt: skip
    assert (at["2-9"]["boxes"], at["2-9"]["right"], at["2-9"]["gold"]) == (3, 2, 3)  # "dog" occurs twice
    assert (at["1"]["boxes"], at["1"]["right"], at["1"]["gold"]) == (2, 1, 1)  # "red kite" and "tree"
    assert at["100+"]["gold"] == at["10-99"]["boxes"] == 0
    curve = {row["threshold"]: row for row in result["agreement"]["all"]["curve"]}
    assert (curve[0.65]["boxes"], curve[0.65]["precision"], curve[0.65]["recall"]) == (3, 1.0, 0.75)
    assert [(row["from"], row["boxes"], row["share_right"]) for row in result["agreement"]["all"]["calibration"]] == [
        (0.5, 1, 0.0), (0.6, 1, 0.0), (0.7, 1, 1.0), (0.8, 1, 1.0), (0.9, 1, 1.0),
    ]  # fmt: skip
    assert done == [1, 2] and result["pictures"] == 2
    assert result["failed"] == {} and result["data"] == {"annotations": "gold/", "parts": 2}


def test_images_that_the_teacher_failed_on_are_counted(run: RunFiles, tmp_path: Path) -> None:
    """Of those that have true boxes; an image that is not there is none that was labelled badly."""
    rows = [
        {"key": key, "source_id": "a", "stage": "label", "reason": reason, "detail": ""}
        for key, reason in (("000000000000", "non_finite_scores"), ("000000000009", "non_finite_scores"))
    ]
    path = tmp_path / "rejects" / "label" / part_name(0)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=REJECTS), path)
    assert evaluate_labels(run, 0.5, lambda done: None)["failed"] == {"non_finite_scores": 1}


def test_the_stage_asks_no_model(run: RunFiles) -> None:
    stage = EvaluateStage(Config.model_validate({"evaluate": {"benchmark": "labels"}}))
    assert stage.run_job(run) == {"labels": {"precision": 0.6, "recall": 0.75, "mean_iou": pytest.approx(0.8)}}
    with run.open("evaluation/labels-teacher.json") as stream:
        result = json.load(stream)
    assert result["model"]["role"] == "teacher" and result["benchmark"] == "labels" and len(result["protocol"]) > 200


def test_a_run_without_gold_is_told_so(run: RunFiles) -> None:
    for part in (0, 3):
        run.delete(f"gold/{part_name(part)}")
    with pytest.raises(UserError, match="needs labels/ and gold/"):
        evaluate_labels(run, 0.5, lambda done: None)


def test_bands_of_frequency() -> None:
    assert [band_of(count) for count in (1, 2, 9, 10, 99, 100, 10**9)] == [
        "1",
        "2-9",
        "2-9",
        "10-99",
        "10-99",
        *["100+"] * 2,
    ]
