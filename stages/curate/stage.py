"""pairs -> curation: of images that are alike, the first one of the run is kept, and none of a benchmark.

Every part makes signatures of its images. The merge finds images that are alike among all of them, and decides. What it
decides about a pair follows from that pair and those before it, so that parts that are added later change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from schemas.tables import PairTable
from stages.curate.images import DIGEST, signed
from stages.curate.signature import BYTES, THUMB, VIEWS
from stages.ingest.sources import absolute
from stages.stage import Counts, Input, Output, PartIO, PartResult, ReduceStage, RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

SIGNATURES = "summaries/curate"


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
        self.ingest = config.ingest
        self.max_pixels: int = config.ingest.max_pixels

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return config.curate.duplicates != "off" or bool(config.curate.against)

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """Paths of benchmarks made absolute. Raises UserError for one that is not there, and for two of one name."""
        from stages.curate.benchmarks import KEY, name_of

        found = []
        for benchmark in config.curate.against:
            paths = {name: absolute(path) for name in ("source", "images") if (path := getattr(benchmark, name))}
            for path in paths.values():
                if "://" not in path and not Path(path).exists():
                    raise UserError(f"{KEY}: {path}: no such file or folder")
            found.append(benchmark.model_copy(update=paths))
        names = [name_of(benchmark) for benchmark in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{KEY}: two benchmarks are called {twice[0]}; give them a `name`")
        return {"against": tuple(found)} if found else {}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        return {"signatures": "perceptual" if config.curate.against else config.curate.duplicates}

    @classmethod
    def merge_digests(cls, config: Config) -> dict[str, Any]:
        from stages.curate.benchmarks import digest_of, name_of

        return {
            "against": [
                [name_of(entry), entry.format, *(digest_of(path) for path in (entry.source, entry.images) if path)]
                for entry in config.curate.against
            ]
        }

    def run_part(self, io: PartIO) -> PartResult:
        """Writes key, the first 16 bytes of sha256, and for the first row of each image the bits of its views and its
        thumbnail. They are null in other rows, and where the image cannot be read."""
        import pyarrow as pa

        pairs = PairTable.read(io, PairTable.key, PairTable.image, PairTable.sha256)
        digests = [None if text is None else bytes.fromhex(text)[:DIGEST] for text in pairs.sha256.to_pylist()]
        columns: dict[str, Any] = {"key": pairs.key, "sha256": pa.array(digests, pa.binary(DIGEST))}
        notes: dict[str, Any] = {"images": len(set(digests) - {None})}
        if self.config.duplicates == "perceptual" or self.config.against:
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
        named = zip(first.items(), images, strict=True)
        for (expected, number), digest, bits, thumb in signed(named, self.max_pixels):
            if bits is not None and thumb is not None and digest == bytes.fromhex(expected)[:DIGEST]:
                yield number, bits, thumb
            io.progress(1)
        io.progress(len(pairs) - len(first))

    def merge(self, io: RunIO) -> dict[str, Any]:
        from stages.curate.merge import decide

        return decide(io, self.config, self.ingest)
