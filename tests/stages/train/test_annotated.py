"""Annotation files as gold: what becomes of their images, and what is left out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.config import GoldSet
from stages.stage import RowError
from stages.train.annotated import CocoSet, MdetrSet
from stages.train.gold import open_gold, unused_boxes
from stages.train.transforms import decode, detection_prompt
from tests.stages.conftest import DiskIO
from tests.stages.train.conftest import RunDisk

CAPTION = "A man and his dog on a dog bed"


@pytest.fixture
def images_made(tmp_path: Path) -> Path:
    """images/a.png and images/b.png, 40 x 30."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), "teal").save(buffer, "PNG")
        (tmp_path / "images" / f"{name}.png").write_bytes(buffer.getvalue())
    return tmp_path


def write(path: Path, **data: object) -> str:
    path.write_text(json.dumps(data))
    return path.name


IMAGES = [{"id": i, "file_name": f"{name}.png", "width": 40, "height": 30} for i, name in ((7, "a"), (9, "b"))]


def test_coco_instances_become_objects_for_detection_prompts(images_made: Path) -> None:
    rows = [
        {"image_id": 7, "category_id": 2, "bbox": [5, 6, 10, 20]},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 40, 30], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": [3, 3, 1, 9]},
        {"image_id": 9, "category_id": 1, "bbox": [3, 3, 9, 0.5]},
    ]
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "hot dog"}]
    file = write(images_made / "coco.json", images=IMAGES, annotations=rows, categories=categories)
    gold = open_gold(RunDisk(images_made), GoldSet(source=file, format="coco", images="images"))
    assert isinstance(gold, CocoSet) and len(gold) == 1 and gold.vocabulary() == ["cup", "hot dog"]
    sample = gold.sample(0)
    assert sample.objects == (("hot dog", (5.0, 6.0, 15.0, 26.0)),) and sample.caption == "" and not sample.pseudo
    assert sample.image == (images_made / "images" / "a.png").read_bytes() and gold.shape(0) == (30, 40)
    assert gold.names(0) == {"hot dog"}


def test_grounding_json_keeps_its_spans_and_leaves_out_what_has_no_box(images_made: Path) -> None:
    rows = [
        {"image_id": 9, "bbox": [1, 2, 10, 10], "tokens_positive": [[0, 5]]},
        {"image_id": 9, "bbox": [20, 10, 30, 30], "tokens_positive": [[10, 17], [23, 30]]},
        {"image_id": 9, "bbox": [2, 2, 8, 8], "tokens_positive": [[0, 5]]},
        {"image_id": 9, "bbox": [2, 2, 8, 8], "tokens_positive": []},
        {"image_id": 7, "bbox": [2, 2, 1, 8], "tokens_positive": [[0, 5]]},
    ]
    images = [{**image, "caption": CAPTION} for image in IMAGES]
    file = write(images_made / "mdetr.json", images=images, annotations=rows)
    gold = open_gold(RunDisk(images_made), GoldSet(source=file, format="mdetr", images="images"))
    assert isinstance(gold, MdetrSet) and len(gold) == 1
    sample = gold.sample(0)
    words = [[sample.caption[start:end] for start, end in phrase] for phrase in sample.spans]
    assert words == [["A man"], ["his dog", "dog bed"]] and sample.phrase.tolist() == [0, 1, 0]
    assert gold.names(0) == {"man", "bed"}
    example = decode(sample, 10**6)
    np.testing.assert_array_equal(
        example.boxes, [[1, 2, 11, 12], [20, 10, 40, 30], [2, 2, 10, 10]]
    )  # cut at the border


def test_a_box_outside_of_its_image_is_dropped_with_its_phrase_and_score(images_made: Path) -> None:
    rows = [
        {"image_id": 9, "bbox": [41, 2, 10, 10], "tokens_positive": [[0, 5]]},
        {"image_id": 9, "bbox": [-4, -4, 8, 8], "tokens_positive": [[10, 17]]},
    ]
    file = write(images_made / "mdetr.json", images=[{**IMAGES[1], "caption": CAPTION}], annotations=rows)
    example = decode(MdetrSet(RunDisk(images_made), file, "images").sample(0), 10**6)
    assert example.boxes.tolist() == [[0, 0, 4, 4]] and example.phrase.tolist() == [1] and len(example.scores) == 1


@pytest.mark.parametrize("format", ["coco", "mdetr"])
@pytest.mark.parametrize(
    ("declared", "orientation", "box"),
    [
        ((256, 224), 1, [21.5, 70, 63, 111]),  # the image was resized to half its size since
        ((128, 112), 1, [43, 112, 126, 112]),  # as declared: cut at the border, so that nothing is left
        ((0, 0), 1, [43, 112, 126, 112]),  # a converter that did not know the size
        ((128, 112), 6, [0, 43, 0, 112]),  # of the stored image, which is turned by a quarter
        ((256, 224), 3, [21.5, 70, 63, 111]),
    ],
)
def test_boxes_come_from_the_declared_size_into_the_image(
    images_made: Path, format: str, declared: tuple[int, int], orientation: int, box: list[float]
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (128, 112)).save(images_made / "images" / "a.jpg", exif=exif)
    image = {"id": 1, "file_name": "a.jpg", "width": declared[0], "height": declared[1], "caption": "a cup"}
    row = {"image_id": 1, "category_id": 1, "bbox": [43, 140, 83, 82], "tokens_positive": [[2, 5]]}
    file = write(images_made / "g.json", images=[image], annotations=[row], categories=[{"id": 1, "name": "cup"}])
    gold = open_gold(
        RunDisk(images_made), GoldSet.model_validate({"source": file, "format": format, "images": "images"})
    )
    sample = gold.sample(0)
    if format == "coco":
        sample = detection_prompt(sample, ["cup"], 0, np.random.default_rng(0))
    expected = [box] if box[2] > box[0] and box[3] > box[1] else []
    assert decode(sample, 10**6).boxes.tolist() == expected
    assert gold.shape(0) == ((112, 128) if declared == (0, 0) else declared[::-1])


def test_an_image_of_unknown_size_that_is_missing_is_still_a_sample_to_skip(images_made: Path) -> None:
    image = {"id": 1, "file_name": "none.png", "width": 0, "height": 0}
    row = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
    file = write(images_made / "g.json", images=[image], annotations=[row], categories=[{"id": 1, "name": "cup"}])
    gold = CocoSet(DiskIO(images_made), file, "images")
    assert gold.shape(0) == (1, 1)
    with pytest.raises(RowError, match="missing_image"):
        gold.sample(0)


def test_a_name_that_leaves_the_image_folder_is_refused(images_made: Path) -> None:
    image = {**IMAGES[0], "file_name": "../secret.png"}
    row = {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9]}
    file = write(images_made / "coco.json", images=[image], annotations=[row], categories=[{"id": 1, "name": "cup"}])
    with pytest.raises(RowError, match="image_read_refused"):
        CocoSet(RunDisk(images_made), file, "images").sample(0)


def test_arrays_keyed_by_id_and_what_is_left_out_of_them(images_made: Path) -> None:
    rows = {
        "1": {"image_id": "7", "category_id": 2, "bbox": [5, 6, 10, 20]},
        "2": {"image_id": 8, "category_id": 2, "bbox": [5, 6, 10, 20]},
        "3": {"image_id": 7, "category_id": 5, "bbox": [0, 0, 40, 30], "iscrowd": 1},
        "4": {"image_id": 7, "category_id": 2, "bbox": [3, 3, 1, 9]},
    }
    images = {"7": {key: value for key, value in IMAGES[0].items() if key != "id"}}
    file = write(images_made / "coco.json", images=images, annotations=rows, categories={"2": {"name": "cup"}})
    gold = CocoSet(RunDisk(images_made), file, "images")
    assert [gold.names(i) for i in range(len(gold))] == [{"cup"}]
    assert gold.unused == {"crowd": 1, "empty_box": 1, "unknown_image": 1}


def test_boxes_of_grounding_json_that_are_left_out_are_counted(images_made: Path) -> None:
    rows = [
        {"image_id": 7, "bbox": [1, 2, 10, 10], "tokens_positive": [[0, 5]]},
        {"image_id": 8, "bbox": [1, 2, 10, 10], "tokens_positive": [[0, 5]]},
        {"image_id": 7, "bbox": [1, 2, 10, 10], "tokens_positive": []},
        {"image_id": 7, "bbox": [1, 2, 0, 10], "tokens_positive": [[0, 5]]},
    ]
    file = write(images_made / "m.json", images=[{**IMAGES[0], "caption": CAPTION}], annotations=rows)
    gold = MdetrSet(RunDisk(images_made), file, "images")
    assert len(gold) == 1 and gold.unused == {"phrase_not_found": 1, "empty_box": 1, "unknown_image": 1}
    assert unused_boxes({"gold 0: m.json": gold}) == {
        "boxes of gold 0: m.json (empty_box)": 1,
        "boxes of gold 0: m.json (phrase_not_found)": 1,
        "boxes of gold 0: m.json (unknown_image)": 1,
    }


def test_names_of_windows_and_ids_as_text(images_made: Path) -> None:
    folder = images_made / "images"
    (folder / "sub").mkdir()
    (folder / "a.png").rename(folder / "sub" / "a.png")
    image = {**IMAGES[0], "id": "7", "file_name": "sub\\a.png"}
    row = {"image_id": 7.0, "category_id": "1", "bbox": [0, 0, 9, 9]}
    file = write(images_made / "coco.json", images=[image], annotations=[row], categories=[{"id": 1, "name": "cup"}])
    sample = CocoSet(RunDisk(images_made), file, "images").sample(0)
    assert sample.image == (folder / "sub" / "a.png").read_bytes() and [name for name, _ in sample.objects] == ["cup"]
