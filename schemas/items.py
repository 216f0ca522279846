"""List columns as flat numpy arrays: the boxes, phrases or spans of many rows, one after the other.

Parallel arrays have one entry per item and are filtered together by one mask; offsets say where the items of each row
begin. Strings stay Arrow arrays. A null number is -1 among integers and NaN among floats.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas import rows
from schemas.arrow import array_of, struct_of

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Self = TypeVar("Self", bound="Items")


@dataclass(frozen=True)
class Items:
    """The N items of R rows. A subclass has an array for every field of its `record`; `xyxy` is the four of a box."""

    record: ClassVar[type]
    offsets: Ints  # (R + 1,): the items of row i are offsets[i] to offsets[i + 1]

    @classmethod
    def of(cls: type[Self], column: pa.ListArray) -> Self:
        """A null list is an empty one."""
        flat = column.flatten()
        offsets = offsets_of(numbers(column.value_lengths().fill_null(0)))
        names = [field.name for field in fields(cls) if field.name != "offsets"]
        return cls(offsets, *(_child(flat, name) for name in names))

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def lengths(self) -> Ints:
        """(R,): how many items each row has."""
        return np.diff(self.offsets)

    @property
    def row(self) -> Ints:
        """(N,): the row of each item."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)

    @property
    def place(self) -> Ints:
        """(N,): the index of each item in its row."""
        return np.arange(len(self)) - np.repeat(self.offsets[:-1], self.lengths)

    def slices(self) -> list[slice]:
        """The items of each row."""
        return [slice(start, stop) for start, stop in pairwise(self.offsets.tolist())]

    def keep(self: Self, mask: Flags) -> Self:
        """Only the items where `mask` (N,) is true; each row keeps what is left of its own."""

        def kept(values: Any) -> Any:
            return values.filter(pa.array(mask)) if isinstance(values, pa.Array) else values[mask]

        arrays = {name: kept(values) for name, values in self._arrays().items()}
        return replace(self, offsets=offsets_of(mask)[self.offsets], **arrays)

    def to_arrow(self) -> pa.ListArray:
        """The list column, of the type that its records have on disk."""
        arrays = self._arrays()
        if "xyxy" in arrays:
            arrays |= dict(zip(rows.CORNERS, arrays.pop("xyxy").T, strict=True))
        struct = struct_of(self.record)
        items = pa.StructArray.from_arrays([self._column(arrays[f.name], f.type) for f in struct], fields=list(struct))
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), items)

    def _column(self, values: Any, kind: pa.DataType) -> pa.Array:
        """One field of all items, of its type on disk."""
        return arrow(values, kind)

    def _arrays(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "offsets"}


@dataclass(frozen=True)
class Spans(Items):
    record = rows.Span
    start: NDArray[np.int32]
    end: NDArray[np.int32]


@dataclass(frozen=True)
class GoldBoxes(Items):
    record = rows.GoldBox
    span: NDArray[np.int32]  # index into the row's spans, -1: none
    xyxy: NDArray[np.float32]  # (N, 4)
    category: pa.StringArray


@dataclass(frozen=True)
class Phrases(Items):
    record = rows.Phrase
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    text: pa.StringArray
    head: pa.StringArray
    norm: pa.StringArray


@dataclass(frozen=True)
class DroppedSpans(Items):
    record = rows.DroppedSpan
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    reason: pa.StringArray


@dataclass(frozen=True)
class Boxes(Items):
    record = rows.Box
    phrase: NDArray[np.int32]  # index into the row's phrases
    xyxy: NDArray[np.float32]  # (N, 4)
    score: NDArray[np.float32]


@dataclass(frozen=True)
class DroppedPhrases(Items):
    record = rows.DroppedPhrase
    phrase: NDArray[np.int32]
    reason: pa.StringArray


@dataclass(frozen=True)
class DroppedBoxes(Items):
    record = rows.DroppedBox
    box: NDArray[np.int32]  # index into the row's boxes of labels
    reason: pa.StringArray


@dataclass(frozen=True)
class BoxScores(Items):
    record = rows.BoxScore
    score: NDArray[np.float32]  # NaN: none
    best_phrase: NDArray[np.int32]  # index into the row's phrases, -1: none
    best_score: NDArray[np.float32]  # NaN: none

    def _column(self, values: Any, kind: pa.DataType) -> pa.Array:
        """What is none here is null on disk: in SQL, NaN would be above every threshold."""
        none = values < 0 if pa.types.is_integer(kind) else np.isnan(values)
        return pa.array(values, kind, mask=none)


@dataclass(frozen=True)
class Masks(Items):
    record = rows.Mask
    counts: pa.BinaryArray
    height: NDArray[np.int32]
    width: NDArray[np.int32]
    score: NDArray[np.float32]


@dataclass(frozen=True)
class ImageRefs:
    """Where the images of R rows lie; `given` (R,): which rows have one."""

    given: Flags
    uri: pa.StringArray
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.StructArray) -> ImageRefs:
        given = column.is_valid().to_numpy(zero_copy_only=False)
        return cls(given, *(_child(column, name) for name in ("uri", "offset", "length")))

    def refs(self) -> list[rows.ImageRef | None]:
        """One by one; None for a row without an image."""
        places = zip(self.given.tolist(), self.uri.to_pylist(), self.offset.tolist(), self.length.tolist(), strict=True)
        return [rows.ImageRef(*place) if given else None for given, *place in places]


def offsets_of(lengths: NDArray[Any]) -> Ints:
    """Lengths (R,) -> offsets (R + 1,)."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def text(column: pa.Array) -> pa.StringArray:
    """Strings stay in Arrow, nulls included."""
    return column


def numbers(column: pa.Array) -> NDArray[Any]:
    """(R,), of the column's own type; null is -1 among integers and NaN among floats."""
    if column.null_count:
        column = pc.fill_null(column, -1 if pa.types.is_integer(column.type) else float("nan"))
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def flags(column: pa.Array) -> Flags:
    """(R,); null is false."""
    values: Flags = pc.fill_null(column, False).to_numpy(zero_copy_only=False)
    return values


def arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """A column of a type, from a numpy array, `Items`, Python values or an Arrow array.

    Raises ArrowInvalid or TypeError for values of another type.
    """
    if isinstance(values, Items):
        values = values.to_arrow()
    if isinstance(values, np.ndarray):
        return pa.array(np.ascontiguousarray(values), kind)
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return array_of(values, kind)
    if values.type != kind:
        raise TypeError(f"a column of {kind} is wanted, not of {values.type}")
    return values


def _child(struct: pa.StructArray, name: str) -> Any:
    """A field of a struct column as an array of items has it."""
    if name == "xyxy":
        return np.stack([numbers(struct.field(corner)) for corner in rows.CORNERS], axis=1)
    child = struct.field(name)
    return child if pa.types.is_string(child.type) or pa.types.is_binary(child.type) else numbers(child)
