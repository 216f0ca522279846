"""Detectors of transformers on COCO and LVIS, by the command: AP is that of pycocotools on the library's own boxes."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.cli.commands import Options, run_stage
from tests.checkpoints import FAMILIES, write_checkpoint
from tests.model.teachers.by_library import Found, found_by_library

NAMES = ["dog", "red car", "old tree"]
SIZES = [(80, 100), (120, 70), (80, 100)]
FLOOR = 0.05


class Case:
    """Images of noise; every third box that the library finds is true, all others are wrong."""

    def __init__(self, family: str, folder: Path) -> None:
        self.folder = folder
        self.weights = write_checkpoint(family, folder / "weights")
        (folder / "images").mkdir()
        rng = np.random.default_rng(7)
        self.found: list[Found] = []
        for number, size in enumerate(SIZES):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{number:012d}.png")
            self.found.append(found_by_library(family, self.weights, pixels, NAMES, ". ".join(NAMES), FLOOR))
        (folder / "file.json").write_text(json.dumps(self.annotations()))

    def annotations(self) -> dict[str, Any]:
        """With what LVIS asks for, too: every category is looked for in every image."""
        true = [(image, entry) for image, found in enumerate(self.found) for entry in found[::3]]
        boxes = [
            {"id": i + 1, "image_id": image, "category_id": phrase, "bbox": bbox(box), "area": 1.0, "iscrowd": 0}
            for i, (image, (phrase, _, box)) in enumerate(true)
        ]
        images = [
            {
                "id": number,
                "file_name": f"{number:012d}.png",
                "coco_url": f"http://images.cocodataset.org/val2017/{number:012d}.png",
                "height": size[0],
                "width": size[1],
                "neg_category_ids": list(range(len(NAMES))),
                "not_exhaustive_category_ids": [],
            }
            for number, size in enumerate(SIZES)
        ]
        categories = [{"id": i, "name": name, "frequency": "f"} for i, name in enumerate(NAMES)]
        return {"images": images, "annotations": boxes, "categories": categories}

    def expected(self, limit: int) -> float:
        """AP in percent of the library's boxes, of each image the `limit` best of all categories."""
        results = []
        for image, found in enumerate(self.found):
            best = sorted(found, key=lambda entry: -entry[1])[:limit]
            results += [
                {"image_id": image, "category_id": phrase, "bbox": bbox(box), "score": score}
                for phrase, score, box in best
            ]
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {"info": {}, **self.annotations()}
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
            evaluation.params.maxDets = [1, 10, limit]
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (10, 101, K) of all areas
        return 100 * float(precision[precision >= 0].mean())

    def measured(self, benchmark: str) -> dict[str, Any]:
        settings = {
            "ingest.count": 1,
            "label.teacher": "transformers",
            "label.weights": self.weights,
            "label.device": "cpu",
            "evaluate.benchmark": benchmark,
            "evaluate.data": self.folder / "file.json",
            "evaluate.images": self.folder / "images",
            "evaluate.models": "[teacher]",
        }
        run = self.folder / benchmark
        given = [f"{key}={value}" for key, value in settings.items()]
        run_stage(None, given, str(run), "ingest", Options(inline=True))
        run_stage(None, [], str(run), "evaluate", Options(inline=True))
        result: dict[str, Any] = json.loads((run / f"evaluation/{benchmark}-teacher.json").read_text())
        return result


def bbox(box: list[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


@pytest.mark.parametrize("family", FAMILIES)
def test_ap_is_that_of_the_librarys_boxes(family: str, tmp_path: Path) -> None:
    case = Case(family, tmp_path)
    coco, lvis = case.measured("coco"), case.measured("lvis")
    assert coco["model"]["variant"] == lvis["model"]["variant"] == family
    assert coco["failed"] == lvis["failed"] == {} and coco["pictures"] == len(SIZES)
    assert coco["AP"] == pytest.approx(case.expected(100), abs=0.5)
    assert lvis["AP"] == pytest.approx(case.expected(300), abs=0.5)
    assert 1 < coco["AP"] < 99
