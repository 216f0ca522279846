"""pairs -> curation: of images that are alike, the first one of the run is kept, and none of a benchmark.

Every part makes signatures of its images. The merge finds images that are alike among all of them, and decides. What it
decides about a pair follows from that pair and those before it, so that parts that are added later change nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from schemas.marks import device_type
from schemas.settings import section_settings
from schemas.tables import PairTable
from stages.checkpoints import resolve_checkpoint
from stages.curate import captions, rules
from stages.curate.clusters import CLUSTERS
from stages.curate.embeddings import KEY, embedded, open_embedder, similarities, stored
from stages.curate.images import BATCH, DIGEST, Signed, Vector, signed
from stages.curate.pairs import SIGNATURES
from stages.curate.signature import BYTES, THUMB, VIEWS
from stages.hashes import hash_texts
from stages.ingest.sources import absolute
from stages.stage import Counts, Input, Needs, Output, PartIO, PartResult, ReduceStage, RunIO, UserError

if TYPE_CHECKING:
    from model.similarity.images import ImageEmbedder
    from schemas.config import Benchmark, Config, CurateConfig


class CurateStage(ReduceStage):
    name: ClassVar[str] = "curate"
    version: ClassVar[int] = 1
    carries_rows: ClassVar[bool] = False
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "caption", "image.uri", "image.offset", "width", "height", "sha256")),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output(SIGNATURES),)
    merged: ClassVar[tuple[Output, ...]] = (Output("curation", aligned_with="pairs"), Output(CLUSTERS, scope="run"))
    depends_on: ClassVar[tuple[str, ...]] = ("ingest.max_pixels",)
    merge_depends_on: ClassVar[tuple[str, ...]] = ("curate",)

    def __init__(self, config: Config) -> None:
        self.whole = config
        self.config = config.curate
        self.ingest = config.ingest
        self.max_pixels: int = config.ingest.max_pixels
        self._embedder: ImageEmbedder | None = None

    @classmethod
    def enabled(cls, config: Config) -> bool:
        section = config.curate
        on = (section.duplicates != "off", section.against, section.embedder.model, rules.are_on(section))
        return any(on) or bool(cls._of_embedder(section))

    @staticmethod
    def _of_embedder(section: CurateConfig) -> list[str]:
        """Keys that are set and need an embedder."""
        keys = [
            key for key in ("min_similarity", "keep_per_cluster", "near") if getattr(section, key) not in (None, ())
        ]
        return keys + (["duplicates"] if section.duplicates == "embedding" else [])

    @classmethod
    def needs(cls, config: Config) -> Needs:
        embedder = config.curate.embedder
        on = embedder.model is not None
        return Needs(gpu=on and device_type(embedder.device) == "cuda", actor=on)  # the network stays loaded

    @classmethod
    def merge_needs(cls, config: Config) -> Needs:
        searches = cls._compares(config.curate) or config.curate.embedder.model is not None
        return replace(cls.needs(config), blocks=searches)

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """Paths of benchmarks and seeds made absolute, and the embedder found. Raises UserError for what is not there,
        and for two of one name."""
        section = config.curate
        images = {**cls._resolve_images("against", section.against), **cls._resolve_images("near", section.near)}
        return {**images, **cls._resolve_embedder(config)}

    @classmethod
    def _resolve_embedder(cls, config: Config) -> dict[str, Any]:
        from model.device import DeviceError, resolve_device
        from model.hub import HubError, fetch
        from model.similarity.embedder import knows_texts

        section = config.curate.embedder
        if section.model is None:
            for key in cls._of_embedder(config.curate):
                needing = "duplicates: embedding" if key == "duplicates" else key
                raise UserError(f"curate.{needing} needs {KEY}, a folder or an id of the hub")
            return {}
        try:
            found = resolve_checkpoint(KEY, section)
            if (
                not knows_texts(fetch(section.model, found["revision"]).folder)
                and config.curate.min_similarity is not None
            ):
                raise UserError(f"curate.min_similarity: {KEY} ({section.model}) knows no texts; CLIP and SigLIP do")
            found["device"] = resolve_device(section.device)
        except (HubError, DeviceError) as error:
            raise UserError(f"{KEY}: {error}") from error
        return {"embedder": section.model_copy(update=found)}

    @classmethod
    def _resolve_images(cls, key: str, entries: Sequence[Benchmark]) -> dict[str, Any]:
        from stages.curate.benchmarks import name_of

        found = []
        for entry in entries:
            paths = {name: absolute(path) for name in ("source", "images") if (path := getattr(entry, name))}
            for path in paths.values():
                if "://" not in path and not Path(path).exists():
                    raise UserError(f"curate.{key}: {path}: no such file or folder")
            found.append(entry.model_copy(update=paths))
        names = [name_of(entry) for entry in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"curate.{key}: two entries are called {twice[0]}; give them a `name`")
        return {key: tuple(found)} if found else {}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        section = config.curate
        others = "off" if section.embedder.model else section.duplicates  # no vectors anew for another of these
        signatures = "perceptual" if cls._compares(section) else others
        found: dict[str, Any] = {"measures": rules.measures_images(section)} if rules.are_on(section) else {}
        if captions.are_compared(section):
            found["captions"] = captions.COLUMN
        return {"signatures": signatures, **found, **cls._embedder_digest(section)}

    @classmethod
    def _embedder_digest(cls, section: CurateConfig) -> dict[str, Any]:
        embedder = section.embedder
        return {"embedder": {**section_settings(embedder), "sha256": embedder.model_sha256}} if embedder.model else {}

    @classmethod
    def merge_digests(cls, config: Config) -> dict[str, Any]:
        from stages.curate.benchmarks import digest_of, name_of

        found = {
            key: [
                [name_of(entry), entry.format, *(digest_of(path) for path in (entry.source, entry.images) if path)]
                for entry in getattr(config.curate, key)
            ]
            for key in ("against", "near")
        }
        return {**found, **cls._embedder_digest(config.curate)}

    @property
    def embedder(self) -> ImageEmbedder:
        """Raises UserError."""
        if self._embedder is None:
            self._embedder = open_embedder(self.config.embedder)
        return self._embedder

    def run_part(self, io: PartIO) -> PartResult:
        """Writes key, the first 16 bytes of sha256, hashes of the caption and of where the image lies, the bits of the
        image's views and its thumbnail, its vector and how similar the caption is, null where it cannot be read, and
        what the rules ask."""
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
        found, vectors = self._looked_at(io, pairs, digests) if self._looks(self.config) else ({}, {})
        if self._compares(self.config):
            own = [found.get(digest) if digest else None for digest in digests]
            table["bits"] = pa.array([entry and entry.bits for entry in own], pa.binary(len(VIEWS) * BYTES))
            table["thumb"] = pa.array([entry and entry.thumb for entry in own], pa.binary(THUMB * THUMB))
        if self.config.embedder.model:
            owned = [vectors.get(digest) if digest else None for digest in digests]
            similar, notes["captions_cut"] = similarities(self.embedder, pairs.caption.to_pylist(), owned)
            table |= {"embedding": stored(owned), "similarity": pa.array(similar, from_pandas=True)}
        if rules.are_on(self.config):
            measured = [found[digest].measures if digest in found else None for digest in digests]
            table |= rules.columns(pairs, measured)
        if captions.are_compared(self.config):
            hashes = captions.minhashes(pairs.caption.to_pylist())
            buffers = [None, pa.py_buffer(hashes.astype("<u4").tobytes())]
            kind = pa.binary(4 * captions.HASHES)
            table[captions.COLUMN] = pa.FixedSizeBinaryArray.from_buffers(kind, len(pairs), buffers)
        if self._looks(self.config):
            notes["unreadable"] = len(images - found.keys() - vectors.keys())
        else:
            io.progress(len(pairs))
        io.write(SIGNATURES, pa.table(table))
        return PartResult(Counts(len(pairs), len(pairs)), notes)

    @staticmethod
    def _compares(config: CurateConfig) -> bool:
        """Whether signatures are made."""
        return config.duplicates == "perceptual" or (bool(config.against) and config.duplicates != "embedding")

    @classmethod
    def _signs(cls, config: CurateConfig) -> bool:
        """Whether grey images are looked at."""
        return cls._compares(config) or rules.measures_images(config)

    @classmethod
    def _looks(cls, config: CurateConfig) -> bool:
        """Whether images are decoded."""
        return cls._signs(config) or config.embedder.model is not None

    def _looked_at(
        self, io: PartIO, pairs: PairTable, digests: Sequence[bytes | None]
    ) -> tuple[dict[bytes, Signed], dict[bytes, Vector]]:
        """Of each image, by its digest, where it can be read as ingest has found it; `label` rejects the others."""
        refs = pairs.image.refs()
        first = {digest: number for number, digest in reversed(list(enumerate(digests))) if digest is not None}
        wanted = {digest: ref for digest, number in first.items() if (ref := refs[number]) is not None}
        io.progress(len(pairs) - len(wanted))
        found: dict[bytes, Signed] = {}
        vectors: dict[bytes, Vector] = {}
        named = zip(wanted, io.image_bytes(list(wanted.values())), strict=True)
        while batch := list(islice(named, BATCH)):
            if self._signs(self.config):
                for expected, signature in signed(batch, self.max_pixels, rules.measures_images(self.config)):
                    if signature is not None and signature.digest == expected:
                        found[expected] = signature
            if self.config.embedder.model:
                for expected, signature in embedded(batch, self.embedder, self.max_pixels):
                    if signature is not None and signature.vector is not None and signature.digest == expected:
                        vectors[expected] = signature.vector
            io.progress(len(batch))
        return found, vectors

    def merge(self, io: RunIO) -> dict[str, Any]:
        from stages.curate.merge import decide

        settings = hashlib.sha256(json.dumps(self.merge_settings(self.whole), sort_keys=True).encode()).hexdigest()
        return decide(io, self.config, self.ingest, lambda: self.embedder, settings)

    def forecast(self, io: RunIO, workers: int) -> list[str]:
        from stages.curate.forecast import UNTOLD, forecast

        section = self.config.model_copy(update=UNTOLD)
        return forecast(io, CurateStage(self.whole.model_copy(update={"curate": section})), self.whole, workers)
