"""Fixtures: the official parity cases beside the checkout, models with their weights, and small models of our own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.official_weights import PARITY, official_state
from model.glip import Glip

VARIANTS = {"glip_t_a": "glip-t-a", "glip_t_b": "glip-t-b", "glip_t_c": "glip-t-c", "glip_l": "glip-l"}


class Case:
    """One recorded official case: arrays by name, and its `meta`."""

    def __init__(self, name: str) -> None:
        self.arrays = np.load(PARITY / f"{name}.npz")
        self.meta: dict[str, Any] = json.loads(str(self.arrays["meta"]))

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def __len__(self) -> int:
        return len(self.arrays["image_sizes"].reshape(-1, 2))

    @property
    def image_sizes(self) -> list[tuple[int, int]]:
        return [(int(h), int(w)) for h, w in self.arrays["image_sizes"].reshape(-1, 2)]

    @property
    def token_maps(self) -> list[list[list[int]]]:
        return [[own[str(label)] for label in range(1, len(own) + 1)] for own in self.meta["label_to_tokens"]]


@pytest.fixture(scope="session")
def parity() -> Callable[[str], Case]:
    if not PARITY.is_dir():
        pytest.skip(f"the official recordings are not at hand ({PARITY})")
    torch.set_num_threads(1)
    return Case


@pytest.fixture(scope="session")
def official(parity: Callable[[str], Case]) -> Iterator[Callable[..., Glip]]:
    """The model of a parity variant. GLIP-T (C), which most cases use, is kept, and the last of the others."""
    kept: dict[tuple[str, int], Glip] = {}

    def get(variant: str, seed: int = 0) -> Glip:
        if (variant, seed) not in kept:
            for other in [key for key in kept if key[0] != "glip_t_c"]:
                del kept[other]
            kept[variant, seed] = Glip.from_official(VARIANTS[variant], official_state(variant, seed))
        return kept[variant, seed]

    yield get
    kept.clear()


@pytest.fixture(scope="session")
def nano() -> Glip:
    """An untrained glip-nano whose scores and boxes are spread as those of a trained one are."""
    torch.set_num_threads(1)
    model = Glip.from_variant("glip-nano", seed=1).eval()
    generator = torch.Generator().manual_seed(1)
    head = model.rpn.head
    with torch.no_grad():
        for weight, std in (
            (head.dot_product_projection_text.weight, 3.0),
            (head.bbox_pred.weight, 0.4),
            (head.centerness.weight, 0.3),
        ):
            weight.normal_(std=std, generator=generator)
        head.bias0.fill_(-3.0)
    return model


@pytest.fixture(scope="session")
def images_made() -> Callable[[int, list[tuple[int, int]]], list[np.ndarray]]:
    """Seeded images of some structure, of the (height, width) asked for."""

    def draw(seed: int, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
        random = np.random.default_rng(seed)
        drawn = []
        for height, width in sizes:
            image = np.zeros((height, width, 3), dtype=np.uint8) + random.integers(0, 255, 3, dtype=np.uint8)
            for _ in range(6):
                y, x = random.integers(0, height - 20), random.integers(0, width - 20)
                h, w = random.integers(15, 120, 2)
                image[y : y + h, x : x + w] = random.integers(0, 255, 3)
            noise = random.integers(-20, 20, image.shape)
            drawn.append((image + noise).clip(0, 255).astype(np.uint8))
        return drawn

    return draw
