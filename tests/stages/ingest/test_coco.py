"""COCO captions, with a folder of images and with instances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.ingest.stage import IngestStage
from stages.stage import UserError
from tests.stages.conftest import Run
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import write

CAPTIONS = {
    "info": {"description": "x", "nested": [[1, {"a": []}]]},
    "licenses": [{"id": 3, "name": "Attribution", "url": "http://cc/by"}],
    "images": [
        {
            "id": 7,
            "file_name": "7.jpg",
            "width": WIDTH * 2,
            "height": HEIGHT * 2,
            "license": 3,
            "coco_url": "http://x/7",
        },
        {"id": 8, "file_name": "gone.jpg", "width": 5, "height": 5},
        {"id": 9, "file_name": "../../etc/passwd", "width": 5, "height": 5},
    ],
    "annotations": [
        {"image_id": 7, "id": 1, "caption": "a «dog»\u2028 \U0001f415"},
        {"image_id": 7, "id": 2, "caption": None},
        {"image_id": 8, "id": 3, "caption": "gone"},
        {"image_id": 9, "id": 4, "caption": "refused"},
        {"image_id": 99, "id": 5, "caption": "unknown"},
        "not an object",
        {"image_id": [1], "id": 6, "caption": "odd"},
        {"image_id": 7, "id": 7, "caption": "another of the same image"},
    ],
}


INSTANCES = {
    "images": [],
    "annotations": [
        {"image_id": 7, "category_id": 1, "bbox": [4, 4, 10, 8], "iscrowd": 0},
        {"image_id": 7, "category_id": 2, "bbox": [-4, 0, 1000, 1000]},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": ["x", 0, 9, 9]},
        {"image_id": 6, "category_id": 1, "bbox": [0, 0, 9, 9]},
    ],
    "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "park"}],
}


def coco(tmp_path: Path, data: Any = CAPTIONS, **options: Any) -> Any:
    write(tmp_path / "coco/images/7.jpg", image_file())
    return write(tmp_path / "coco/captions.json", json.dumps(data, **options).encode())


@pytest.mark.parametrize("part_size", [1, 3, 100])
@pytest.mark.parametrize("options", [{}, {"ensure_ascii": False, "indent": 1}])
def test_coco_captions_row_by_row(run: Run, tmp_path: Path, part_size: int, options: dict[str, Any]) -> None:
    first, last = run.ingest(part_size, source=coco(tmp_path, **options))
    assert (first["caption"], first["source_id"]) == (CAPTIONS["annotations"][0]["caption"], "7.jpg#1")
    assert (first["url"], first["license"]) == ("http://x/7", "http://cc/by")
    assert (last["caption"], last["image"]) == ("another of the same image", first["image"])
    assert [row["reason"] for row in run.rows("rejects/ingest")] == [
        "missing_caption",
        "missing_image",
        "image_read_refused",
        "missing_image",
        "bad_record",
        "missing_image",
    ]


def test_an_image_of_several_captions_is_read_once(run: Run, tmp_path: Path) -> None:
    stage = IngestStage(run.config(ingest={"source": coco(tmp_path)}))
    (piece,) = stage.plan(run.io(), 100)
    io = run.io(0, piece)
    stage.run_part(io)
    assert sorted(ref.uri.rpartition("/")[2] for ref in io.reads) == ["7.jpg", "gone.jpg"]


def test_coco_instances_become_gold_in_the_images_frame(run: Run, tmp_path: Path) -> None:
    instances = write(tmp_path / "coco/instances.json", json.dumps(INSTANCES).encode())
    run.ingest(source=coco(tmp_path), instances=instances)
    gold = run.rows("gold")
    assert gold
    for row in gold:
        assert row["spans"] == []
        assert [tuple(box.values()) for box in row["boxes"]] == [
            (-1, 2, 2, 7, 6, "dog"),
            (-1, 0, 0, WIDTH, HEIGHT, "park"),
        ]


def test_coco_without_an_image_folder_is_captions_alone(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "captions.json", json.dumps(CAPTIONS).encode())
    assert {pair["image"] for pair in run.ingest(source=path)} == {None}
    assert "refused" in [pair["caption"] for pair in run.rows("pairs")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"annotations": [{"caption": "x", "image_id": 1}, {"cap', "broken JSON at byte"),
        (b"[1, 2]", "byte 0"),
        (b'{"a": ' + b"[" * 100_000, "deeply|expected|broken"),
        (b'{"images": [], "annotations": [{"bbox": [0, 0, 1, 1], "image_id": 1}]}', "no captions"),
        (b'{"images": []}', "no list `annotations`"),
        (b'{"annotations" [', "byte 15"),
        (b"", "byte 0"),
    ],
)
def test_a_json_that_is_no_coco_is_the_users_mistake(run: Run, tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run.ingest(source=write(tmp_path / "captions.json", content))


def test_real_coco(run: Run, shared: Path) -> None:
    source = shared / "coco-mini"
    pairs = run.ingest(150, source=str(source), instances=str(source / "instances.json"))
    captions = json.loads((source / "captions.json").read_text())
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in captions["images"]}
    names = {image["id"]: image["file_name"] for image in captions["images"]}
    expected = [(f"{names[a['image_id']]}#{a['id']}", a["caption"]) for a in captions["annotations"]]
    assert [(pair["source_id"], pair["caption"]) for pair in pairs] == expected
    assert all((pair["width"], pair["height"]) == sizes[pair["source_id"].partition("#")[0]] for pair in pairs)
    instances = json.loads((source / "instances.json").read_text())["annotations"]
    gold = {pair["source_id"]: row["boxes"] for pair, row in zip(pairs, run.rows("gold"))}
    for annotation in captions["annotations"]:
        true = [a for a in instances if a["image_id"] == annotation["image_id"] and not a["iscrowd"]]
        found = gold[f"{names[annotation['image_id']]}#{annotation['id']}"]
        assert len(found) == len(true)
        for box, (x, y, w, h) in zip(found, (a["bbox"] for a in true)):
            assert [box["x1"], box["y1"], box["x2"], box["y2"]] == pytest.approx([x, y, x + w, y + h], abs=1e-3)


def test_coco_as_it_unpacks(run: Run, tmp_path: Path) -> None:
    """annotations/ beside val2017/; the boxes that lie there too are named, and not used unless asked for."""
    write(tmp_path / "in/val2017/7.jpg", image_file())
    captions = write(tmp_path / "in/annotations/captions_val2017.json", json.dumps(CAPTIONS).encode())
    instances = write(tmp_path / "in/annotations/instances_val2017.json", json.dumps(INSTANCES).encode())
    for source in (str(tmp_path / "in"), captions):
        stage = IngestStage(run.config(ingest={"source": source}))
        (piece,) = stage.plan(run.io(), 100)
        assert piece.extra["images"] == str(tmp_path / "in/val2017")
        assert stage.unused == {"file (instances_val2017.json)": 1}
        assert [pair["image"]["uri"] for pair in run.ingest(source=source)] == [str(tmp_path / "in/val2017/7.jpg")] * 2
        assert not (run.root / "gold").exists()
    run.ingest(source=str(tmp_path / "in"), instances=instances)
    assert [len(row["boxes"]) for row in run.rows("gold")] == [2, 2]


@pytest.mark.parametrize("where", ["images", "coco/images/val2017", "coco/val2017", "."])
def test_coco_images_wherever_they_lie_in_the_source(run: Run, tmp_path: Path, where: str) -> None:
    write(tmp_path / "in" / where / "7.jpg", image_file())
    write(tmp_path / "in/captions_val2017.json", json.dumps(CAPTIONS).encode())
    assert len(run.ingest(source=str(tmp_path / "in"))) == 2


def test_two_captions_files_ask(run: Run, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / f"in/annotations/captions_{split}2017.json", json.dumps(CAPTIONS).encode())
    with pytest.raises(
        UserError, match=r"captions_train2017.json and .*captions_val2017.json; set ingest\.source to one"
    ):
        run.ingest(source=str(tmp_path / "in"))


def test_windows_wrote_the_file_names(run: Run, tmp_path: Path) -> None:
    data = {**CAPTIONS, "images": [{"id": 7, "file_name": "sub\\7.jpg"}, {"id": 8, "file_name": "..\\..\\passwd"}]}
    write(tmp_path / "in/images/sub/7.jpg", image_file())
    pairs = run.ingest(source=write(tmp_path / "in/captions.json", json.dumps(data).encode()))
    assert {pair["image"]["uri"] for pair in pairs} == {str(tmp_path / "in/images/sub/7.jpg")}
    assert run.rows("rejects/ingest")[1]["reason"] == "image_read_refused"


def test_an_id_of_two_images_is_a_bad_record(run: Run, tmp_path: Path) -> None:
    image = CAPTIONS["images"][0]
    twice = {**CAPTIONS, "images": [image, image, {**image, "id": "8"}, {**image, "id": 8, "file_name": "other.jpg"}]}
    assert [pair["source_id"] for pair in run.ingest(source=coco(tmp_path, twice))] == ["7.jpg#1", "7.jpg#7"]
    details = [row["detail"] for row in run.rows("rejects/ingest") if row["reason"] == "bad_record"]
    assert details[0] == "7.jpg and other.jpg have the same id"
