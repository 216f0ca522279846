"""List columns as flat arrays, against the records that they were made of."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas import items, rows
from schemas.arrow import table_of
from schemas.items import Boxes, GoldBoxes, ImageRefs, Items, Masks, Phrases, Spans, offsets_of
from tests.schemas.examples import EXAMPLES, LABELS

KINDS = Items.__subclasses__()


def boxes(table: pa.Table) -> Boxes:
    return Boxes.of(table["boxes"].combine_chunks())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_there_is_an_array_for_every_field_of_the_record(kind: type[Items]) -> None:
    names = [field.name for field in dataclasses.fields(kind)][1:]
    if "xyxy" in names:
        names[names.index("xyxy") : names.index("xyxy") + 1] = rows.CORNERS
    assert names == [field.name for field in dataclasses.fields(kind.record)]


def list_columns() -> list[Any]:
    """Every list column of the examples with the class of its items."""
    kinds = {kind.record: kind for kind in KINDS}
    found = []
    for view, examples in EXAMPLES.items():
        for field in table_of(examples, view.record).schema:
            if pa.types.is_list(field.type):
                records = [record for row in examples for record in getattr(row, field.name)]
                kind = kinds[type(records[0])]
                found.append(pytest.param(view.record, field.name, kind, id=f"{view.dataset}.{field.name}"))
    return found


@pytest.mark.parametrize(("record", "name", "kind"), list_columns())
def test_columns_survive_the_way_to_numpy_and_back(record: type, name: str, kind: type[Items]) -> None:
    examples = next(examples for view, examples in EXAMPLES.items() if view.record is record)
    column = table_of(examples, record)[name].combine_chunks()
    flat = kind.of(column)
    assert flat.lengths.tolist() == [len(getattr(row, name)) for row in examples]
    assert flat.to_arrow().equals(column)
    nothing = kind.of(column.slice(0, 0))
    assert (len(nothing), nothing.offsets.tolist()) == (0, [0])
    assert nothing.to_arrow().type == column.type


def test_boxes_are_flat_with_their_rows_and_places() -> None:
    found = boxes(table_of(LABELS, rows.LabelRow))
    assert len(found) == 3
    assert found.xyxy.tolist() == [list(box.corners) for row in LABELS for box in row.boxes]
    assert (found.phrase.tolist(), found.score.tolist()) == ([1, 0, 0], [0.625, 0.1171875, 0.1171875])
    assert (found.phrase.dtype, found.xyxy.dtype, found.score.dtype) == (np.int32, np.float32, np.float32)
    assert found.offsets.tolist() == [0, 2, 2, 3]
    assert (found.row.tolist(), found.place.tolist()) == ([0, 0, 2], [0, 1, 0])
    assert [found.score[own].tolist() for own in found.slices()] == [[0.625, 0.1171875], [], [0.1171875]]


def test_one_mask_filters_all_arrays_and_keeps_the_rows() -> None:
    found = boxes(table_of(LABELS, rows.LabelRow))
    low = found.keep(found.score < 0.5)
    assert (low.offsets.tolist(), low.row.tolist(), low.phrase.tolist()) == ([0, 1, 1, 2], [0, 2], [0, 0])
    assert low.xyxy.tolist() == [[0, 0, 639, 479.5]] * 2
    assert found.keep(np.zeros(3, bool)).offsets.tolist() == [0, 0, 0, 0]
    assert found.keep(np.ones(3, bool)).to_arrow().equals(found.to_arrow())
    gold = next(examples for view, examples in EXAMPLES.items() if view.dataset == "gold")
    named = GoldBoxes.of(table_of(gold, rows.GoldRow)["boxes"].combine_chunks())
    assert named.keep(named.span >= 0).category.to_pylist() == ["dog"]  # strings too


def test_a_mask_of_another_length_is_refused() -> None:
    found = boxes(table_of(LABELS, rows.LabelRow))
    with pytest.raises(IndexError):
        found.keep(np.ones(2, bool))


def test_slices_and_chunks_are_read_as_they_are() -> None:
    table = table_of(LABELS, rows.LabelRow)
    assert boxes(table.slice(1)).xyxy.tolist() == [[0, 0, 639, 479.5]]
    assert boxes(table.slice(1)).offsets.tolist() == [0, 0, 1]
    twice = boxes(pa.concat_tables([table.slice(2), table.slice(0, 1)]))
    assert (twice.row.tolist(), twice.phrase.tolist()) == ([0, 1, 1], [0, 1, 0])


def test_nulls_are_minus_one_nan_and_null() -> None:
    """As other writers may leave them."""
    kind = table_of(LABELS, rows.LabelRow).schema.field("boxes").type
    box = {"phrase": None, "x1": None, "y1": 0.0, "x2": 1.0, "y2": 1.0, "score": None}
    found = Boxes.of(pa.array([[box], None, []], kind))
    assert (found.offsets.tolist(), found.phrase.tolist()) == ([0, 1, 1, 1], [-1])
    assert np.isnan([found.xyxy[0, 0], found.score[0]]).all()
    phrase = {"start": 0, "end": 1, "text": "x", "head": None, "norm": "x"}
    phrases = Phrases.of(pa.array([[phrase]], table_of([], rows.PhraseRow).schema.field("phrases").type))
    assert (phrases.head.null_count, phrases.norm.to_pylist()) == (1, ["x"])


def test_bytes_of_masks_stay_bytes() -> None:
    examples = next(examples for view, examples in EXAMPLES.items() if view.dataset == "masks")
    masks = Masks.of(table_of(examples, rows.MaskRow)["masks"].combine_chunks())
    assert masks.counts.to_pylist() == [b"\x00PQ\xff"]
    assert (masks.height.tolist(), masks.width.tolist()) == ([480], [640])


def test_images_come_one_by_one() -> None:
    pairs = next(examples for view, examples in EXAMPLES.items() if view.dataset == "pairs")
    column = table_of(pairs, rows.Pair)["image"].combine_chunks()
    images = ImageRefs.of(column)
    assert images.given.tolist() == [True, True, False]
    assert images.refs() == [pair.image for pair in pairs]
    assert ImageRefs.of(column.slice(1)).refs() == [pairs[1].image, None]


def test_values_that_do_not_fit_the_column_are_refused() -> None:
    offsets = offsets_of(np.array([1]))
    with pytest.raises(pa.ArrowInvalid):
        Spans(offsets, np.array([1 << 40]), np.array([1 << 41])).to_arrow()  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a column of int32 is wanted, not of string"):
        items.arrow(pa.array(["left"]), pa.int32())
    with pytest.raises(ValueError, match="length"):
        Spans(offsets, np.zeros(1, np.int32), np.zeros(2, np.int32)).to_arrow()
