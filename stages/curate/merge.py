"""The decisions: images of all parts that are alike, which of them is kept, and the table of each part.

Signatures are read part by part. Of all images together, memory holds a digest and a number each; their bits, vectors
and the thumbnails of candidates lie in scratch files, which blocks of the search look into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.tables import CurationTable
from stages.curate import rules
from stages.curate.balance import judge
from stages.curate.benchmarks import Known, read_benchmarks
from stages.curate.captions import are_compared, first_alike
from stages.curate.components import roots
from stages.curate.near import find_near
from stages.curate.pairs import Pairs, images_and_captions, read_pairs, same_digest
from stages.curate.space import Space, open_space
from stages.curate.vectors import Vectors
from stages.stage import RunIO

if TYPE_CHECKING:
    import pyarrow as pa

    from model.similarity.images import ImageEmbedder
    from schemas.config import CurateConfig, IngestConfig

REASONS = (
    *(None, "exact_duplicate", "near_duplicate", "benchmark_leak", "far_from_seeds", "crowded_cluster"),
    *rules.BROKEN,
)
KEPT, EXACT, NEAR, LEAK, FAR, CROWDED, FIRST_RULE = range(7)
COPIES = (EXACT, NEAR, LEAK)  # which have another image in their place

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


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
    leave_out_repeated(io, pairs, config)
    digest = np.concatenate([known.digest, np.where((pairs.broken < 0)[:, None], pairs.digest, 0)])
    copy_of, own = same_digest(digest), np.arange(len(digest))
    exact = copy_of != own
    wanted, space = digest.any(1) & ~exact, None
    if config.embedder.model:
        space = open_space(io, known.vectors, wanted, config, made_of)
    near, notes = find_alike(io, known, wanted, config, space)
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


def leave_out_repeated(io: RunIO, pairs: Pairs, config: CurateConfig) -> None:
    """Notes in `pairs` whose captions as many earlier pairs have as may."""
    if config.max_caption_repeats is None:
        return
    said, taking_part = pairs.caption, pairs.broken < 0
    if are_compared(config):
        said = said[first_alike(io, said, taking_part, config.caption_likeness)]
    often = rules.beyond(said, taking_part, config.max_caption_repeats)
    pairs.broken[often] = rules.BROKEN.index("repeated_caption")


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


def find_alike(
    io: RunIO, known: Known, wanted: Flags, config: CurateConfig, space: Space | None
) -> tuple[tuple[Ints, Ints], dict[str, Any]]:
    """Later and earlier items that are alike, by signatures or vectors as the config says; figures for the record."""
    if config.duplicates == "embedding":
        none = np.empty(0, np.int64)
        return space.alike(io, config) if space else (none, none), {}
    if config.duplicates == "perceptual" or config.against:
        near = find_near(io, known, wanted, config)
        return (near.later, near.earlier), {"candidates": near.candidates, "largest_bucket": near.largest_bucket}
    return (np.empty(0, np.int64), np.empty(0, np.int64)), {}


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
