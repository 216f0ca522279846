"""ODVG: images with grounded captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stages.conftest import Run
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import write


def odvg(tmp_path: Path, *records: Any) -> str:
    write(tmp_path / "odvg/images/0.jpg", image_file())
    return write(tmp_path / "odvg/odvg.jsonl", "\n".join(map(json.dumps, records)).encode())


def test_odvg_regions_become_gold(run: Run, tmp_path: Path) -> None:
    regions = [
        {"bbox": [0, 0, 12, 8], "phrase": "a dog", "tokens_positive": [[0, 5]], "score": 0.9},
        {"bbox": [[1, 1, 2, 2], [3, 3, 5, 5]], "phrase": "a cat", "tokens_positive": [[10, 15]]},
        {"bbox": [0, 0, 6, 6], "phrase": "dog"},
    ]
    base = {"filename": "images/0.jpg", "width": WIDTH, "height": HEIGHT}
    path = odvg(
        tmp_path,
        {**base, "grounding": {"caption": "a dog and a cat", "regions": regions}},
        {**base, "filename": "1", "detection": {"instances": []}},
        {**base, "filename": "/etc/passwd", "grounding": {"caption": "x", "regions": []}},
        {**base, "filename": "2", "grounding": {"caption": "x", "regions": [{"bbox": [1, 2], "phrase": "x"}]}},
        {**base, "grounding": {"caption": "no regions"}},
    )
    first, last = run.ingest(source=path)
    assert (first["caption"], last["caption"]) == ("a dog and a cat", "no regions")
    gold, empty = run.rows("gold")
    assert [(span["start"], span["end"]) for span in gold["spans"]] == [(0, 5), (10, 15), (2, 5)]
    assert [tuple(box.values())[:5] for box in gold["boxes"]] == [
        (0, 0, 0, 12, 8),
        (1, 1, 1, 2, 2),
        (1, 3, 3, 5, 5),
        (2, 0, 0, 6, 6),
    ]
    assert empty["boxes"] == []
    assert run.rejects() == {"1": "missing_caption", "/etc/passwd": "image_read_refused", "2": "bad_record"}


def test_gold_turns_with_the_image(run: Run, tmp_path: Path) -> None:
    """Boxes that are given in the stored frame of a turned image; the upright one has the sides exchanged."""
    write(tmp_path / "odvg/images/turned.jpg", image_file(orientation=6))
    region = {"bbox": [0, 0, 10, 4], "phrase": "x", "tokens_positive": [[0, 1]]}
    grounding = {"caption": "x", "regions": [region]}
    stored = {"filename": "images/turned.jpg", "width": WIDTH, "height": HEIGHT, "grounding": grounding}
    run.ingest(source=odvg(tmp_path, stored, {**stored, "width": HEIGHT, "height": WIDTH}))
    (turned,), (upright,) = (row["boxes"] for row in run.rows("gold"))
    assert tuple(turned.values())[1:5] == (HEIGHT - 4, 0, HEIGHT, 10)  # a quarter clockwise: the top becomes the right
    assert tuple(upright.values())[1:5] == (0, 0, 10, 4)


def test_odvg_boxes_are_all_accounted_for(run: Run, tmp_path: Path) -> None:
    regions = [
        {"bbox": [0, 0, 12, 8], "phrase": "a dog", "tokens_positive": [[0, 5]]},
        {"bbox": [[1, 1, 2, 2], [3, 3, 3, 5]], "phrase": "a cat", "tokens_positive": [[10, 15], [10, 99]]},
        {"bbox": [0, 0, 6, 6], "phrase": "a horse"},
        {"bbox": [99, 99, 120, 120], "phrase": "dog"},
    ]
    base = {"filename": "images/0.jpg", "width": WIDTH, "height": HEIGHT}
    path = odvg(
        tmp_path,
        {**base, "grounding": {"caption": "a dog and a cat", "regions": regions}},
        {**base, "filename": "1", "detection": {"instances": [{"bbox": [0, 0, 1, 1]}] * 3}},
        {**base, "filename": "2", "grounding": {"caption": None, "regions": regions[:2]}},
        {**base, "filename": "3", "grounding": {"caption": "x", "regions": [{"bbox": [1, 2], "phrase": "x"}]}},
    )
    run.ingest(source=path)
    notes = run.results[0].notes["gold"]
    assert notes["used"] == sum(len(row["boxes"]) for row in run.rows("gold")) == 2
    assert notes["rejected"] == {
        **{"empty_box": 2, "outside_image": 1, "pair_rejected": 6},
        **{"phrase_not_found": 1, "span_outside_caption": 1},
    }
    assert notes["in"] == notes["used"] + sum(notes["rejected"].values())


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}, {"width": "24", "height": "16"}, {"width": None}])
def test_odvg_without_a_size_takes_the_images_own(run: Run, tmp_path: Path, size: dict[str, Any]) -> None:
    region = {"bbox": ["0", 0, 10, 4], "phrase": "x", "tokens_positive": [[0, 1]]}
    path = odvg(tmp_path, {"filename": "images\\0.jpg", "grounding": {"caption": "x", "regions": [region]}, **size})
    run.ingest(source=path)
    assert [tuple(box.values())[1:5] for row in run.rows("gold") for box in row["boxes"]] == [(0, 0, 10, 4)]


def test_odvg_images_and_ids_of_folders(run: Run, tmp_path: Path) -> None:
    record = {"filename": "0.jpg", "grounding": {"caption": "x", "regions": []}}
    for split in ("train", "val"):
        write(tmp_path / f"in/{split}/pictures/0.jpg", image_file())
        write(tmp_path / f"in/{split}/a.jsonl", json.dumps(record).encode() + b"\n{broken\n")
    pairs = run.ingest(source=str(tmp_path / "in"))
    assert [pair["source_id"] for pair in pairs] == ["train/0.jpg", "val/0.jpg"]
    uris = [pair["image"]["uri"] for pair in pairs]
    assert uris == [str(tmp_path / f"in/{split}/pictures/0.jpg") for split in ("train", "val")]
    assert list(run.rejects()) == ["train/a.jsonl#1", "val/a.jsonl#1"]
