"""A run with the cosines of rescore, exported in each format that carries them, with and without the filter."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.export.formats import export
from stages.export.grit import SIMILARITIES
from tests.stages.audit.audited import stored
from tests.stages.audit.test_second_opinion import add_scores
from tests.stages.export.creating import creates
from tests.stages.export.exported import Exported

Key = tuple[str, float, float, float]  # a box, by its key, left upper corner and score
Regions = dict[Key, float | None]
Images = dict[str, float | None]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Any]) -> Any:
    run = make_run(tmp_path_factory.mktemp("scored"), part_size=25).fill(60)
    add_scores(run)
    return run


def write(run: Any, folder: Path, format: str, **options: Any) -> Exported:
    given = {"config": run.config, "images": False, **options}
    return Exported(folder, run, export(run.all_parts(), format, creates(folder), **given))


def truth(run: Any, min_score: float | None) -> tuple[Regions, Images]:
    """What rescore says of each box that is exported, and of its image."""
    with_image = {row["key"] for row in run.rows["pairs"] if row["image"]}
    seen = {row["key"]: row for row in stored(run, "scores")}
    gone = {row["key"]: {d["box"] for d in row["dropped"]} for row in stored(run, "pseudo")}
    regions: Regions = {}
    images: Images = {}
    for row in stored(run, "labels"):
        key, own = row["key"], seen.get(row["key"])
        for number, box in enumerate(row["boxes"]):
            stays = number not in gone[key] if min_score is None else box["score"] > min_score
            if key in with_image and stays:
                score = own["boxes"][number] if own else {"score": None, "best_phrase": None}
                best = score["best_phrase"] == box["phrase"]
                regions[named(key, (box["x1"], box["y1"]), box["score"])] = score["best_score" if best else "score"]
                images[key] = own["image"] if own else None
    return regions, images


def named(key: str, corner: Sequence[float], score: float) -> Key:
    return key, round(corner[0], 2), round(corner[1], 2), score


def from_coco(export: Exported) -> tuple[Regions, Images]:
    data = export.json("instances.json")
    captions = {row["id"]: row for row in data["captions"]}
    assert [row.get("image_score") for row in data["images"]] == [row.get("image_score") for row in data["captions"]]
    regions = {
        named(captions[a["caption_id"]]["key"], a["bbox"], a["score"]): a.get("region_score")
        for a in data["annotations"]
    }
    return regions, {row["key"]: row.get("image_score") for row in data["captions"]}


def from_odvg(export: Exported) -> tuple[Regions, Images]:
    lines = [json.loads(line) for line in export.path("odvg.jsonl").read_text("utf-8").splitlines()]
    rows = [(Path(line["filename"]).stem, line) for line in lines]
    regions = {
        named(key, region["bbox"], region["score"]): region.get("region_score")
        for key, line in rows
        for region in line["grounding"]["regions"]
    }
    return regions, {key: line.get("image_score") for key, line in rows}


def from_mdetr(export: Exported) -> tuple[Regions, Images]:
    data = export.json("mdetr.json")
    images = {row["id"]: row for row in data["images"]}
    regions = {
        named(images[a["image_id"]]["key"], a["bbox"], a["score"]): a.get("region_score") for a in data["annotations"]
    }
    return regions, {row["key"]: row.get("image_score") for row in data["images"]}


def from_fiftyone(export: Exported) -> tuple[Regions, Images]:
    regions: Regions = {}
    images: Images = {}
    for key, detections in export.json("labels.json")["labels"].items():
        for found in detections:
            corner = found["bounding_box"][0] * 320, found["bounding_box"][1] * 240
            regions[named(key, corner, found["confidence"])] = found["attributes"].get("region_score")
            images[key] = found["attributes"].get("image_score")
    return regions, images


def from_hf(export: Exported) -> tuple[Regions, Images]:
    rows = pq.read_table(export.path("data/train-00000.parquet")).to_pylist()
    assert "`region_score`" in export.path("README.md").read_text("utf-8")
    regions = {
        named(row["key"], box["bbox"], box["score"]): box["region_score"] for row in rows for box in row["boxes"]
    }
    return regions, {row["key"]: row["image_score"] for row in rows}


READERS: dict[str, Callable[[Exported], tuple[Regions, Images]]] = {
    "coco": from_coco,
    "odvg": from_odvg,
    "mdetr": from_mdetr,
    "fiftyone": from_fiftyone,
    "hf": from_hf,
}


@pytest.mark.parametrize("format", READERS)
@pytest.mark.parametrize("min_score", [None, 0.2])
def test_each_box_has_its_cosine(scored: Any, tmp_path: Path, format: str, min_score: float | None) -> None:
    found = READERS[format](write(scored, tmp_path, format, min_score=min_score))
    expected = truth(scored, min_score)
    assert found == expected
    for values in (list(of.values()) for of in expected):
        assert None in values and sum(value is not None for value in values) > 20
    assert not any(isinstance(value, float) and math.isnan(value) for of in found for value in of.values())


def test_a_task_of_label_studio_has_that_of_its_image(scored: Any, tmp_path: Path) -> None:
    tasks = write(scored, tmp_path, "label-studio").json("tasks.json")
    assert {task["data"]["key"]: task["data"].get("image_score") for task in tasks} == truth(scored, None)[1]


@pytest.mark.parametrize("model", [*SIMILARITIES, "openai/clip-vit-base-patch16"])
def test_grit_has_a_column_for_two_models(scored: Any, tmp_path: Path, model: str) -> None:
    config = scored.config.model_copy(
        update={"rescore": scored.config.rescore.model_copy(update={"model": model, "relabel": True})}
    )
    rows = pq.read_table(write(scored, tmp_path, "grit", config=config).path("grit-00000.parquet")).to_pylist()
    expected = truth(scored, None)[1]
    for name, column in SIMILARITIES.items():
        found = {row["key"]: row[column] for row in rows}
        assert found == (expected if name == model else dict.fromkeys(expected))


def words(run: Any, folder: Path) -> Iterator[str]:
    for format in ("coco", "odvg", "mdetr", "fiftyone", "hf", "label-studio", "grit"):
        export = write(run, folder / format, format)
        yield from (path.read_bytes().decode("latin-1") for path in export.folder.rglob("*.*"))


def test_a_run_without_scores_says_nothing_of_them(tmp_path: Path, make_run: Callable[..., Any]) -> None:
    run = make_run(tmp_path / "plain", part_size=25).fill(20)
    found = list(words(run, tmp_path))
    assert len(found) > 7 and not any("region_score" in text or "image_score" in text for text in found)
