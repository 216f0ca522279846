"""YOLO's files, read by the rules of ultralytics' loader: paths, columns, ranges, duplicates, names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas.rows import Phrase
from stages.export.formats import export as write
from stages.export.yolo import Listed, Target, best_of_captions
from tests.stages.export.creating import creates
from tests.stages.export.exported import Exported
from tests.stages.export.hostile_run import hostile_run, truths
from tests.stages.export.odd_run import COLOURS, IMAGES, odd_run, store_images
from tests.stages.export.readers import Reading, pixels
from tests.stages.export.test_readers import wrong_pixels


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return hostile_run(tmp_path / "run")


def ultralytics(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """KEY -> the image, and its labels (N, 5): category, then centre and sides as shares."""
    data = yaml.safe_load((folder / "data.yaml").read_text("utf-8"))
    assert "path" not in data  # then folders are relative to where data.yaml lies
    assert list(data["names"]) == list(range(len(data["names"])))
    found = {}
    for part in ("train", "val"):
        for path in sorted((folder / data[part]).iterdir()):
            assert path.suffix in (".jpg", ".png", ".webp")
            images, labels = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
            file = Path(labels.join(str(path).rsplit(images, 1))).with_suffix(".txt")
            rows = np.array([line.split() for line in file.read_text().splitlines()], np.float32)
            assert rows.shape[1] == 5 and rows[:, 1:].max() <= 1 and rows.min() >= 0
            assert rows[:, 0].max() < len(data["names"])
            found[path.stem] = (pixels(path), rows)
    return found


def names(folder: Path) -> list[str]:
    return list(yaml.safe_load((folder / "data.yaml").read_text("utf-8"))["names"].values())


def corners(labels: np.ndarray, image: np.ndarray) -> list[tuple[float, ...]]:
    sides = np.array([image.shape[1], image.shape[0]])
    low, high = (labels[:, 1:3] - labels[:, 3:] / 2) * sides, (labels[:, 1:3] + labels[:, 3:] / 2) * sides
    return [tuple(box) for box in np.concatenate([low, high], 1).tolist()]


def test_every_box_with_the_head_of_its_phrase(exported: Callable[..., Exported]) -> None:
    export = exported("yolo")
    found, listed = ultralytics(export.folder), names(export.folder)
    for one in truths():
        image, labels = found[one.key]
        assert [listed[int(number)] for number in labels[:, 0]] == [text.split()[-1].lower() for text, _ in one.boxes]
        for corner, (_, box) in zip(corners(labels, image), one.boxes, strict=True):
            assert corner == pytest.approx(box, abs=max(one.size) * 1e-5)
    assert len(found) == 7 and export.result["boxes"] == 15
    kept = [path.parent.name for path in (export.folder / "images").rglob("*.png")]
    assert sorted(kept) == ["train"] * 6 + ["val"]


def test_a_list_of_categories_fixes_their_numbers(exported: Callable[..., Exported]) -> None:
    export = exported("yolo", categories=("zebra", "cat", "rope"))
    assert names(export.folder) == ["zebra", "cat", "rope"]
    found = {key: sorted({int(row[0]) for row in labels}) for key, (_, labels) in ultralytics(export.folder).items()}
    assert found == {"000000000000": [1], "000000000001": [1], "000000000002": [1], "000000000007": [2]}
    assert export.result["boxes left out (of other categories)"] == 10


@pytest.mark.parametrize(
    ("norm", "head", "expected"),
    [
        ("red fire hydrant", "hydrant", "fire hydrant"),
        ("old hydrant", "hydrant", "hydrant"),
        ("two hot dogs", "dogs", "hot dog"),
        ("two dogs", "dogs", "dog"),
        ("firemen", "firemen", None),
        ("size 8", "size", "size"),
        ("glasses", "glasses", "glasses"),
        ("", "", None),
    ],
)
def test_what_a_phrase_is_in_a_list(norm: str, head: str, expected: str | None) -> None:
    listed = Listed(["dog", "hot dog", "hydrant", "fire hydrant", "size", "glasses", "glass"])
    assert listed.category(Phrase(0, 1, norm, head, norm)) == expected


def test_names_that_yaml_takes_for_something_else(run: Any, tmp_path: Path) -> None:
    odd = ("no", "on", "1", "null", "ice: cream", "日本", "# x")
    write(run.all_parts(), "yolo", creates(tmp_path / "out"), config=run.config, categories=odd)
    assert names(tmp_path / "out") == list(odd)


def test_licence_and_source_lie_beside_the_labels(exported: Callable[..., Exported]) -> None:
    export = exported("yolo")
    rows = [json.loads(line) for line in export.path("sources.jsonl").read_text("utf-8").splitlines()]
    assert [row["key"] for row in rows] == [one.key for one in truths()]
    for row, one in zip(rows, truths(), strict=True):
        number = int(one.key)
        assert (row["source_id"], row["license"]) == (f"web/{number}", "CC0" if number % 2 else None)
        assert row["caption"] == one.caption and export.path(row["file_name"]).is_file()
    assert rows


def test_turned_images_and_images_with_two_captions(tmp_path: Path) -> None:
    """Two captions of the first image name its red corner: as two halves, and as a whole of a lower score."""
    odd = odd_run(tmp_path / "odd")
    store_images(odd)
    for row in odd.rows["phrases"]:
        for phrase in row["phrases"]:
            phrase["head"] = phrase["norm"]
    (tmp_path / "odd/phrases/part-0000000.parquet").unlink()
    odd.write("phrases", 0, odd.rows.pop("phrases"))
    config = odd.config.model_copy(update={"filter": odd.config.filter.model_copy(update={"nms_iou": 0.4})})
    result = write(odd.all_parts(), "yolo", creates(tmp_path / "out"), config=config)
    found, listed = ultralytics(tmp_path / "out"), names(tmp_path / "out")
    assert len(found) == len(IMAGES) and result["boxes left out (another caption has a better one)"] == 1
    assert result["boxes"] == sum(len(labels) for _, labels in found.values())
    for image, labels in found.values():
        middles = [(cx - w / 4, cy - h / 4, cx + w / 4, cy + h / 4) for _, cx, cy, w, h in labels.tolist()]
        sides = (image.shape[1], image.shape[0]) * 2
        boxes = [tuple(place * side for place, side in zip(box, sides)) for box in middles]
        texts = [listed[int(number)] for number in labels[:, 0]]
        assert {text.split()[0] for text in texts} <= set(COLOURS)
        assert wrong_pixels(Reading(image, "", list(zip(boxes, texts)))) == []  # type: ignore[arg-type]


def test_only_boxes_of_other_captions_compete() -> None:
    here, there = (0.1, 0.1, 0.5, 0.5), (0.11, 0.1, 0.5, 0.5)
    same_caption = [Target(0, here, 0.9, 0), Target(0, there, 0.8, 0)]
    assert best_of_captions(same_caption, 0.6) == same_caption
    two_captions = [Target(0, here, 0.7, 0), Target(0, there, 0.8, 1), Target(1, here, 0.6, 1)]
    assert best_of_captions(two_captions, 0.6) == two_captions[1:]
    assert best_of_captions(two_captions, 1.0) == two_captions
