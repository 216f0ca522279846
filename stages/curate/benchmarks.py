"""The images of benchmarks, which a corpus must not hold: from the same readers as the corpus, or a list of images.

An evaluation on images that were trained on says nothing. Benchmarks often come without captions, so that a folder of
images, or a JSON file that lists them, is enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.annotations import decoding
from stages.curate.embeddings import as_bytes, embedded
from stages.curate.images import signed
from stages.curate.signature import BYTES, THUMB, VIEWS, Bytes
from stages.curate.vectors import Vectors
from stages.ingest import sources
from stages.ingest.names import base_name, below, is_image, without_suffix
from stages.json_stream import stream
from stages.stage import Files, ImageRef, RowError, UserError
from stages.train.annotated import safe_name

if TYPE_CHECKING:
    from model.similarity.images import ImageEmbedder
    from schemas.config import Benchmark, IngestConfig

KEY = "curate"
PART = 1000  # rows of a benchmark that are planned together

Image = ImageRef | bytes | RowError


@dataclass(frozen=True)
class Known:
    """The B distinct images of all benchmarks that can be read."""

    names: list[str]  # BENCHMARK:ID
    digest: NDArray[np.uint64]  # (B, 2)
    bits: Bytes  # (B, len(VIEWS), BYTES)
    thumbs: Bytes  # (B, THUMB, THUMB)
    vectors: Vectors  # (B, D); D is 0 where signatures are compared, and these are empty where vectors are
    unreadable: dict[str, int]  # by benchmark, where there are any


def read_benchmarks(
    files: Files, against: Sequence[Benchmark], ingest: IngestConfig, embedder: ImageEmbedder | None = None
) -> Known:
    """With signatures, or with the vectors of an embedder. Raises UserError for a benchmark none of whose images can be
    read."""
    names: list[str] = []
    rows: list[tuple[bytes, bytes, bytes, bytes]] = []
    unreadable: dict[str, int] = {}
    for benchmark in against:
        before, known = len(rows), set[bytes]()
        images = _loaded(files, benchmark, ingest)
        looked_at = embedded(images, embedder, ingest.max_pixels) if embedder else signed(images, ingest.max_pixels)
        for image, found in looked_at:
            if found is None:
                unreadable[name_of(benchmark)] = unreadable.get(name_of(benchmark), 0) + 1
            elif found.digest not in known:  # several captions have one image
                known.add(found.digest)
                names.append(f"{name_of(benchmark)}:{image}")
                vector = b"" if found.vector is None else as_bytes(found.vector)
                rows.append((found.digest, found.bits, found.thumb, vector))
        if len(rows) == before:
            raise UserError(f"{KEY}: {benchmark.source} has no image that can be read; name their folder in `images`")
    digest, bits, thumbs, vectors = (b"".join(column) for column in zip(*rows, strict=True)) if rows else (b"",) * 4
    return Known(
        names,
        np.frombuffer(digest, "<u8").astype(np.uint64).reshape(-1, 2),
        np.frombuffer(bits, np.uint8).reshape(-1, len(VIEWS), BYTES),
        np.frombuffer(thumbs, np.uint8).reshape(-1, THUMB, THUMB),
        np.frombuffer(vectors, "<f2").astype(np.float16).reshape(len(rows), len(rows) and len(rows[0][3]) // 2),
        unreadable,
    )


def name_of(benchmark: Benchmark) -> str:
    """Its own, or that of its file or folder, without a suffix."""
    name = base_name(benchmark.source)
    return benchmark.name or (without_suffix(name) if "." in name.strip(".") else name)


def _loaded(files: Files, benchmark: Benchmark, ingest: IngestConfig) -> Iterator[tuple[str, bytes | RowError]]:
    """Id and bytes of each image; an image that several rows in a stretch share comes once."""
    rows = images_of(files, benchmark, ingest)
    while batch := list(islice(rows, PART)):
        own: dict[ImageRef, str] = {}
        for name, image in batch:
            if isinstance(image, ImageRef):
                own.setdefault(image, name)
        yield from ((name, image) for name, image in batch if not isinstance(image, ImageRef))
        yield from zip(own.values(), files.image_bytes(list(own)), strict=True)


def images_of(files: Files, benchmark: Benchmark, ingest: IngestConfig) -> Iterator[tuple[str, Image]]:
    """Id and place of the image of each row. Raises UserError for a source that cannot be read."""
    format = format_of(files, benchmark)
    if format == "images":
        for file in files.list_source(benchmark.source):
            if is_image(file.uri):
                yield below(file.uri, benchmark.source), ImageRef(file.uri)
    elif format == "coco":
        yield from _listed(files, benchmark)
    else:
        changes = {"source": benchmark.source, "format": format, "images": benchmark.images}
        config = type(ingest)().model_copy(update=changes)
        format = sources.planned_format(config, files)
        for piece in sources.plan(sources.open_source(config, format), format, files, PART):
            for row in sources.rows(config, files, piece):
                image = row.error or row.data or row.image
                if image is not None:
                    yield row.source_id, image


def format_of(files: Files, benchmark: Benchmark) -> str:
    """`auto`: a JSON file lists its images; a folder of nothing but images is one; ingest recognises the others."""
    if benchmark.format != "auto":
        return str(benchmark.format)
    if benchmark.source.endswith(".json"):
        return "coco"
    try:
        listed = files.list_source(benchmark.source)
    except FileNotFoundError:
        raise UserError(f"{KEY}: {benchmark.source}: no such file or folder") from None
    return "images" if listed and all(is_image(file.uri) for file in listed) else "auto"


def _listed(files: Files, benchmark: Benchmark) -> Iterator[tuple[str, Image]]:
    """The `images` of a JSON file of COCO's kind: captions, instances, LVIS, Flickr30k's in MDETR's form."""
    if benchmark.images is None:
        raise UserError(f"{KEY}: {benchmark.source} lists images; name the folder in which they lie in `images`")
    with decoding(benchmark.source, KEY), files.open_source(benchmark.source) as file:
        entries = [_entry(element.value) for element in stream(file) if element.array == "images"]
    for name, path in entries:
        try:
            yield name, ImageRef(f"{benchmark.images.rstrip('/')}/{safe_name(path)}")
        except RowError as error:
            yield name, error


def _entry(value: Any) -> tuple[str, str]:
    """Id and file name. LVIS names the file by the end of its address, with the folder of the split."""
    if not isinstance(value, dict):
        return "", ""
    path = value.get("file_name") or "/".join(str(value.get("coco_url", "")).split("/")[-2:])
    return str(value.get("id", path)), str(path)


def digest_of(source: str) -> str:
    """What tells whether a benchmark has changed: the sha256 of a file; of a folder, its files' names and sizes. A URI
    stands for itself."""
    path = Path(source)
    if "://" in source or not path.exists():
        return source
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    listed = sorted(
        (file.relative_to(path).as_posix(), file.stat().st_size) for file in path.rglob("*") if file.is_file()
    )
    return hashlib.sha256(repr(listed).encode()).hexdigest()
