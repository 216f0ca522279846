"""pairs -> curation: of images that are alike, the first one of the run is kept, and none of a benchmark.

Every part makes signatures of its images. The merge finds images that are alike among all of them, and decides. What it
decides about a pair follows from that pair and those before it, so that parts that are added later change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from schemas.tables import PairTable
from stages.curate import rules
from stages.curate.images import DIGEST, Signed, signed
from stages.curate.signature import BYTES, THUMB, VIEWS
from stages.hashes import hash_texts
from stages.ingest.sources import absolute
from stages.stage import Counts, Input, Output, PartIO, PartResult, ReduceStage, RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config, CurateConfig

SIGNATURES = "summaries/curate"


class CurateStage(ReduceStage):
    name: ClassVar[str] = "curate"
    version: ClassVar[int] = 1
    carries_rows: ClassVar[bool] = False
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "caption", "image.uri", "image.offset", "width", "height", "sha256")),
    )
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
        section = config.curate
        return section.duplicates != "off" or bool(section.against) or rules.are_on(section)

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
        section = config.curate
        signatures = "perceptual" if section.against else section.duplicates
        found = {"measures": rules.measures_images(section)} if rules.are_on(section) else {}
        return {"signatures": signatures, **found}

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
        """Writes key, the first 16 bytes of sha256, hashes of the caption and of where the image lies, the bits of the
        image's views and its thumbnail, null where it cannot be read, and what the rules of quality ask."""
        import pyarrow as pa

        columns = (PairTable.key, PairTable.caption, PairTable.image, PairTable.width, PairTable.height)
        pairs = PairTable.read(io, *columns, PairTable.sha256)
        digests = [None if text is None else bytes.fromhex(text)[:DIGEST] for text in pairs.sha256.to_pylist()]
        images = set(digests) - {None}
        table: dict[str, Any] = {
            "key": pairs.key,
            "sha256": pa.array(digests, pa.binary(DIGEST)),
            "place": pa.array(hash_texts(f"{ref.uri}:{ref.offset}" if ref else "" for ref in pairs.image.refs())),
            "caption": pa.array(rules.caption_hashes(pairs.caption.to_pylist())),
        }
        notes: dict[str, Any] = {"images": len(images)}
        found = self._signatures(io, pairs, digests) if self._looks(self.config) else {}
        if self._compares(self.config):
            own = [found.get(digest) if digest else None for digest in digests]
            table["bits"] = pa.array([entry and entry.bits for entry in own], pa.binary(len(VIEWS) * BYTES))
            table["thumb"] = pa.array([entry and entry.thumb for entry in own], pa.binary(THUMB * THUMB))
        if rules.are_on(self.config):
            measured = [found[digest].measures if digest in found else None for digest in digests]
            table |= rules.columns(pairs, measured)
        if self._looks(self.config):
            notes["unreadable"] = len(images) - len(found)
        else:
            io.progress(len(pairs))
        io.write(SIGNATURES, pa.table(table))
        return PartResult(Counts(len(pairs), len(pairs)), notes)

    @staticmethod
    def _compares(config: CurateConfig) -> bool:
        """Whether signatures are made."""
        return config.duplicates == "perceptual" or bool(config.against)

    @classmethod
    def _looks(cls, config: CurateConfig) -> bool:
        """Whether images are decoded."""
        return cls._compares(config) or rules.measures_images(config)

    def _signatures(self, io: PartIO, pairs: PairTable, digests: Sequence[bytes | None]) -> dict[bytes, Signed]:
        """Of each image, by its digest, where it can be read as ingest has found it; `label` rejects the others."""
        refs = pairs.image.refs()
        first = {digest: number for number, digest in reversed(list(enumerate(digests))) if digest is not None}
        wanted = {digest: ref for digest, number in first.items() if (ref := refs[number]) is not None}
        io.progress(len(pairs) - len(wanted))
        found: dict[bytes, Signed] = {}
        named = zip(wanted, io.image_bytes(list(wanted.values())), strict=True)
        for expected, signature in signed(named, self.max_pixels, rules.measures_images(self.config)):
            if signature is not None and signature.digest == expected:
                found[expected] = signature
            io.progress(1)
        return found

    def merge(self, io: RunIO) -> dict[str, Any]:
        from stages.curate.merge import decide

        return decide(io, self.config, self.ingest)
