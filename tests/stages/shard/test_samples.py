"""The rows of pseudo with what pairs and phrases know of them, and their JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as coco_masks

from schemas.records import MASKS, PAIRS, PHRASES, PSEUDO, SCORES
from stages.rle import encode
from stages.shard.samples import json_line, read_samples, sample_json
from tests.stages.conftest import Run

CAPTION = "ein “Hund” & <b>une</b> crêpe\u2028"


@pytest.fixture
def filled(run: Run) -> Run:
    """Three pairs; the second one has no boxes, the third one no image; pseudo has them in another order."""
    image = {"uri": "images/part-0000000.tar", "offset": 512, "length": 99}
    pairs: list[dict[str, Any]] = [
        {"key": f"{number:012d}", "source_id": f"id {number}", "caption": CAPTION, "width": 40, "height": 30}
        for number in range(3)
    ]
    for number, pair in enumerate(pairs):
        pair |= {"orientation": 6, "license": None if number else "CC0", "image": None if number == 2 else image}
    phrase = {"start": 5, "end": 9, "text": "Hund", "head": "hund", "norm": "hund"}
    box = {"phrase": 0, "x1": 0.1, "y1": 2.0, "x2": 30.3, "y2": 29.999, "score": 0.7}
    run.io().write("pairs", pa.Table.from_pylist(pairs, schema=PAIRS))
    rows = [{"key": pair["key"], "caption": CAPTION, "phrases": [phrase], "dropped": []} for pair in pairs]
    run.io().write("phrases", pa.Table.from_pylist(rows, schema=PHRASES))
    pseudo = [
        {"key": f"{number:012d}", "width": 40, "height": 30, "boxes": [] if number == 1 else [box], "dropped": []}
        for number in (2, 0, 1)
    ]
    run.io().write("pseudo", pa.Table.from_pylist(pseudo, schema=PSEUDO))
    return run


def test_samples_come_in_the_order_of_pseudo_and_say_why_they_are_none(filled: Run) -> None:
    samples = read_samples(filled.io()).samples
    assert [(sample.pair.key, sample.set_aside) for sample in samples] == [
        ("000000000002", "no_image"),
        ("000000000000", ""),
        ("000000000001", "no_boxes"),
    ]


def test_the_json_has_the_values_of_the_tables(filled: Run) -> None:
    sample = read_samples(filled.io()).samples[1]
    line = sample_json(sample, "glip-nano@sha256:00")
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and "“Hund”".encode() in line
    float32 = [float(np.float32(value)) for value in (0.1, 2.0, 30.3, 29.999, 0.7)]
    assert json.loads(line) == {
        "key": "000000000000",
        "caption": CAPTION,
        "width": 40,
        "height": 30,
        "orientation": 6,
        "phrases": [{"start": 5, "end": 9, "text": "Hund"}],
        "boxes": [{"phrase": 0, "bbox": float32[:4], "score": float32[4]}],
        "teacher": "glip-nano@sha256:00",
        "source_id": "id 0",
        "license": "CC0",
    }


def test_masks_stand_beside_their_boxes(filled: Run) -> None:
    """The first row of pseudo has no row in masks: the mask stage rejected it."""
    pixels = np.zeros((30, 40), np.bool_)
    pixels[2:30, 0:15] = True  # half of the box
    mask = {"counts": encode(pixels), "height": 30, "width": 40, "score": 0.5}
    rows = [{"key": "000000000000", "masks": [mask]}, {"key": "000000000001", "masks": []}]
    filled.io().write("masks", pa.Table.from_pylist(rows, schema=MASKS))
    found = read_samples(filled.io())
    assert [["segmentation" in box for box in sample.boxes] for sample in found.samples] == [[False], [True], []]
    (box,) = json.loads(sample_json(found.samples[1], "glip-nano"))["boxes"]
    assert coco_masks.decode(box["segmentation"]).astype(bool).tolist() == pixels.tolist()
    assert found.left_out == 0
    strict = read_samples(filled.io(), max_mask_box_gap=0.4)
    assert [(sample.set_aside, len(sample.boxes)) for sample in strict.samples] == [
        ("no_image", 1),
        ("no_boxes", 0),
        ("no_boxes", 0),
    ]
    assert strict.left_out == 1


def test_cosines_stand_beside_their_boxes(filled: Run) -> None:
    """Of the image that has a box, as the second of two in labels; the third row has none."""
    box = {"phrase": 0, "x1": 0.1, "y1": 2.0, "x2": 30.3, "y2": 29.999, "score": 0.7}
    rows = [
        {"key": key, "width": 40, "height": 30, "boxes": boxes, "dropped": [{"box": 0, "reason": "low_score"}]}
        for key, boxes in (("000000000002", [box]), ("000000000000", [box]), ("000000000001", []))
    ]
    filled.io().write("pseudo", pa.Table.from_pylist(rows, schema=PSEUDO))
    none = {"score": None, "best_phrase": None, "best_score": None}
    scores = [
        {"key": "000000000000", "image": 0.25, "boxes": [{**none, "score": 0.5}, {**none, "score": 0.125}]},
        {"key": "000000000001", "image": 0.75, "boxes": [none]},
    ]
    filled.io().write("scores", pa.Table.from_pylist(scores, schema=SCORES))
    found = [json.loads(sample_json(sample, "glip-nano")) for sample in read_samples(filled.io()).samples]
    assert [record.get("image_score") for record in found] == [None, 0.25, 0.75]
    assert [[one.get("region_score") for one in record["boxes"]] for record in found] == [[None], [0.125], []]


def test_what_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_line({"score": math.nan})
