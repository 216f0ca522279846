"""The decisions: images of all parts that are alike, which of them is kept, and the table of each part.

Signatures are read part by part. Of all images together, memory holds a digest and a number each; their bits, and the
thumbnails of candidates, lie in files of the machine's scratch space.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.tables import CurationTable
from stages.curate import rules
from stages.curate.balance import judge
from stages.curate.benchmarks import Known, read_benchmarks
from stages.curate.candidates import Candidates, find_candidates
from stages.curate.components import roots
from stages.curate.images import DIGEST
from stages.curate.likeness import likeness
from stages.curate.signature import BYTES, THUMB, VIEWS, Bytes
from stages.curate.space import Space, open_space
from stages.curate.vectors import Vectors
from stages.stage import RunIO

if TYPE_CHECKING:
    import pyarrow as pa

    from model.similarity.images import ImageEmbedder
    from schemas.config import CurateConfig, IngestConfig

SIGNATURES = "summaries/curate"
PAIRS_AT_ONCE = 8192
REASONS = (
    *(None, "exact_duplicate", "near_duplicate", "benchmark_leak", "far_from_seeds", "crowded_cluster"),
    *rules.BROKEN,
)
KEPT, EXACT, NEAR, LEAK, FAR, CROWDED, FIRST_RULE = range(7)
COPIES = (EXACT, NEAR, LEAK)  # which have another image in their place

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


def decide(
    io: RunIO,
    config: CurateConfig,
    ingest: IngestConfig,
    embedder: Callable[[], ImageEmbedder] | None = None,
    made_of: str = "",
) -> dict[str, Any]:
    """Writes curation/; returns the figures of the run for the commit record.

    The images of benchmarks come before all pairs, as items 0 to B - 1: a component that touches one begins with it.
    Pairs that break a rule take no part, so that the image that is kept of a component breaks none. Several captions of
    one image, which lies at one place, share what is decided about it; of equal captions, the first is kept.
    `embedder`: opens the network, where vectors of benchmarks or of a seed set are needed; `made_of`: a digest of the
    settings.
    """
    by_vectors = embedder if config.duplicates == "embedding" and config.against else None
    known = read_benchmarks(io, config.against, ingest, by_vectors and by_vectors())
    pairs = read_pairs(io, config)
    digest = np.concatenate([known.digest, np.where((pairs.broken < 0)[:, None], pairs.digest, 0)])
    copy_of, own = same_digest(digest), np.arange(len(digest))
    exact = copy_of != own
    with tempfile.TemporaryDirectory() as scratch:
        wanted, space = digest.any(1) & ~exact, None
        if config.embedder.model:
            space = open_space(io, Path(scratch), known.vectors, wanted, config, made_of)
        near, notes = find_alike(io, Path(scratch), known, wanted, config, space)
        root = roots(len(own), np.concatenate([own[exact], near[0]]), np.concatenate([copy_of[exact], near[1]]))
        keeper, reason = settle(pairs, copy_of, root, len(known.names), config)
        cluster = np.full(len(own), -1)
        if space is not None:

            def seeds() -> tuple[Sequence[str], Vectors]:
                found = read_benchmarks(io, config.near, ingest, embedder and embedder())
                return found.names, found.vectors

            far, crowded = judge(io, space, reason == KEPT, config, made_of, seeds)
            reason = np.where((reason == KEPT) & far[copy_of], FAR, reason)
            reason = np.where((reason == KEPT) & crowded[copy_of], CROWDED, reason)
            cluster = space.clusters(len(own))[copy_of]
            notes |= {"clusters": len(space.centres.sizes)}
    reason = np.where(pairs.broken >= 0, FIRST_RULE + pairs.broken, reason[len(known.names) :])
    write_tables(io, pairs, known.names, keeper, reason, cluster)
    if config.against:
        notes |= {"benchmark_images": len(known.names), "unreadable_of_benchmarks": known.unreadable}
    return figures(keeper[len(known.names) :] - len(known.names), reason) | notes


def settle(pairs: Pairs, copy_of: Ints, root: Ints, known: int, config: CurateConfig) -> tuple[Ints, Ints]:
    """(B + P,) the item that is kept in place of each, and of REASONS why, from the first item with the same bytes and
    the first of its component; `known`: items of benchmarks."""
    own = np.arange(len(root))
    image, said = images_and_captions(copy_of, pairs, known)
    leaked = root < known
    keepers = {"off": image, "exact": copy_of, "perceptual": root, "embedding": root}
    keeper = np.where(leaked, root, keepers[config.duplicates])
    reason = np.where(leaked, LEAK, np.where(keeper == image, KEPT, np.where(copy_of != image, EXACT, NEAR)))
    keeper = np.where(reason == KEPT, own if config.duplicates == "off" else said, keeper)
    return keeper, np.where((reason == KEPT) & (keeper != own), EXACT, reason)


def figures(keeper: Ints, reason: Ints) -> dict[str, int]:
    """`keeper` (P,) is below zero where it is of a benchmark."""
    counted = np.bincount(reason, minlength=len(REASONS))
    counts = {name: int(counted[number]) for number, name in enumerate(REASONS) if name and counted[number]}
    sizes = np.bincount(keeper[keeper >= 0], minlength=1)
    return counts | {"groups": int((sizes > 1).sum()), "largest_group": int(sizes.max(initial=0))}


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
    if config.max_caption_repeats is not None:
        often = rules.beyond(caption, broken < 0, config.max_caption_repeats)
        broken[often] = rules.BROKEN.index("repeated_caption")
    return Pairs(
        np.concatenate(numbers), np.concatenate(digests), place, caption, np.cumsum(lengths), broken, similarity
    )


def fixed(column: Any, size: int) -> Bytes:
    """A column of binary values of one size (N, size); zeros for null."""
    import pyarrow.compute as pc

    array = pc.fill_null(column, bytes(size)).combine_chunks()
    flat = np.frombuffer(b"" if not len(array) else array.buffers()[1], np.uint8)
    return flat[array.offset * size : (array.offset + len(array)) * size].reshape(-1, size)


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


# -- near duplicates ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Near:
    """Pairs of the run whose images look alike."""

    later: Ints
    earlier: Ints
    candidates: int
    largest_bucket: int


def find_alike(
    io: RunIO, scratch: Path, known: Known, wanted: Flags, config: CurateConfig, space: Space | None
) -> tuple[tuple[Ints, Ints], dict[str, Any]]:
    """Later and earlier items that are alike, by signatures or vectors as the config says; figures for the record."""
    if config.duplicates == "embedding":
        none = np.empty(0, np.int64)
        return space.alike(config) if space else (none, none), {}
    if config.duplicates == "perceptual" or config.against:
        near = find_near(io, scratch, known, wanted, config)
        return (near.later, near.earlier), {"candidates": near.candidates, "largest_bucket": near.largest_bucket}
    return (np.empty(0, np.int64), np.empty(0, np.int64)), {}


def find_near(io: RunIO, scratch: Path, known: Known, wanted: Flags, config: CurateConfig) -> Near:
    """`wanted` (B + P,): the items that take part, one for each image."""
    items = spool(io, "bits", known.bits, wanted, scratch / "bits")
    bits = mapped(scratch / "bits", (len(items), len(VIEWS), BYTES))
    found = find_candidates(bits, config.flips, int(config.memory * 2**30), config.threads)
    compared = np.zeros(len(items), np.bool_)
    compared[found.later] = compared[found.earlier] = True
    chosen = np.zeros(len(wanted), np.bool_)
    chosen[items[compared]] = True
    spool(io, "thumb", known.thumbs, chosen, scratch / "thumbs")
    place = np.cumsum(compared) - 1  # of a row's thumbnail in the file
    thumbs = mapped(scratch / "thumbs", (int(compared.sum()), THUMB, THUMB))
    alike = are_alike(thumbs, place, found, config)
    return Near(items[found.later[alike]], items[found.earlier[alike]], len(alike), found.largest_bucket)


def spool(io: RunIO, column: str, known: Bytes, wanted: Flags, path: Path) -> Ints:
    """Writes what benchmarks and all parts have in a column, where it is not null, to a file; returns the items (N,)
    that its rows belong to."""
    start = len(known)
    items = [np.flatnonzero(wanted[:start])]
    with path.open("wb") as file:
        file.write(known[items[0]].tobytes())
        for part in io.parts():
            values = io.read_part(SIGNATURES, part, [column])[column]
            chosen = np.asarray(values.is_valid()) & wanted[start : start + len(values)]
            file.write(fixed(values, values.type.byte_width)[chosen].tobytes())
            items.append(start + np.flatnonzero(chosen))
            start += len(values)
    return np.concatenate(items)


def mapped(path: Path, shape: tuple[int, ...]) -> Bytes:
    return np.memmap(path, np.uint8, "r", shape=shape) if shape[0] else np.empty(shape, np.uint8)


def are_alike(thumbs: Bytes, place: Ints, found: Candidates, config: CurateConfig) -> Flags:
    """Of each candidate."""

    def of_some(start: int) -> Flags:
        now = slice(start, start + PAIRS_AT_ONCE)
        values = likeness(
            np.asarray(thumbs[place[found.later[now]]]),
            found.later_view[now],
            np.asarray(thumbs[place[found.earlier[now]]]),
            found.earlier_view[now],
        )
        return values >= config.min_likeness

    with ThreadPoolExecutor(config.threads) as pool:
        pieces = pool.map(of_some, range(0, len(found.later), PAIRS_AT_ONCE))
        return np.concatenate([np.empty(0, np.bool_), *pieces])


# -- the tables --------------------------------------------------------------------------------------------------------


def write_tables(io: RunIO, pairs: Pairs, benchmarks: Sequence[str], keeper: Ints, reason: Ints, cluster: Ints) -> None:
    """`keeper` (B + P,): the item that is kept of each one's component; `reason` (P,): of REASONS; `cluster` (B + P,):
    -1 for none."""
    import pyarrow as pa

    parts, known = io.parts(), len(benchmarks)
    reasons, names = pa.array(REASONS, pa.string()), np.array([*benchmarks, ""], np.object_)
    for done, (part, start, stop) in enumerate(zip(parts, pairs.offsets[:-1], pairs.offsets[1:], strict=True)):
        own, instead = reason[start:stop], keeper[known + start : known + stop]
        where = cluster[known + start : known + stop]
        named = keys_of(pairs.number[np.maximum(instead - known, 0)]).to_numpy(zero_copy_only=False)
        named = np.where(instead < known, names[np.minimum(instead, known)], named)
        table = CurationTable.of_columns(
            key=keys_of(pairs.number[start:stop]),
            keep=own == KEPT,
            reason=reasons.take(pa.array(own)),
            duplicate_of=pa.array(named, pa.string(), mask=~np.isin(own, COPIES)),
            cluster=pa.array(where, pa.int32(), mask=where < 0),
            similarity=pa.array(pairs.similarity[start:stop], pa.float32(), from_pandas=True),  # NaN becomes null
        )
        io.write_part("curation", part, table.table)
        io.progress(done + 1, len(parts), "writing decisions")


def keys_of(numbers: Ints) -> pa.StringArray:
    """The keys that the numbers are, with their 12 digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 12, "0")
