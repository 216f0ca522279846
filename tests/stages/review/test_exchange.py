"""Out to other tools and back: their readers where they are installed, else what they write, restated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.export.formats import export
from stages.review.draw import Unit, draw
from stages.review.exchange import drawn_run, import_corrections
from stages.review.figures import review_figures
from stages.stage import UserError
from tests.stages.export.label_studio_rules import problems
from tests.stages.review.sitting import appending, lines


@pytest.fixture
def run(shapes: Callable[..., Any]) -> Any:
    return shapes(part_size=40).fill(100)


@pytest.fixture
def drawn(run: Any) -> list[Unit]:
    """Of images that can be shown."""
    with_image = {row["key"] for row in run.rows["pairs"] if row["image"]}
    return [unit for unit in draw(run.all_parts(), run.config, 60, 0)[0] if unit.key in with_image]


def written(run: Any, drawn: list[Unit], format: str, folder: Path) -> dict[str, int]:
    create = RunFiles(LocalStorage(str(folder), ""), [], "draft", lambda *beat: None).create
    return export(drawn_run(run.all_parts(), drawn), format, create, config=run.config)


def annotated(run: Any, drawn: list[Unit], folder: Path) -> list[dict[str, Any]]:
    """Label Studio's export of tasks that a person submitted as they were: predictions became an annotation, with ids
    of its own, and the predictions are still there."""
    made = written(run, drawn, "label-studio", folder)
    assert made["boxes"] == len(drawn)
    tasks: list[dict[str, Any]] = json.loads((folder / "tasks.json").read_text("utf-8"))
    for number, task in enumerate(tasks):
        result = [{**entry, "id": f"x{number}-{i}"} for i, entry in enumerate(task["predictions"][0]["result"])]
        task |= {"id": number + 1, "annotations": [{"id": number, "was_cancelled": False, "result": result}]}
        assert problems((folder / "config.xml").read_text(), task) == []
    return tasks


def imported(run: Any, drawn: list[Unit], content: Any) -> dict[str, int]:
    data = json.dumps(content).encode()
    path, new, counted = import_corrections(run.all_parts(), run.config, drawn, data, "file.json", "ann")
    appending(run.root)(path, new)
    return counted


def test_what_nobody_changed_is_right(run: Any, drawn: list[Unit], tmp_path: Path) -> None:
    counted = imported(run, drawn, annotated(run, drawn, tmp_path / "out"))
    assert counted == {"unchanged": len(drawn), "moved": 0, "relabelled": 0, "deleted": 0, "added": 0}
    said = lines(run, "ann")
    assert {(line["key"], tuple(line["box"])) for line in said} == {(unit.key, unit.corners) for unit in drawn}
    assert {line["verdict"] for line in said} == {"right"} and {line["source"] for line in said} == {"label-studio"}
    figures = review_figures(run.all_parts(), run.config)
    assert figures is not None and figures["boxes"] == len(drawn) and figures["stale"] == 0


def test_what_people_corrected_in_label_studio(run: Any, drawn: list[Unit], tmp_path: Path) -> None:
    """One of each: deleted, moved a little, moved away, given another phrase, added; and a task that nobody did."""
    tasks = annotated(run, drawn, tmp_path / "out")
    big = [
        (task, entry)
        for task in tasks
        for entry in task["annotations"][0]["result"]
        if entry["value"]["width"] > 30 and entry["value"]["x"] + entry["value"]["width"] < 80
    ]
    used: set[int] = set()
    chosen = [(task, entry) for task, entry in big if not (task["id"] in used or used.add(task["id"]))]  # type: ignore[func-returns-value]
    (gone, away), (nudged, near), (moved, far), (renamed, other) = chosen[:4]
    gone["annotations"][0]["result"].remove(away)
    near["value"]["x"] += near["value"]["width"] * 0.1
    far["value"] |= {"x": far["value"]["x"] + far["value"]["width"] * 0.7, "width": far["value"]["width"] * 0.4}
    new = next(p["value"] for p in renamed["data"]["phrases"] if p["value"] != other["value"]["rectanglelabels"][0])
    other["value"]["rectanglelabels"] = [new]
    phrase = nudged["data"]["phrases"][0]["value"]
    value = {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 0, "rectanglelabels": [phrase]}
    nudged["annotations"][0]["result"].append({**near, "id": "new", "value": value})
    undone = next(task for task in tasks if task not in (gone, nudged, moved, renamed))
    undone["annotations"] = [{**undone["annotations"][0], "was_cancelled": True}]
    boxes = sum(len(task["predictions"][0]["result"]) for task in tasks if task is not undone)
    counted = imported(run, drawn, tasks)
    assert counted == {"unchanged": boxes - 4, "moved": 2, "relabelled": 1, "deleted": 1, "added": 1}
    said = lines(run, "ann")
    verdicts = [line["verdict"] for line in said if line["drawn"]]
    assert len(verdicts) == boxes
    assert (verdicts.count("wrong_box"), verdicts.count("wrong_phrase")) == (2, 1)
    added = [line for line in said if not line["drawn"]]
    assert sorted(line["text"] for line in added) == sorted([phrase, new, far["value"]["rectanglelabels"][0]])
    (better,) = [line for line in said if line["corrected"]]
    width = next(row["width"] for row in run.rows["pairs"] if row["key"] == nudged["data"]["key"])
    assert better["corrected"][0] == pytest.approx(near["value"]["x"] * width / 100) and better["verdict"] == "right"
    figures = review_figures(run.all_parts(), run.config)
    assert figures is not None and figures["verdicts"] == {
        **{"right": boxes - 3, "wrong_box": 2, "wrong_phrase": 1, "unsure": 0},
    }


def test_what_people_corrected_in_fiftyone(run: Any, drawn: list[Unit], tmp_path: Path) -> None:
    """As its exporter writes it: labels are numbers into `classes`, and a new detection has no attributes."""
    written(run, drawn, "fiftyone", tmp_path / "out")
    content = json.loads((tmp_path / "out/labels.json").read_text("utf-8"))
    names = sorted({d["label"] for detections in content["labels"].values() for d in detections})
    for detections in content["labels"].values():
        for detection in detections:
            detection["label"] = names.index(detection["label"])
    keys = list(content["labels"])
    gone = content["labels"][keys[0]].pop()
    box = content["labels"][keys[1]][0]
    content["labels"][keys[1]].append({"label": box["label"], "bounding_box": [0.01, 0.01, 0.02, 0.02]})
    counted = imported(run, drawn, {"classes": names, **content})
    assert counted == {"unchanged": len(drawn) - 1, "moved": 0, "relabelled": 0, "deleted": 1, "added": 1}
    (wrong,) = [line for line in lines(run, "ann") if line["verdict"] != "right"]
    assert wrong["key"] == keys[0] and wrong["text"] == names[gone["label"]]
    (added,) = [line for line in lines(run, "ann") if not line["drawn"]]
    assert added["key"] == keys[1] and added["text"] == names[box["label"]] and added["source"] == "fiftyone"


def test_a_turned_rectangle_is_the_box_around_it(run: Any, drawn: list[Unit], tmp_path: Path) -> None:
    tasks = annotated(run, drawn, tmp_path / "out")[:1]
    (first, *_), size = tasks[0]["annotations"][0]["result"], (320, 240)
    value = {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90}  # 32 x 48 pixels, turned about (160, 120)
    value |= {"rectanglelabels": first["value"]["rectanglelabels"]}
    tasks[0]["annotations"][0]["result"] = [{**first, "value": value}]
    imported(run, drawn, tasks)
    found = [line for line in lines(run, "ann") if line["corrected"] or not line["drawn"]]
    (box,) = [line["corrected"] or line["box"] for line in found]
    assert size == (320, 240) and box == pytest.approx([112, 120, 160, 152])


@pytest.mark.parametrize(
    "content", [{}, "text", 3, [{"annotations": [{"result": [{"type": "rectanglelabels"}]}]}], None]
)
def test_a_file_of_another_kind_is_refused(run: Any, drawn: list[Unit], content: Any) -> None:
    with pytest.raises(UserError, match=r"review --import file\.json"):
        imported(run, drawn, content)


def test_a_phrase_that_no_caption_has_is_counted_and_left_out(run: Any, drawn: list[Unit], tmp_path: Path) -> None:
    tasks = annotated(run, drawn, tmp_path / "out")
    entry = tasks[0]["annotations"][0]["result"][0]
    value = {**entry["value"], "x": 0, "y": 0, "width": 2, "height": 2, "rectanglelabels": ["a zeppelin"]}
    tasks[0]["annotations"][0]["result"].append({**entry, "value": value})
    counted = imported(run, drawn, tasks)
    assert counted["left out, because the caption has no such phrase"] == 1 and counted["added"] == 0
    assert counted["unchanged"] == len(drawn)


def test_label_studios_own_reader_takes_the_tasks(run: Any, drawn: list[Unit], tmp_path: Path) -> None:
    name = "label_studio_sdk.label_interface"
    interface = pytest.importorskip(name, reason="label-studio-sdk is not installed; pip install it to run this")
    tasks = annotated(run, drawn, tmp_path / "out")
    config = interface.LabelInterface((tmp_path / "out/config.xml").read_text())
    assert len(tasks) > 20
    for task in tasks:
        assert config.validate_task({"data": task["data"]})
        assert [config.validate_annotation(annotation) for annotation in task["annotations"]] == [True]


def test_fiftyones_own_importer_and_exporter(run: Any, drawn: list[Unit], tmp_path: Path) -> None:
    importers = pytest.importorskip("fiftyone.utils.data.importers", reason="fiftyone is not installed")
    exporters = pytest.importorskip("fiftyone.utils.data.exporters", reason="fiftyone is not installed")
    written(run, drawn, "fiftyone", tmp_path / "out")
    importer = importers.FiftyOneImageDetectionDatasetImporter(dataset_dir=str(tmp_path / "out"), compute_metadata=True)
    exporter = exporters.FiftyOneImageDetectionDatasetExporter(export_dir=str(tmp_path / "back"))
    with importer, exporter:
        for path, metadata, labels in importer:
            exporter.export_sample(path, labels, metadata=metadata)
    content = json.loads((tmp_path / "back/labels.json").read_text("utf-8"))
    assert imported(run, drawn, content)["unchanged"] == len(drawn)
