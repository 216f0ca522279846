"""Images on their way to vectors: which have one, whose it is, and how it is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
import torch

from model.similarity.network import Similarity
from schemas.config import EmbedderConfig
from stages.curate import embeddings
from stages.curate.embeddings import embedded, open_embedder, similarities, stored
from stages.stage import RowError, UserError
from tests.similarity_models import save_checkpoint, save_image_network
from tests.stages.curate.photographs import jpeg, photograph

LIMIT = 10**6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_image_network("dinov2", tmp_path_factory.mktemp("model"))


def test_each_image_has_its_own_vector(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "BATCH", 3)
    data = [jpeg(photograph(seed)) for seed in range(5)]
    given = [*data[:2], b"no image", RowError("missing_image"), *data[2:], data[3][:200], data[0]]
    embedder = open_embedder(EmbedderConfig(model=str(folder), device="cpu", batch_size=2))
    found = list(embedded(zip("abcdefghi", given, strict=True), embedder, LIMIT))
    assert [name for name, _ in found] == list("abcdefghi")
    assert [name for name, entry in found if entry is None] == ["c", "d", "h"]
    for (_, entry), image in zip(found, given, strict=True):
        if entry is not None:
            assert isinstance(image, bytes) and entry.digest == hashlib.sha256(image).digest()[:16]
            ((_, alone),) = embedded([("x", image)], embedder, LIMIT)
            assert alone is not None and alone.vector is not None and entry.vector is not None
            assert entry.vector == pytest.approx(alone.vector, abs=1e-5) and entry.vector.shape == (16,)
    assert list(embedded([], embedder, LIMIT)) == []


def test_vectors_that_are_no_numbers_are_left_out() -> None:
    def image_vectors(groups: Iterable[list[Any]]) -> Iterator[torch.Tensor]:
        for number, _ in enumerate(groups):
            yield torch.tensor([[1.0, float("nan") if number == 1 else 0.0]])

    pixels = SimpleNamespace(whole=lambda image: image)
    network = SimpleNamespace(image_vectors=image_vectors, pixels=pixels, device=torch.device("cpu"))
    images = [(name, jpeg(photograph(1))) for name in "abc"]
    found = list(embedded(images, cast(Any, network), LIMIT))
    assert [name for name, entry in found if entry is not None] == ["a", "c"]


def test_a_column_of_vectors() -> None:
    vectors = [np.array([0.6, -0.8], np.float32), None]
    column = stored(vectors)
    assert column.type == pa.binary(4) and column[1].as_py() is None
    assert np.frombuffer(column[0].as_py(), "<f2").tolist() == pytest.approx([0.6, -0.8], abs=1e-3)
    assert stored([None, None]).null_count == 2 and len(stored([])) == 0


def test_a_network_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"curate\.embedder: null"):
        open_embedder(EmbedderConfig())
    with pytest.raises(UserError, match=r"curate\.embedder: .*no config\.json in it"):
        open_embedder(EmbedderConfig(model=str(tmp_path)))


def test_a_caption_is_compared_with_its_own_image(tmp_path: Path) -> None:
    folder = save_checkpoint("clip", tmp_path)
    embedder = open_embedder(EmbedderConfig(model=str(folder), device="cpu", batch_size=2))
    captions = ["a dog", "a cat", "a dog", "a text that is far too long for it", "no image"]
    data = [jpeg(photograph(seed)) for seed in range(4)]
    vectors = [entry and entry.vector for _, entry in embedded(enumerate(data), embedder, LIMIT)]
    found, cut = similarities(embedder, captions, [*vectors, None])
    assert isinstance(embedder, Similarity) and cut == 1 and np.isnan(found[4]) and found.dtype == np.float32
    texts = embedder.text_vectors(captions[:4])[0].numpy()
    images = np.stack([vector for vector in vectors if vector is not None])
    assert found[:4] == pytest.approx((images * texts).sum(1), abs=1e-5)
    assert len(set(found[:4].tolist())) == 4


def test_a_network_of_images_alone_compares_no_captions(folder: Path) -> None:
    embedder = open_embedder(EmbedderConfig(model=str(folder), device="cpu"))
    found, cut = similarities(embedder, ["a dog"], [np.ones(16, np.float32)])
    assert np.isnan(found).tolist() == [True] and cut == 0
