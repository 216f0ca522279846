"""COCO's true boxes: all that a file has are used, or counted with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.reasons import REJECTED_GOLD
from stages.stage import UserError
from tests.stages.conftest import Run
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import write

SIZE = {"width": WIDTH, "height": HEIGHT}
BOX = {"image_id": 7, "category_id": 1, "bbox": [4, 4, 10, 8]}
CATEGORIES = [{"id": 1, "name": "dog"}]


def captions_file(*images: dict[str, Any], captions: Any = None) -> dict[str, Any]:
    listed = [{"id": 7, "file_name": "7.jpg", **SIZE}, {"id": 8, "file_name": "8.jpg", **SIZE}]
    return {"images": list(images) or listed, "annotations": captions or [{"image_id": 7, "id": 1, "caption": "a"}]}


def gold(
    run: Run, tmp_path: Path, instances: dict[str, Any], captions: dict[str, Any] | None = None, part_size: int = 100
) -> tuple[list[Any], dict[str, Any]]:
    """Corners and category of the boxes of each pair, and the notes of all parts, summed."""
    for name in ("7.jpg", "8.jpg"):
        write(tmp_path / "in/images" / name, image_file())
    source = write(tmp_path / "in/captions.json", json.dumps(captions or captions_file()).encode())
    path = write(tmp_path / "in/instances.json", json.dumps(instances).encode())
    run.ingest(part_size, source=source, instances=path)
    boxes = [[tuple(box.values())[1:] for box in row["boxes"]] for row in run.rows("gold")]
    notes = [result.notes["gold"] for result in run.results.values() if "gold" in result.notes]
    total: dict[str, Any] = {"in": 0, "used": 0, "rejected": {}}
    for note in notes:
        assert note["in"] == note["used"] + sum(note["rejected"].values())
        total = {
            "in": total["in"] + note["in"],
            "used": total["used"] + note["used"],
            "rejected": {k: total["rejected"].get(k, 0) + note["rejected"].get(k, 0)
                         for k in {*total["rejected"], *note["rejected"]}},
        }  # fmt: skip
    return boxes, total


WHOLE = [[(4, 4, 14, 12, "dog")]]


@pytest.mark.parametrize(
    "image",
    [
        {"width": 0, "height": 0},
        {},
        {"width": None, "height": None},
        {"width": -1, "height": HEIGHT},
        {"width": str(WIDTH), "height": f"{HEIGHT}.0"},
        {"width": "?", "height": "?"},
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_size_that_the_captions_file_lacks(run: Run, tmp_path: Path, image: dict[str, Any], known: bool) -> None:
    """It is the instances file's, else the image's own."""
    instances = {"annotations": [BOX], "categories": CATEGORIES}
    if known:
        instances["images"] = [{"id": 7, "file_name": "7.jpg", **SIZE}]
    captions = captions_file({"id": 7, "file_name": "7.jpg", **image})
    assert gold(run, tmp_path, instances, captions) == (WHOLE, {"in": 1, "used": 1, "rejected": {}})


def test_the_frame_of_the_boxes_is_the_instances_files(run: Run, tmp_path: Path) -> None:
    """The captions file speaks of the images after they were resized."""
    twice = {"width": 2 * WIDTH, "height": 2 * HEIGHT}
    instances = {"annotations": [BOX], "categories": CATEGORIES, "images": [{"id": "7", **twice}]}
    assert gold(run, tmp_path, instances)[0] == [[(2, 2, 7, 6, "dog")]]


@pytest.mark.parametrize(
    ("image", "caption", "box"),
    [
        (7, 7, "7"), (7, 7, 7.0), (7, 7, "7.0"), (7, 7, "000000000007"), ("7", 7, 7), (7.0, "7", "007"),
        (" 7 ", 7, 7), ("a7", "a7", "a7"),
    ],
)  # fmt: skip
def test_ids_are_compared_as_numbers(run: Run, tmp_path: Path, image: Any, caption: Any, box: Any) -> None:
    captions = captions_file(
        {"id": image, "file_name": "7.jpg", **SIZE}, captions=[{"image_id": caption, "caption": "a"}]
    )
    instances = {"annotations": [BOX | {"image_id": box, "category_id": "1"}], "categories": CATEGORIES}
    assert gold(run, tmp_path, instances, captions) == (WHOLE, {"in": 1, "used": 1, "rejected": {}})


@pytest.mark.parametrize("part_size", [1, 2, 100])
@pytest.mark.parametrize("keyed", [("annotations",), ("images", "annotations", "categories")])
def test_lists_as_objects_keyed_by_id(run: Run, tmp_path: Path, keyed: tuple[str, ...], part_size: int) -> None:
    """In both files; an entry without an id has its key for one."""
    captions = captions_file(captions=[{"image_id": n, "caption": text} for n, text in ((7, "a"), (8, "b"), (7, "c"))])
    instances: dict[str, Any] = {
        "annotations": [BOX, BOX | {"image_id": 8}],
        "categories": [{"name": "cat"}, *CATEGORIES],
    }
    for data in (captions, instances):
        for name in keyed:
            if name in data:
                data[name] = {str(entry.get("id", number)): dict(entry) for number, entry in enumerate(data[name])}
    for entries in (captions["images"], instances["categories"]):
        if isinstance(entries, dict):
            for entry in entries.values():
                entry.pop("id", None)
    boxes, notes = gold(run, tmp_path, instances, captions, part_size)
    assert (boxes, notes) == (WHOLE * 3, {"in": 3, "used": 3, "rejected": {}})
    assert [pair["caption"] for pair in run.rows("pairs")] == ["a", "b", "c"]


def test_every_box_is_used_or_has_its_reason(run: Run, tmp_path: Path) -> None:
    """A box counts once for each caption of its image: two here."""
    captions = captions_file(captions=[{"image_id": 7, "caption": "a"}, {"image_id": 7, "caption": "b"}])
    boxes = [
        *({**BOX, "bbox": bbox} for bbox in ([4, 4, 10, 8], ["4", 4.0, "10", 8], [1, 1, 0, 5], [90, 90, 5, 5])),
        *(
            {**BOX, "bbox": bbox}
            for bbox in (["x", 0, 9, 9], [1, 2, 3], [1, 2, 3, 4, 5], None, [0, 0, float("nan"), 1])
        ),
        *({**BOX, "bbox": bbox} for bbox in ([0, 0, [1], 1], "1,2,3,4", {"x": 1})),
        {"image_id": 7, "category_id": 1},
        {**BOX, "iscrowd": 1},
        *({**BOX, "image_id": image} for image in (8, 99, None, [7])),  # an image without a caption, and no images
        "no object",
    ]
    found, notes = gold(run, tmp_path, {"annotations": boxes, "categories": CATEGORIES}, captions)
    assert found == [WHOLE[0] * 2] * 2
    reasons = {"crowd": 2, "empty_box": 2, "outside_image": 2, "bad_box": 18, "unknown_image": 5}
    assert notes == {"in": 33, "used": 4, "rejected": reasons}
    assert set(reasons) <= set(REJECTED_GOLD)
    assert run.results[0].notes["unused"] == {f"true boxes ({name})": number for name, number in reasons.items()}


def test_boxes_of_a_rejected_pair_are_counted(run: Run, tmp_path: Path) -> None:
    captions = captions_file(captions=[{"image_id": 7, "caption": None}, {"image_id": 8, "caption": "b"}])
    captions["images"][1]["file_name"] = "gone.jpg"
    instances = {"annotations": [BOX, BOX, BOX | {"image_id": 8}]}
    assert gold(run, tmp_path, instances, captions) == ([], {"in": 3, "used": 0, "rejected": {"pair_rejected": 3}})


@pytest.mark.parametrize("part_size", [1, 2])
def test_boxes_elsewhere_are_counted_once(run: Run, tmp_path: Path, part_size: int) -> None:
    captions = captions_file(captions=[{"image_id": 7, "caption": text} for text in "abc"])
    instances = {"annotations": [BOX, *[BOX | {"image_id": 8}] * 5]}
    assert gold(run, tmp_path, instances, captions, part_size)[1]["rejected"] == {"unknown_image": 5}


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("7.jpg", "train/7.png", True),
        ("COCO_train2014_000000000007.jpg", "000000000007.jpg", True),
        ("a\\7.jpg", "7.jpg", True),
        ("7.jpg", "8.jpg", False),
        ("dog.jpg", "cat.jpg", False),
        ("7.jpg", None, True),
    ],
)
def test_an_id_that_means_another_image(run: Run, tmp_path: Path, ours: str, theirs: str | None, same: bool) -> None:
    """Two converters have counted images in another order."""
    captions = captions_file({"id": 7, "file_name": ours, **SIZE})
    write(tmp_path / "in/images" / ours.replace("\\", "/"), image_file())
    instances = {"images": [{"id": 7, "file_name": theirs}], "annotations": [BOX]}
    _, notes = gold(run, tmp_path, instances, captions)
    assert notes == {"in": 1, "used": int(same), "rejected": {} if same else {"other_image": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [], "annotations": [{"image_id": 7, "caption": "a"}]}, "has no `annotations` with a `bbox`"),
        ({"images": []}, "has no `annotations` with a `bbox`"),
        ([{"image_id": 7, "bbox": [0, 0, 1, 1]}], "is a list; an instances file is an object"),
    ],
)
def test_what_is_no_instances_file(run: Run, tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"ingest.instances: .*{message}"):
        gold(run, tmp_path, content)


def test_a_folder_is_no_instances_file(run: Run, tmp_path: Path) -> None:
    source = write(tmp_path / "in/captions.json", json.dumps(captions_file()).encode())
    for name in ("a.json", "b.json"):
        write(tmp_path / "instances" / name, b"{}")
    with pytest.raises(UserError, match="has 2 files; name the JSON file itself"):
        run.ingest(source=source, instances=str(tmp_path / "instances"))


def test_real_instances_are_all_accounted_for(run: Run, shared: Path) -> None:
    source = shared / "coco-mini"
    run.ingest(150, source=str(source), instances=str(shared / "photos/coco_instances.json"))
    captions = json.loads((source / "captions.json").read_text())["annotations"]
    annotations = json.loads((shared / "photos/coco_instances.json").read_text())["annotations"]
    times = {image: sum(caption["image_id"] == image for caption in captions) for image in
             {annotation["image_id"] for annotation in annotations}}  # fmt: skip
    notes = [result.notes["gold"] for result in run.results.values()]
    assert sum(note["in"] for note in notes) == sum(max(1, times[entry["image_id"]]) for entry in annotations)
    assert sum(note["used"] for note in notes) == sum(len(row["boxes"]) for row in run.rows("gold")) > 0
    elsewhere = sum(note["rejected"].get("unknown_image", 0) for note in notes)
    assert elsewhere == sum(not times[entry["image_id"]] for entry in annotations) > 0
