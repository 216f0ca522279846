"""Groups of images come out of an embedder as they went in, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.similarity.embedder import open_embedder
from tests.similarity_models import save_image_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_image_network("dinov2", tmp_path_factory.mktemp("model"))


def image(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def test_groups_come_out_as_soon_as_their_batch_is_computed(folder: Path) -> None:
    embedder = open_embedder(folder, batch_size=2)
    drawn: list[int] = []

    def groups() -> Iterator[list[Any]]:
        for number in range(6):
            drawn.append(number)
            yield [embedder.pixels.whole(image(number))]

    coming = embedder.image_vectors(groups())
    assert next(coming).shape == (1, 16) and drawn == [0, 1]


def test_batches_change_nothing_but_the_last_digits(folder: Path) -> None:
    one, many = (open_embedder(folder, batch_size=size) for size in (1, 64))
    prepared = [one.pixels.whole(image(number)) for number in range(5)]
    groups = [prepared[:1], prepared[1:], prepared[2:4]]
    found, alone = list(many.image_vectors(iter(groups))), list(one.image_vectors(groups))
    assert [len(vectors) for vectors in found] == [1, 4, 2]
    assert all((mine - other).abs().max() < 1e-5 for mine, other in zip(found, alone, strict=True))
    assert torch.cat(found).norm(dim=1) == pytest.approx(1, abs=1e-5)


def test_nothing_gives_nothing(folder: Path) -> None:
    assert list(open_embedder(folder).image_vectors([])) == []
