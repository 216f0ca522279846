"""The categories that were looked for are known to whoever judges by the true boxes."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.storage.files import PartFiles
from pipeline.storage.local import LocalStorage
from stages.ingest.categories import SUMMARIES, read_categories
from tests.stages.conftest import Run
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import write


def coco(folder: Path) -> tuple[str, str]:
    """Captions of two images and a file of instances that lists a zebra and has none."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in (1, 2)]
    for image in images:
        write(folder / "images" / str(image["file_name"]), image_file())
    captions = [{"id": i, "image_id": i, "caption": "a dog and a zebra"} for i in (1, 2)]
    instances = {
        "images": images,
        "annotations": [{"id": 1, "image_id": 1, "category_id": 5, "bbox": [2, 2, 10, 10], "iscrowd": 0}],
        "categories": [{"id": 5, "name": "Dog"}, {"id": 9, "name": "zebra"}, {"id": 10}],
    }
    return (
        write(folder / "captions.json", json.dumps({"images": images, "annotations": captions}).encode()),
        write(folder / "instances.json", json.dumps(instances).encode()),
    )


def test_a_part_with_true_boxes_says_what_was_looked_for(run: Run, tmp_path: Path) -> None:
    source, instances = coco(tmp_path / "in")
    run.ingest(1, source=source, instances=instances)
    for part in (0, 1):  # the second one has no box at all
        files = PartFiles(LocalStorage(str(run.root)), part, None, "try", lambda *_: None, {SUMMARIES: "digest"})
        assert read_categories(files) == ["Dog", "zebra"]


def test_a_source_that_lists_none_has_none(run: Run, tmp_path: Path) -> None:
    source, _ = coco(tmp_path / "in")
    run.ingest(source=source)
    assert not (run.root / SUMMARIES).exists()
    files = PartFiles(LocalStorage(str(run.root)), 0, None, "try", lambda *_: None, {SUMMARIES: None})
    assert read_categories(files) == []


def test_the_audit_of_a_run_knows_them(tmp_path: Path) -> None:
    source, instances = coco(tmp_path / "in")
    settings = [
        f"ingest.source={source}",
        f"ingest.instances={instances}",
        "ingest.images=" + str(tmp_path / "in/images"),
    ]
    options = [part for setting in [*settings, "label.teacher=glip-nano", "part_size=1"] for part in ("--set", setting)]
    for stage in ("ingest", "phrases", "label", "audit"):
        result = CliRunner().invoke(app, [stage, "--inline", "--run", str(tmp_path / "run"), *options])
        assert result.exit_code == 0, (result.output, result.exception)
    gold = json.loads((tmp_path / "run/report/stats.json").read_text())["gold"]
    assert (gold["pairs"], gold["boxes"], gold["categories"]) == (2, 1, 2)
    assert all(row["unjudged"] == 0 for row in gold["by_threshold"])
