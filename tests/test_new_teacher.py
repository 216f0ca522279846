"""The example of docs/teacher.md is a teacher: one file and one line, and it labels, on Ray too, and is evaluated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.cli.commands import Options, run_rounds, run_stage, verify_run
from stages.stage import UserError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "teacher.md"
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
Boxes = dict[str, tuple[int, int, int, int]]
PAINTED: dict[str, tuple[tuple[int, int], str, Boxes]] = {  # (width, height), caption, rectangles
    "a": ((120, 90), "a red door and a blue car", {"red": (10, 20, 50, 80), "blue": (60, 5, 110, 40)}),
    "b": ((120, 90), "a blue sky over a field", {"blue": (0, 0, 120, 30)}),
    "c": ((64, 48), "two Green apples, a red one", {"green": (5, 5, 25, 25)}),
    "d": ((64, 48), "a dog", {"red": (30, 30, 60, 40)}),
    "e": (
        (120, 90),
        "a red ball, a green ball and a blue ball",
        {name: (30 * i, 10, 30 * i + 25, 70) for i, name in enumerate(COLOURS)},
    ),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's teacher in it, as pip would install a package."""
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (line,) = re.findall(r"^    (colour = .*)$", text, re.MULTILINE)
    info = tmp_path / "site" / "colour_teacher-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "colour_teacher.py").write_text(code, encoding="utf-8")
    name, path = line.replace('"', "").split(" = ")
    (info / "entry_points.txt").write_text(f"[phrasebox.teachers]\n{name} = {path}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: colour-teacher\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(info.parent))
    yield info.parent
    sys.modules.pop("colour_teacher", None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of painted images with captions beside them, and a COCO file of what is painted."""
    folder = tmp_path / "photos"
    folder.mkdir()
    images, annotations = [], []
    for number, (name, ((width, height), caption, boxes)) in enumerate(PAINTED.items(), 1):
        pixels = np.full((height, width, 3), 128, dtype=np.uint8)
        for colour, (x1, y1, x2, y2) in boxes.items():
            pixels[y1:y2, x1:x2] = COLOURS[colour]
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            category = list(COLOURS).index(colour) + 1
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": category, **box})
        Image.fromarray(pixels).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(caption)
        images.append({"id": number, "file_name": f"{name}.png", "width": width, "height": height})
    categories = [{"id": number, "name": name} for number, name in enumerate(COLOURS, 1)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(data))
    return folder


def settings(photos: Path, **more: Any) -> list[str]:
    own = {"ingest.source": photos, "ingest.format": "folder", "part_size": 2, "label.teacher": "colour"}
    return [f"{key}={value}" for key, value in {**own, "label.device": "cpu", "label.batch_size": 2, **more}.items()]


def run_until(last: str, run: Path, settings: list[str]) -> None:
    config = run.with_suffix(".yaml")
    config.write_text("{}")
    run_rounds(str(config), settings, str(run), None, last, Options(inline=True))


def rows(run: Path, dataset: str) -> list[dict[str, Any]]:
    return [row for part in sorted((run / dataset).glob("*.parquet")) for row in pq.read_table(part).to_pylist()]


def test_the_example_labels_what_is_painted(site: Path, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_until("shard", run, settings(photos))
    labels = rows(run, "labels")
    assert len(labels) == len(PAINTED)
    for row, pair, phrases, (_, _, painted) in zip(
        labels, rows(run, "pairs"), rows(run, "phrases"), PAINTED.values(), strict=True
    ):
        named = [re.findall("red|green|blue", phrase["text"].lower()) for phrase in phrases["phrases"]]
        expected = {(i, painted[words[0]]) for i, words in enumerate(named) if words and words[0] in painted}
        found = {(box["phrase"], (box["x1"], box["y1"], box["x2"], box["y2"])) for box in row["boxes"]}
        assert found == expected and all(box["score"] == 1 for box in row["boxes"]), pair["caption"]
        dropped = {(one["phrase"], one["reason"]) for one in row["dropped"]}
        assert dropped == {(i, "phrase_without_tokens") for i, words in enumerate(named) if not words}
    assert sum(len(row["boxes"]) for row in labels) >= 5
    record = json.loads((run / "commits" / "label" / "part-0000000.json").read_text())
    assert record["notes"]["teacher"] == {"name": "colour", "variant": "colour", "weights": None}
    verify_run(str(run), quick=False, workers=1)


@pytest.mark.slow
def test_the_example_on_ray(site: Path, photos: Path, tmp_path: Path) -> None:
    """As a person types it, in a process of its own: two workers find the package as the driver does."""
    run_until("label", tmp_path / "one", settings(photos))
    (tmp_path / "run.yaml").write_text(f"run: {tmp_path / 'two'}\n")
    given = ["run.yaml", *(f"--set={setting}" for setting in settings(photos))]
    command = [sys.executable, "-m", "pipeline.cli", "run", "--until", "label"]
    path = os.pathsep.join([str(site), *filter(None, [str(PAGE.parents[1]), os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*command, "--workers", "2", *given],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    parts = sorted(path.name for path in (tmp_path / "one" / "labels").iterdir())
    assert len(parts) == 3
    for part in parts:
        one, two = ((tmp_path / name / "labels" / part).read_bytes() for name in ("one", "two"))
        assert one == two


def test_the_example_is_evaluated_on_coco(site: Path, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    benchmark = {"evaluate.benchmark": "coco", "evaluate.data": tmp_path / "instances.json", "evaluate.images": photos}
    given = settings(photos, **{**benchmark, "evaluate.models": "[teacher]"})
    run_stage(None, given, str(run), "ingest", Options(inline=True))
    run_stage(None, [], str(run), "evaluate", Options(inline=True))
    result = json.loads((run / "evaluation" / "coco-teacher.json").read_text())
    assert (result["AP"], result["boxes"], result["failed"]) == (pytest.approx(100), 8, {})
    assert result["model"] == {"role": "teacher", "name": "colour", "variant": "colour", "weights": None}


def test_the_example_is_evaluated_on_scenes(site: Path, tmp_path: Path) -> None:
    """No noun is a colour, so nothing is detected; phrases with a colour are grounded."""
    run = tmp_path / "run"
    given = [*settings(tmp_path), "ingest.source=scenes", "ingest.format=scenes", "ingest.count=2"]
    given += ["evaluate.models=[teacher]", "evaluate.count=6"]
    run_stage(None, given, str(run), "ingest", Options(inline=True))
    run_stage(None, [], str(run), "evaluate", Options(inline=True))
    result = json.loads((run / "evaluation" / "scenes-teacher.json").read_text())
    assert (result["pictures"], result["failed"], result["detection"]["all"]["AP"]) == (6, {}, 0)
    assert result["agreement"]["all"]["curve"][0]["gold"] > 6 and result["model"]["name"] == "colour"


def test_weights_for_a_teacher_without_any_are_an_error(site: Path, photos: Path, tmp_path: Path) -> None:
    given = settings(photos, **{"label.weights": tmp_path / "instances.json"})
    with pytest.raises(UserError, match=r"label\.weights: the teacher colour takes none; leave it out"):
        run_until("label", tmp_path / "run", given)
