"""Gold sets from config to training: whose paths they are, what makes a training due again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.run.config import resolve
from pipeline.run.state import RunState
from pipeline.run.target import part_target
from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from schemas.commit import CommitRecord, Counts, FileEntry
from schemas.config import Config
from schemas.records import GOLD, PAIRS, part_name
from stages.ingest.stage import IngestStage
from stages.stage import Slice, UserError
from stages.train.stage import TrainStage, open_sets

ROW = {"image_id": 7, "category_id": 1, "bbox": [5, 6, 10, 20], "tokens_positive": [[2, 5]]}
IMAGE = {"id": 7, "file_name": "a.png", "width": 40, "height": 30, "caption": "a cup"}
FILE = {"images": [IMAGE], "annotations": [ROW], "categories": [{"id": 1, "name": "cup"}]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with coco.json and images/a.png; the run lies in another one."""
    (tmp_path / "here" / "images").mkdir(parents=True)
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "here" / "images" / "a.png")
    (tmp_path / "here" / "coco.json").write_text(json.dumps(FILE))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def training(*gold: dict[str, Any]) -> Config:
    return Config.model_validate({"train": {"gold": gold, "device": "cpu"}})


def files_of(run: Path) -> RunFiles:
    return RunFiles(LocalStorage(str(run)), [], "test", lambda *_: None)


def test_relative_paths_are_those_of_the_working_directory(here: Path) -> None:
    gold = {"source": "coco.json", "format": "coco", "images": "images"}
    config = resolve(training(gold), [TrainStage], [TrainStage])
    (found,) = config.train.gold
    assert (found.source, found.images) == (f"{here}/coco.json", f"{here}/images")
    sets, _, _ = open_sets(files_of(here.parent / "run"), config)
    (samples,) = sets.values()
    assert samples.sample(0).image == (here / "images" / "a.png").read_bytes()
    assert resolve(config, [TrainStage], [TrainStage]) == config  # as it is read back from the run folder


@pytest.mark.parametrize("scheme", ["", "file://{here}/"])
def test_an_edited_gold_file_is_another_training(here: Path, scheme: str) -> None:
    gold = {"source": scheme.format(here=here) + "coco.json", "format": "coco", "images": "images"}
    config = resolve(training(gold), [TrainStage], [TrainStage])
    before = TrainStage.settings(config)
    assert before == TrainStage.settings(config)
    (here / "coco.json").write_text(json.dumps({**FILE, "annotations": [{**ROW, "bbox": [5, 6, 10, 21]}]}))
    assert TrainStage.settings(config) != before


@pytest.mark.parametrize(
    "gold",
    [
        {"source": "scenes", "count": 3},
        {"source": "run"},
        {"source": "any", "format": "run"},
        {"source": "any", "format": "scenes", "count": 3},
        {"source": "s3://bucket/coco.json", "format": "coco", "images": "s3://bucket/images"},
        {"source": "/data/shards"},
    ],
)
def test_what_is_no_relative_path_stays(gold: dict[str, Any]) -> None:
    config = training(gold)
    assert resolve(config, [TrainStage], [TrainStage]) == config


def test_each_root_of_the_images_becomes_absolute(here: Path) -> None:
    gold = {"source": "coco.json", "format": "mdetr", "images": {"coco": "images", "vg": "/data/vg"}}
    config = resolve(training(gold), [TrainStage], [TrainStage])
    assert config.train.gold[0].images == {"coco": f"{here}/images", "vg": "/data/vg"}
    assert resolve(config, [TrainStage], [TrainStage]) == config


def test_a_home_folder_is_looked_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = resolve(training({"source": "~/shards"}), [TrainStage], [TrainStage])
    assert config.train.gold[0].source == f"{tmp_path}/shards"


@pytest.mark.parametrize(
    ("format", "content", "words"),
    [
        ("coco", None, "no such file"),
        ("coco", "{'images'", "is not a JSON file"),
        ("coco", b"\xff\xfe", "is not a JSON file"),
        ("coco", "[]", "holds no object with `images` and `annotations`"),
        ("coco", {"images": []}, "is no COCO instances file: it has no 'categories' where one belongs"),
        (
            "coco",
            {**FILE, "annotations": [{**ROW, "category_id": 9}]},
            "category_id is 9, and no category has this id (annotations[0])",
        ),
        (
            "coco",
            {**FILE, "annotations": [{**ROW, "bbox": [1, 2, 3]}]},
            "bbox is [1, 2, 3], which is not four numbers (annotations[0])",
        ),
        ("coco", {**FILE, "images": [{"id": 7, "file_name": "a.png"}]}, "it has no 'height' where one belongs"),
        ("coco", {**FILE, "annotations": [ROW, {**ROW, "id": 12, "bbox": []}]}, "(annotations[1], id 12)"),
        ("coco", {**FILE, "annotations": [{**ROW, "bbox": [1, 2, float("nan"), 4]}]}, "which is not four numbers"),
        ("coco", {**FILE, "annotations": [{**ROW, "image_id": None}]}, "image_id is 'None', which is no id"),
        ("coco", {**FILE, "annotations": [[1]]}, "an entry is '[1]' and no object (annotations[0])"),
        ("coco", {**FILE, "annotations": "none"}, "an entry is 'n' and no object"),
        ("coco", {**FILE, "images": [{**IMAGE, "width": float("inf")}]}, "(images[0], id 7)"),
        ("mdetr", {**FILE, "images": [{**IMAGE, "caption": 7}]}, "caption is 7 and no text (images[0], id 7)"),
        ("mdetr", None, "no such file"),
        ("mdetr", {"annotations": []}, "is no MDETR-style JSON: it has no 'images' where one belongs"),
        ("mdetr", {**FILE, "annotations": [{**ROW, "tokens_positive": [3]}]}, "is no MDETR-style JSON"),
        ("mdetr", {**FILE, "images": [{**IMAGE, "id": [7]}]}, "is no MDETR-style JSON"),
        ("mdetr", {**FILE, "images": [{**IMAGE, "width": None}]}, "is no MDETR-style JSON"),
    ],
)
def test_a_bad_gold_file_is_named_in_one_line(here: Path, format: str, content: Any, words: str) -> None:
    path = here / "coco.json"
    path.unlink()
    if content is not None:
        plain = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(plain if isinstance(plain, bytes) else plain.encode())
    config = training({"source": str(path), "format": format, "images": "images"})
    with pytest.raises(UserError) as caught:
        open_sets(files_of(here.parent / "run"), config)
    message = str(caught.value)
    assert message.startswith(f"train.gold: {path}") and words in message and "\n" not in message


def test_a_folder_is_no_gold_file(here: Path) -> None:
    with pytest.raises(UserError, match=r"train\.gold: .*/images: cannot be read as a file"):
        open_sets(files_of(here), training({"source": f"{here}/images", "format": "coco", "images": "images"}))


@pytest.mark.parametrize(
    ("format", "row"),
    [("coco", {**ROW, "iscrowd": 1}), ("coco", {**ROW, "image_id": 8}), ("mdetr", {**ROW, "tokens_positive": []})],
)
def test_a_gold_set_that_comes_out_empty_is_named(here: Path, format: str, row: dict[str, Any]) -> None:
    (here / "coco.json").write_text(json.dumps({**FILE, "annotations": [row]}))
    others = {"source": "scenes", "count": 3}
    with pytest.raises(UserError, match=r"train\.gold: .*coco\.json holds no image with a box to train on"):
        open_sets(
            files_of(here),
            training(others, {"source": f"{here}/coco.json", "format": format, "images": "images"}),
        )


PAIR = {
    **{"key": "000000000000", "source_id": "a", "caption": "a cup", "license": "", "url": ""},
    **{"image": {"uri": "a.png", "offset": -1, "length": -1}, "sha256": "aa"},
    **{"width": 40, "height": 30, "orientation": 1},
}


@pytest.mark.parametrize(
    ("change", "due"),
    [({}, False), ({"caption": "a mug"}, True), ({"sha256": "bb"}, True), ({"license": "CC0"}, False)],
)
def test_another_image_or_caption_under_the_same_boxes_is_another_training(
    tmp_path: Path, change: dict[str, Any], due: bool
) -> None:
    gold = {"key": PAIR["key"], "spans": [{"start": 2, "end": 5}], "boxes": []}

    def fingerprint(pair: dict[str, Any]) -> str:
        entries = []
        for name, row, schema in (("pairs", pair, PAIRS), ("gold", gold, GOLD)):
            path = tmp_path / name / part_name(0)
            path.parent.mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist([row], schema=schema), path)
            entries.append(FileEntry(f"{name}/{part_name(0)}", path.stat().st_size, str(row)))
        project = [IngestStage, TrainStage]
        state = RunState(LocalStorage(str(tmp_path)), project, Config(), {0: Slice("", 0, 1)}, {"train": {}})
        state.add(
            IngestStage, part_target(0), CommitRecord("ingest", 0, "same", Counts(1, 1, 0), tuple(entries), 0.0, {})
        )
        task = state.result_task(TrainStage)
        assert task is not None
        return task.fingerprint

    assert (fingerprint({**PAIR, **change}) != fingerprint(PAIR)) is due
