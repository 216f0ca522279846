"""The decisions: images of all parts that are alike, which of them is kept, and the table of each part.

Signatures are read part by part. Of all images together, memory holds a digest and a number each; their bits, and the
thumbnails of candidates, lie in files of the machine's scratch space.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.tables import CurationTable
from stages.curate.candidates import Candidates, find_candidates
from stages.curate.components import roots
from stages.curate.likeness import likeness
from stages.curate.signature import BYTES, THUMB, VIEWS, Bytes
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import CurateConfig

SIGNATURES = "summaries/curate"
PAIRS_AT_ONCE = 8192

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """All P pairs of the run, in the order of their keys."""

    number: Ints  # (P,) the key as a number
    digest: NDArray[np.uint64]  # (P, 2) of the image; zeros: it has none
    offsets: Ints  # (parts + 1,)


def decide(io: RunIO, config: CurateConfig) -> dict[str, Any]:
    """Writes curation/; returns the figures of the run for the commit record."""
    pairs = read_pairs(io)
    copy_of = same_digest(pairs.digest)
    exact = copy_of != np.arange(len(copy_of))
    later, earlier = np.flatnonzero(exact), copy_of[exact]
    notes: dict[str, Any] = {}
    if config.duplicates == "perceptual":
        with tempfile.TemporaryDirectory() as scratch:
            near = find_near(io, Path(scratch), ~exact, config)
        later, earlier = np.concatenate([later, near.later]), np.concatenate([earlier, near.earlier])
        notes |= {"candidates": near.candidates, "largest_bucket": near.largest_bucket}
    root = roots(len(copy_of), later, earlier)
    write_tables(io, pairs, root, exact)
    kept = root == np.arange(len(root))
    sizes = np.bincount(root, minlength=1)
    return {
        "exact_duplicate": int((exact & ~kept).sum()),
        "near_duplicate": int((~exact & ~kept).sum()),
        "groups": int((sizes > 1).sum()),
        "largest_group": int(sizes.max(initial=0)),
        **notes,
    }


def read_pairs(io: RunIO) -> Pairs:
    numbers, digests, lengths = [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)], [0]
    for part in io.parts():
        table = io.read_part(SIGNATURES, part, ["key", "sha256"])
        numbers.append(np.asarray(table["key"].to_pylist(), np.int64) if len(table) else np.empty(0, np.int64))
        digests.append(fixed(table["sha256"], 16).view("<u8").astype(np.uint64))
        lengths.append(len(table))
    return Pairs(np.concatenate(numbers), np.concatenate(digests), np.cumsum(lengths))


def fixed(column: Any, size: int) -> Bytes:
    """A column of binary values of one size (N, size); zeros for null."""
    import pyarrow.compute as pc

    array = pc.fill_null(column, bytes(size)).combine_chunks()
    flat = np.frombuffer(b"" if not len(array) else array.buffers()[1], np.uint8)
    return flat[array.offset * size : (array.offset + len(array)) * size].reshape(-1, size)


def same_digest(digest: NDArray[np.uint64]) -> Ints:
    """(P, 2) -> (P,) the first pair with the same image; its own number where it is the first, or has no image."""
    order = np.lexsort((np.arange(len(digest)), digest[:, 1], digest[:, 0]))
    ordered = digest[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    found = np.empty(len(order), np.int64)
    found[order] = order[new][np.cumsum(new) - 1]
    none = ~digest.any(1)
    found[none] = np.flatnonzero(none)
    return found


# -- near duplicates ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Near:
    """Pairs of the run whose images look alike."""

    later: Ints
    earlier: Ints
    candidates: int
    largest_bucket: int


def find_near(io: RunIO, scratch: Path, wanted: Flags, config: CurateConfig) -> Near:
    """`wanted` (P,): pairs that take part, one for each image."""
    rows = spool(io, "bits", wanted, scratch / "bits")
    bits = mapped(scratch / "bits", (len(rows), len(VIEWS), BYTES))
    found = find_candidates(bits, config.flips, int(config.memory * 2**30))
    compared = np.zeros(len(rows), np.bool_)
    compared[found.later] = compared[found.earlier] = True
    chosen = np.zeros(len(wanted), np.bool_)
    chosen[rows[compared]] = True
    spool(io, "thumb", chosen, scratch / "thumbs")
    place = np.cumsum(compared) - 1  # of a row's thumbnail in the file
    thumbs = mapped(scratch / "thumbs", (int(compared.sum()), THUMB, THUMB))
    alike = np.concatenate([np.empty(0, np.bool_), *are_alike(thumbs, place, found, config.min_likeness)])
    return Near(rows[found.later[alike]], rows[found.earlier[alike]], len(alike), found.largest_bucket)


def spool(io: RunIO, column: str, wanted: Flags, path: Path) -> Ints:
    """Writes a column of all parts, without nulls, to a file; returns the pairs (N,) that its rows belong to."""
    rows, start = [np.empty(0, np.int64)], 0
    with path.open("wb") as file:
        for part in io.parts():
            values = io.read_part(SIGNATURES, part, [column])[column]
            chosen = np.asarray(values.is_valid()) & wanted[start : start + len(values)]
            file.write(np.ascontiguousarray(fixed(values, values.type.byte_width)[chosen]))
            rows.append(start + np.flatnonzero(chosen))
            start += len(values)
    return np.concatenate(rows)


def mapped(path: Path, shape: tuple[int, ...]) -> Bytes:
    return np.memmap(path, np.uint8, "r", shape=shape) if shape[0] else np.empty(shape, np.uint8)


def are_alike(thumbs: Bytes, place: Ints, found: Candidates, least: float) -> Iterator[Flags]:
    """Of each candidate."""
    for start in range(0, len(found.later), PAIRS_AT_ONCE):
        now = slice(start, start + PAIRS_AT_ONCE)
        values = likeness(
            np.asarray(thumbs[place[found.later[now]]]),
            found.later_view[now],
            np.asarray(thumbs[place[found.earlier[now]]]),
            found.earlier_view[now],
        )
        yield values >= least


# -- the tables --------------------------------------------------------------------------------------------------------


def write_tables(io: RunIO, pairs: Pairs, root: Ints, exact: Flags) -> None:
    """`root` (P,): the pair that is kept of each component; `exact` (P,): an earlier pair has the same bytes."""
    own = np.arange(len(root))
    parts = io.parts()
    for done, (part, start, stop) in enumerate(zip(parts, pairs.offsets[:-1], pairs.offsets[1:], strict=True)):
        now = slice(int(start), int(stop))
        kept = root[now] == own[now]
        first = pairs.number[root[now]].tolist()
        reasons = np.where(exact[now], "exact_duplicate", "near_duplicate").tolist()
        table = CurationTable.of_columns(
            key=[key_of(number) for number in pairs.number[now].tolist()],
            keep=kept,
            reason=[None if keep else reason for keep, reason in zip(kept.tolist(), reasons, strict=True)],
            duplicate_of=[None if keep else key_of(number) for keep, number in zip(kept.tolist(), first, strict=True)],
            cluster=[None] * len(kept),
            similarity=[None] * len(kept),
        )
        io.write_part("curation", part, table.table)
        io.progress(done + 1, len(parts), "writing decisions")


def key_of(number: int) -> str:
    return f"{number:012d}"
