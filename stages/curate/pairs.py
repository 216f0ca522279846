"""What the parts have found out about all pairs of the run, and which of them have the same image or caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.curate import rules
from stages.curate.images import DIGEST
from stages.curate.signature import Bytes
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import CurateConfig

SIGNATURES = "summaries/curate"

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """All P pairs of the run, in the order of their keys."""

    number: Ints  # (P,) the key as a number
    digest: NDArray[np.uint64]  # (P, 2) of the image; zeros: it has none
    place: NDArray[np.uint64]  # (P,) a hash of where the image lies
    caption: NDArray[np.uint64]  # (P,) a hash
    offsets: Ints  # (parts + 1,)
    broken: NDArray[np.int8]  # (P,) the rule that it breaks, of rules.BROKEN; -1: none
    similarity: NDArray[np.float32]  # (P,) of caption and image; NaN: unknown


def read_pairs(io: RunIO, config: CurateConfig) -> Pairs:
    import pyarrow as pa

    numbers, digests, lengths = [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)], [0]
    ruled, hashes, similar = [np.empty(0, np.int8)], [np.empty((2, 0), np.uint64)], [np.empty(0, np.float32)]
    columns = ["key", "sha256", "place", "caption", *(rules.COLUMNS if rules.are_on(config) else ())]
    columns += ["similarity"] if config.embedder.model else []
    for part in io.parts():
        table = io.read_part(SIGNATURES, part, columns)
        numbers.append(table["key"].cast(pa.int64()).to_numpy())
        digests.append(fixed(table["sha256"], DIGEST).view("<u8").astype(np.uint64))
        lengths.append(len(table))
        ruled.append(rules.broken(table, config) if rules.are_on(config) else np.full(len(table), -1, np.int8))
        hashes.append(np.stack([table["place"].to_numpy(), table["caption"].to_numpy()]))
        unknown = np.full(len(table), np.nan, np.float32)
        similar.append(table["similarity"].to_numpy() if config.embedder.model else unknown)
    broken, (place, caption), similarity = (
        np.concatenate(ruled),
        np.concatenate(hashes, axis=1),
        np.concatenate(similar),
    )
    if config.min_similarity is not None:
        broken[(broken < 0) & (similarity < config.min_similarity)] = rules.BROKEN.index("low_similarity")
    return Pairs(
        np.concatenate(numbers), np.concatenate(digests), place, caption, np.cumsum(lengths), broken, similarity
    )


def fixed(column: Any, size: int) -> Bytes:
    """A column of binary values of one size (N, size); zeros for null."""
    import pyarrow.compute as pc

    array = pc.fill_null(column, bytes(size)).combine_chunks()
    flat = np.frombuffer(b"" if not len(array) else array.buffers()[1], np.uint8)
    return flat[array.offset * size : (array.offset + len(array)) * size].reshape(-1, size)


def spool(io: RunIO, column: str, known: NDArray[Any], wanted: Flags) -> tuple[Ints, int]:
    """Writes what benchmarks and all parts have in a column, where it is not null, to a scratch file of its name.

    The items (N,) that its rows belong to, and the bytes of a row.
    """
    start, size = len(known), known[:1].nbytes
    items = [np.flatnonzero(wanted[:start])]
    with io.scratch.create(column) as file:
        file.write(known[items[0]].tobytes())
        for part in io.parts():
            values = io.read_part(SIGNATURES, part, [column])[column]
            chosen = np.asarray(values.is_valid()) & wanted[start : start + len(values)]
            if chosen.any():
                size = values.type.byte_width
                file.write(fixed(values, size)[chosen].tobytes())
            items.append(start + np.flatnonzero(chosen))
            start += len(values)
    return np.concatenate(items), size


def same_digest(digest: NDArray[np.uint64]) -> Ints:
    """(P, 2) -> (P,) the first pair with the same image; its own number where it is the first, or has no image."""
    found = first_of(digest[:, 0], digest[:, 1])
    none = ~digest.any(1)
    found[none] = np.flatnonzero(none)
    return found


def images_and_captions(copy_of: Ints, pairs: Pairs, known: int) -> tuple[Ints, Ints]:
    """(B + P,) the first item whose image has the same bytes at the same place, and the first of these with the same
    caption; `known`: how many items, the first ones, are no pairs."""
    image, said = np.arange(len(copy_of)), np.arange(len(copy_of))
    several = np.bincount(copy_of, minlength=len(copy_of))[copy_of] > 1
    several[:known] = False
    items = np.flatnonzero(several)
    place, caption = pairs.place[items - known], pairs.caption[items - known]
    image[items] = items[first_of(copy_of[items], place)]
    said[items] = items[first_of(image[items], caption)]
    return image, said


def first_of(*columns: NDArray[Any]) -> Ints:
    """(N,) the first row with the same values in all columns."""
    order = np.lexsort(columns)  # which is stable
    new = np.zeros(len(order), np.bool_)
    new[:1] = True
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    found = np.empty(len(order), np.int64)
    found[order] = order[new][np.cumsum(new) - 1]
    return found
