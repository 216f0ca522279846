"""A federated case drawn from a seed, and what LVIS's own tool says of it.

`lvis_recorded.json` beside this file was written by running this file as a script where `lvis` 0.5.3 can be imported
(the package asks for OpenCV and matplotlib, which only its drawing uses, and for a NumPy that still has `np.float`):

    python tests/stages/evaluate/lvis_case.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("lvis_recorded.json")
IMAGES, CATEGORIES, WIDTH, HEIGHT = 24, 9, 100, 80
POOLS = (12, 10_000)  # boxes of a category; the small one cuts
HERE, THERE = (10.0, 10.0, 50.0, 50.0), (60.0, 10.0, 90.0, 40.0)
Box = tuple[tuple[float, float, float, float], float, int]


def draw() -> tuple[dict[str, Any], list[list[Box]]]:
    """An annotation file, and the boxes found in each image (corners, score, category index)."""
    rng = random.Random(20)

    def below(number: int) -> int:
        return int(rng.random() * number)

    def draw_box() -> tuple[float, float, float, float]:
        x, y = below(60), below(50)
        return float(x), float(y), float(x + 5 + below(35)), float(y + 5 + below(25))

    def near(box: tuple[float, ...]) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = (value + below(5) - 2 for value in box)
        return max(x1, 0.0), max(y1, 0.0), min(x2, float(WIDTH)), min(y2, float(HEIGHT))

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    found: list[list[Box]] = []
    for number in range(IMAGES):
        true = [(draw_box(), below(CATEGORIES - 1)) for _ in range(below(7))]  # the last category has no box
        present = {category for _, category in true}
        absent = [c for c in range(CATEGORIES) if c not in present and rng.random() < 0.3]
        images.append(
            {
                "id": 10 * number + 3,
                "coco_url": f"http://images.cocodataset.org/val2017/{number:012}.jpg",
                "width": WIDTH,
                "height": HEIGHT,
                "neg_category_ids": [c + 1 for c in absent],
                "not_exhaustive_category_ids": [c + 1 for c in sorted(present) if rng.random() < 0.3],
            }
        )
        for box, category in true:
            x1, y1, x2, y2 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": images[-1]["id"],
                    "category_id": category + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
                }
            )
        own = [(near(box), (64 + below(192)) / 256, c) for box, c in true for _ in range(1 + below(2))]
        own += [(draw_box(), below(200) / 256, below(CATEGORIES)) for _ in range(20)]
        found.append(sorted(own, key=lambda row: -row[1]))  # many scores are equal
    names = [f"thing_{c}_(of_some_kind)" for c in range(CATEGORIES)]
    categories = [{"id": c + 1, "name": name, "frequency": "rcf"[c % 3]} for c, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}, found


def ask_lvis(most: int) -> dict[str, Any]:
    """Dave et al.'s rule in front of the tool: the best `most` of each category, then no limit."""
    from lvis import LVIS, LVISEval, LVISResults

    dataset, found = draw()
    results = [
        {
            "image_id": image["id"],
            "category_id": category + 1,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": score,
        }
        for image, own in zip(dataset["images"], found, strict=True)
        for box, score, category in own
    ]
    best = []
    for category in range(CATEGORIES):
        own = [row for row in results if row["category_id"] == category + 1]
        best += sorted(own, key=lambda row: -row["score"])[:most]
    path = Path("lvis_case.tmp.json")
    path.write_text(json.dumps(dataset))
    try:
        truth = LVIS(str(path))
    finally:
        path.unlink()
    evaluation = LVISEval(truth, LVISResults(truth, best, max_dets=-1), "bbox")
    evaluation.run()
    precision = evaluation.eval["precision"][:, :, :, 0]
    return {
        **{name: float(evaluation.results[name]) for name in ("AP", "AP50", "AP75", "APr", "APc", "APf")},
        "by_category": [float(precision[:, :, category].mean()) for category in range(CATEGORIES)],
    }


if __name__ == "__main__":
    RECORDED.write_text(json.dumps({str(most): ask_lvis(most) for most in POOLS}, indent=1) + "\n")
