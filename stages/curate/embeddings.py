"""From images to vectors: the embedder that the config names, and what it makes of images on their way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.curate.images import BATCH, DIGEST, Signed, Vector
from stages.images import decode_rgb
from stages.stage import RowError, UserError

if TYPE_CHECKING:
    from model.similarity.images import ImageEmbedder
    from schemas.config import EmbedderConfig

KEY = "curate.embedder"
LOADERS = 8  # threads that decode images for a GPU

Name = TypeVar("Name")


def open_embedder(config: EmbedderConfig) -> ImageEmbedder:
    """The network of a resolved section. Raises UserError."""
    import torch

    from model.device import DeviceError
    from model.hub import HubError, fetch
    from model.similarity import embedder

    if config.model is None:
        raise UserError(f"{KEY}: null, so that there are no vectors; name a checkpoint")
    torch.set_num_threads(config.threads)
    try:
        folder = fetch(config.model, config.revision).folder
        return embedder.open_embedder(folder, config.device, config.precision, config.batch_size)
    except (HubError, DeviceError) as error:
        raise UserError(f"{KEY}: {error}") from error


def embedded(
    images: Iterable[tuple[Name, bytes | RowError]], embedder: ImageEmbedder, max_pixels: int
) -> Iterator[tuple[Name, Signed | None]]:
    """Digest and vector of each image in order, by its name; None for one that cannot be read or decoded, or whose
    vector is not of finite numbers."""

    def prepare(entry: tuple[Name, bytes | RowError]) -> Any:
        """The image as the network reads it; None where it cannot be decoded."""
        try:
            return None if isinstance(entry[1], RowError) else embedder.pixels.whole(decode_rgb(entry[1], max_pixels))
        except RowError:
            return None

    rest = iter(images)
    with ThreadPoolExecutor(LOADERS if embedder.device.type == "cuda" else 1) as pool:
        while batch := list(islice(rest, BATCH)):
            vectors = _vectors(embedder, pool.map(prepare, batch))
            for (name, data), vector in zip(batch, vectors, strict=True):
                if isinstance(data, RowError) or vector is None:
                    yield name, None
                else:
                    yield name, Signed(hashlib.sha256(data).digest()[:DIGEST], vector=vector)


def _vectors(embedder: ImageEmbedder, prepared: Iterable[Any]) -> list[Vector | None]:
    """Of each prepared image, while the next ones are being prepared; None stays None."""
    found: list[Vector | None] = []
    own: list[int] = []  # numbers of those that have a vector

    def groups() -> Iterator[list[Any]]:
        for image in prepared:
            found.append(None)
            if image is not None:
                own.append(len(found) - 1)
                yield [image]

    for place, (vector,) in enumerate(embedder.image_vectors(groups())):
        if np.isfinite(values := vector.numpy()).all():
            found[own[place]] = values
    return found


def stored(vectors: Sequence[Vector | None]) -> Any:
    """The column of a part: float16, as bytes; nulls alone where there is no vector."""
    import pyarrow as pa

    size = next((2 * len(vector) for vector in vectors if vector is not None), 0)
    if not size:
        return pa.nulls(len(vectors))
    return pa.array([None if vector is None else as_bytes(vector) for vector in vectors], pa.binary(size))


def as_bytes(vector: Vector) -> bytes:
    return vector.astype("<f2").tobytes()


def similarities(
    embedder: ImageEmbedder, captions: Sequence[str], vectors: Sequence[Vector | None]
) -> tuple[NDArray[np.float32], int]:
    """(N,) cosine of each caption with the vector of its image, NaN where it has none or the network knows no texts;
    and how many of the captions were too long for it and were cut.

    A caption is embedded once for a part, however often it occurs there.
    """
    from model.similarity.network import Similarity

    found = np.full(len(captions), np.nan, np.float32)
    own = [(number, vector) for number, vector in enumerate(vectors) if vector is not None]
    if not isinstance(embedder, Similarity) or not own:
        return found, 0
    texts = list(dict.fromkeys(captions[number] for number, _ in own))
    place = {text: number for number, text in enumerate(texts)}
    known, cut = embedder.text_vectors(texts)
    wide = known.double().numpy()
    for number, vector in own:
        found[number] = vector.astype(np.float64) @ wide[place[captions[number]]]
    return found, sum(cut)
