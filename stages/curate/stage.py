"""pairs -> curation: of images that are alike, the first one of the run is kept.

Every part makes signatures of its images. The merge finds images that are alike among all of them, and decides. What it
decides about a pair follows from that pair and those before it, so that parts that are added later change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schemas.tables import PairTable
from stages.curate.signature import BYTES, SIDE, THUMB, VIEWS, as_rows, signatures
from stages.images import check_sha256, decode_grey
from stages.stage import Counts, Input, Output, PartIO, PartResult, ReduceStage, RowError, RunIO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schemas.config import Config

SIGNATURES = "summaries/curate"
BATCH = 256  # images whose signatures are computed together


class CurateStage(ReduceStage):
    name: ClassVar[str] = "curate"
    version: ClassVar[int] = 1
    carries_rows: ClassVar[bool] = False
    inputs: ClassVar[tuple[Input, ...]] = (Input("pairs", ("key", "sha256")),)
    outputs: ClassVar[tuple[Output, ...]] = (Output(SIGNATURES),)
    merged: ClassVar[tuple[Output, ...]] = (Output("curation", aligned_with="pairs"),)
    depends_on: ClassVar[tuple[str, ...]] = ("ingest.max_pixels",)
    merge_depends_on: ClassVar[tuple[str, ...]] = ("curate",)

    def __init__(self, config: Config) -> None:
        self.config = config.curate
        self.max_pixels: int = config.ingest.max_pixels

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return config.curate.duplicates != "off"

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        return {"signatures": config.curate.duplicates}

    def run_part(self, io: PartIO) -> PartResult:
        """Writes key, the first 16 bytes of sha256, and for the first row of each image the bits of its views and its
        thumbnail. They are null in other rows, and where the image cannot be read."""
        import pyarrow as pa

        pairs = PairTable.read(io, PairTable.key, PairTable.image, PairTable.sha256)
        digests = [None if text is None else bytes.fromhex(text)[:16] for text in pairs.sha256.to_pylist()]
        columns: dict[str, Any] = {"key": pairs.key, "sha256": pa.array(digests, pa.binary(16))}
        notes: dict[str, Any] = {"images": len(set(digests) - {None})}
        if self.config.duplicates == "perceptual":
            found: list[tuple[bytes, bytes] | None] = [None] * len(pairs)
            for number, bits, thumb in self._signatures(io, pairs):
                found[number] = bits, thumb
            bits_of, thumb_of = zip(*(entry or (None, None) for entry in found), strict=True) if found else ((), ())
            columns |= {
                "bits": pa.array(bits_of, pa.binary(len(VIEWS) * BYTES)),
                "thumb": pa.array(thumb_of, pa.binary(THUMB * THUMB)),
            }
            notes["unreadable"] = notes["images"] - sum(entry is not None for entry in found)
        io.write(SIGNATURES, pa.table(columns))
        return PartResult(Counts(len(pairs), len(pairs)), notes)

    def _signatures(self, io: PartIO, pairs: PairTable) -> Iterator[tuple[int, bytes, bytes]]:
        """Of the first row of each image, where it can be read; what cannot be is rejected by `label`."""
        first: dict[str, int] = {}
        for number, digest in enumerate(pairs.sha256.to_pylist()):
            if digest is not None:
                first.setdefault(digest, number)
        refs = pairs.image.refs()
        images = io.image_bytes([ref for ref in (refs[number] for number in first.values()) if ref is not None])
        found = zip(first.items(), images, strict=True)
        while batch := list(islice(found, BATCH)):
            small: dict[int, NDArray[np.uint8]] = {}
            for (digest, number), data in batch:
                with suppress(RowError):
                    small[number] = decode_grey(check_sha256(data, digest), self.max_pixels, SIDE)
            if small:
                bits, thumbs = signatures(np.stack(list(small.values())))
                for number, own, thumb in zip(small, as_rows(bits), as_rows(thumbs), strict=True):
                    yield number, own.tobytes(), thumb.tobytes()
            io.progress(len(batch))
        io.progress(len(pairs) - len(first))

    def merge(self, io: RunIO) -> dict[str, Any]:
        from stages.curate.merge import decide

        return decide(io, self.config)
