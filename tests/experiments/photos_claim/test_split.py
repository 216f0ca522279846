"""A tenth with its boxes, the rest without."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from experiments.photos_claim.split import write


def gold(count: int) -> dict[str, Any]:
    images = [{"id": i, "file_name": f"{i}.jpg", "caption": f'a "dog", number {i}'} for i in range(count)]
    boxes = [{"id": 2 * i + j, "image_id": i, "bbox": [i, 0, 9, 9]} for i in range(count) for j in range(2)]
    return {"images": images, "annotations": boxes, "categories": []}


def test_no_photo_is_in_both(tmp_path: Path) -> None:
    write(gold(50), 3, tmp_path)
    tenth = json.loads((tmp_path / "gold.json").read_text())
    with open(tmp_path / "captions.csv", encoding="utf-8", newline="") as file:
        rest = list(csv.DictReader(file))
    kept = {row["file_name"]: row["id"] for row in tenth["images"]}
    assert (
        len(kept) == 5
        and len(rest) == 45
        and kept.keys() | {row["image"] for row in rest} == {f"{i}.jpg" for i in range(50)}
    )
    assert sorted(row["image_id"] for row in tenth["annotations"]) == sorted([*kept.values()] * 2)
    assert all(row.keys() == {"image", "caption"} for row in rest)
    captions = {row["file_name"]: row["caption"] for row in gold(50)["images"]}
    assert all(row["caption"] == captions[row["image"]] for row in rest)


def test_the_seed_draws_the_tenth(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(gold(50), seed, tmp_path / name)
    first, again, other = ((tmp_path / name / "gold.json").read_bytes() for name in "abc")
    assert first == again != other
