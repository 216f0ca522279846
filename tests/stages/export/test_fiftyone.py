"""The FiftyOne dataset is read back, also by its own importer where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.export.exported import Exported, captions, check_images, same, truth


def test_fiftyone(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("fiftyone")
    sizes = {row["key"]: (row["width"], row["height"]) for row in run.rows["pairs"]}
    found = []
    labels = export.json("labels.json")["labels"]
    for key, detections in labels.items():
        w, h = sizes[key]
        for detection in detections:
            x, y, dx, dy = detection["bounding_box"]
            start, end = detection["attributes"]["span"]
            assert detection["label"] == captions(run)[key][start:end]
            found.append((key, start, end, x * w, y * h, (x + dx) * w, (y + dy) * h, detection["confidence"]))
    same(found, truth(run))
    check_images(export, {key: f"data/{key}.jpg" for key in labels})


def test_fiftyones_own_importer_reads_it(exported: Callable[..., Exported], run: Any) -> None:
    """The importer alone: `Dataset.from_dir` would need a MongoDB server."""
    name = "fiftyone.utils.data.importers"
    importers = pytest.importorskip(name, reason="fiftyone is not installed; pip install it to run this")
    export = exported("fiftyone")
    found = []
    importer = importers.FiftyOneImageDetectionDatasetImporter(dataset_dir=str(export.folder), compute_metadata=True)
    with importer:
        for path, metadata, labels in importer:
            key, w, h = Path(path).stem, metadata.width, metadata.height
            assert Path(path).read_bytes() == (run.root / "images" / f"{key}.jpg").read_bytes()
            for detection in labels.detections:
                assert detection["caption"] == captions(run)[key]
                x, y, dx, dy = detection.bounding_box
                corners = (x * w, y * h, (x + dx) * w, (y + dy) * h)
                found.append((key, *detection["span"], *corners, detection.confidence))
    same(found, truth(run))
