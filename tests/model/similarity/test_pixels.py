"""Images are prepared exactly as the processors of transformers prepare them, where those run without torchvision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.hub import HubError
from model.similarity.pixels import Patched, Pixels, Stretched, not_too_long, patches_of, read_settings
from tests.similarity_models import FAMILIES, PATCH, SIDE, processor_of

CPU = torch.device("cpu")
SIZES = [(40, 60), (100, 33), (32, 32), (7, 90), (6, 5), (33, 31)]  # (H, W)


def images() -> list[Pixels]:
    draw = np.random.default_rng(5)
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def preparation_of(family: str) -> Stretched | Patched:
    settings = processor_of(family).to_dict()
    return Patched(settings) if family == "siglip2" else Stretched(settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_image_is_prepared_as_by_the_library(family: str) -> None:
    mine = preparation_of(family)
    batch = mine.batch([mine.whole(image) for image in images()], CPU)
    theirs = processor_of(family)(images=images(), return_tensors="pt")
    assert batch.keys() == theirs.keys() and len(batch) >= 1
    for name in ("pixel_values", *(["pixel_attention_mask", "spatial_shapes"] if family == "siglip2" else [])):
        assert torch.equal(batch[name].double(), theirs[name].double()), name


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_crop_is_stretched_and_loses_no_end(family: str) -> None:
    mine = preparation_of(family)
    region = images()[3]  # 7 x 90
    found = mine.batch([mine.crop(region)], CPU)["pixel_values"][0].permute(1, 2, 0)
    stretched = np.asarray(Image.fromarray(region).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    processor = processor_of(family)
    by_hand = (stretched / 255 - np.array(processor.image_mean)) / np.array(processor.image_std)
    assert np.abs(found.numpy() - by_hand).max() < 1e-6
    whole = mine.batch([mine.whole(region)], CPU)["pixel_values"][0].permute(1, 2, 0)
    assert torch.equal(found, whole) == (family == "siglip")  # whose processor stretches, too


def test_patches_keep_the_aspect_and_stand_row_by_row() -> None:
    mine = Patched(processor_of("siglip2").to_dict())
    patches = mine.crop(np.zeros((20, 80, 3), np.uint8))
    assert patches.shape == (2, 8) and patches.values.shape == (16, PATCH * PATCH, 3)
    image = np.zeros((2 * PATCH, 8 * PATCH, 3), np.uint8)
    image[PATCH:, 3 * PATCH : 4 * PATCH] = 9  # the patch in the second row, fourth column
    assert [index for index, patch in enumerate(mine.crop(image).values) if patch.all()] == [8 + 3]


@pytest.mark.parametrize("size", [(480, 640), (1, 5000), (17, 900), (333, 333)])
@pytest.mark.parametrize(("side", "most"), [(16, 256), (14, 729), (8, 16)])
def test_as_many_patches_as_the_library_would_take(size: tuple[int, int], side: int, most: int) -> None:
    from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

    height, width = get_image_size_for_max_num_patches(*size, side, most)
    down, across = patches_of(*size, side, most)
    assert (down * side, across * side) == (height, width) and down * across <= most


def test_of_an_image_without_end_the_middle_is_taken() -> None:
    image = np.arange(1000, dtype=np.int64).astype(np.uint8)[None, :, None].repeat(3, 2)  # 1 x 1000
    middle = not_too_long(image, 64)
    assert middle.shape == (1, 64, 3) and np.array_equal(middle, image[:, 468:532])
    assert not_too_long(image.swapaxes(0, 1), 64).shape == (64, 1, 3)
    assert not_too_long(image, 1000) is not image and np.array_equal(not_too_long(image, 1000), image)
    prepared = preparation_of("clip").whole(np.zeros((1, 1_000_000, 3), np.uint8))  # 32 million pixels wide, uncut
    assert prepared.shape == (SIDE, SIDE, 3)


def test_settings_are_found_where_checkpoints_keep_them(tmp_path: Path) -> None:
    settings = processor_of("siglip").to_dict()
    with pytest.raises(HubError, match=r"no preprocessor_config\.json in it"):
        read_settings(tmp_path)
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert read_settings(tmp_path) == json.loads(json.dumps(settings))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**settings, "do_normalize": False}))
    with pytest.raises(HubError, match="turns do_normalize off, which is not supported"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"do_center_crop": True, "size": 20, "crop_size": 24}, "from a short side of 20 has no pixels"),
        ({"size": {"longest_edge": 9}}, "has no height"),
        ({"size": {"height": 0, "width": 4}}, "has no height"),
    ],
)
def test_settings_that_no_processor_of_the_family_has_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(HubError, match=problem):
        Stretched(settings)
    assert Stretched({"size": 20}).size == (20, 20)
