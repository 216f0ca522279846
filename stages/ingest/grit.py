"""GRIT's boxes: lists in a record, beside its caption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stages.ingest.row import Gold, GoldBox
from stages.ingest.text import number
from stages.stage import RowError

GRIT_BOXES = ("noun_chunks", "ref_exps")


def gold_of_record(record: Mapping[str, Any]) -> Gold | None:
    """GRIT's noun chunks and the expressions that say more: [start, end, x1, y1, x2, y2, score], sides 0 to 1.

    The lists may also be JSON text, as in tables of text. None where the record has none. Raises RowError: bad_record,
    for lists that are not of this form.
    """
    lists = [found for name in GRIT_BOXES if (found := _list(record.get(name))) is not None]
    if not lists:
        return None
    width, height = _side(record.get("width")), _side(record.get("height"))
    spans: dict[tuple[int, int], int] = {}
    boxes: dict[GoldBox, None] = {}  # most expressions repeat a chunk
    for entry in (entry for entries in lists for entry in entries):
        start, end, x1, y1, x2, y2 = _numbers(entry)
        span = spans.setdefault((int(start), int(end)), len(spans))
        boxes[GoldBox((x1 * width, y1 * height, x2 * width, y2 * height), span)] = None
    return Gold(width, height, list(spans), list(boxes))


def _list(value: Any) -> list[Any] | None:
    """None for what is no list, nor the JSON of one: such a column is not GRIT's."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowError("bad_record", f"grounded phrases that are no JSON: {str(error)[:100]}") from None
    return value if isinstance(value, list) else None


def _side(value: Any) -> float:
    side = number(value)
    return side if side is not None and 0 < side < 1e9 else 1.0


def _numbers(entry: Any) -> list[float]:
    if not isinstance(entry, (list, tuple)) or len(entry) < 6:
        raise RowError("bad_record", "a grounded phrase is not [start, end, x1, y1, x2, y2, score]")
    numbers = [found for value in entry[:6] if (found := number(value)) is not None]
    if len(numbers) < 6:
        raise RowError("bad_record", "a grounded phrase holds what is no number")
    return numbers
