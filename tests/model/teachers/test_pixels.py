"""Images are prepared as the processors of transformers prepare them, and as SciPy resizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoint import WeightsError
from model.teachers.pixels import (
    CLIP,
    IMAGENET,
    Pixels,
    Resized,
    Squared,
    Stretched,
    image_settings,
    mirrored,
    resampling,
    sides,
    size_with_aspect,
)

CPU = torch.device("cpu")
SIZES = [(80, 100), (300, 200), (64, 64), (61, 47), (500, 90), (33, 400), (1, 7), (96, 96)]


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def prepared(pixels: Pixels, image: np.ndarray) -> np.ndarray:
    """(h, w, 3)."""
    (batch,) = pixels.batch([pixels.prepare(image)], CPU)
    assert tuple(batch.shape[1:]) == pixels.prepared(image.shape[:2])
    return batch.permute(1, 2, 0).numpy()


def by_processor(processor: Any, image: np.ndarray) -> np.ndarray:
    (found,) = processor(images=Image.fromarray(image), return_tensors="np")["pixel_values"]
    return np.moveaxis(found, 0, 2)


def statistics(family: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return family["image_mean"], family["image_std"]


@pytest.mark.parametrize("size", [size for size in SIZES if min(size) > 1])
@pytest.mark.parametrize("edges", [(96, 160), (50, 1000)])
def test_pixels_with_their_aspect_are_those_of_grounding_dino(size: tuple[int, int], edges: tuple[int, int]) -> None:
    from transformers import GroundingDinoImageProcessorPil

    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": edges[0], "longest_edge": edges[1]})
    image = noise(size)
    found = prepared(Resized(*edges, 2, *statistics(IMAGENET)), image)
    np.testing.assert_allclose(found, by_processor(processor, image), atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_stretched_pixels_are_those_of_owl_vit(size: tuple[int, int]) -> None:
    from transformers import OwlViTImageProcessorPil

    processor = OwlViTImageProcessorPil(size={"height": 96, "width": 96})
    found = prepared(Stretched(96, 96, 3, *statistics(CLIP)), noise(size))
    np.testing.assert_allclose(found, by_processor(processor, noise(size)), atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [96, 40])
def test_squared_pixels_are_those_of_owlv2(size: tuple[int, int], side: int) -> None:
    from transformers import Owlv2ImageProcessorPil

    processor = Owlv2ImageProcessorPil(size={"height": side, "width": side})
    found = prepared(Squared(side, side, 2, *statistics(CLIP)), noise(size))
    np.testing.assert_allclose(found, by_processor(processor, noise(size)), atol=2e-5)


@pytest.mark.parametrize(("before", "after"), [(100, 30), (30, 100), (64, 64), (65, 64), (7, 3), (1, 5), (2, 9)])
def test_a_line_is_resized_as_scipy_does(before: int, after: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    line = np.random.default_rng(1).random(before)
    deviation = max(0.0, (before / after - 1) / 2)
    smooth = ndimage.gaussian_filter(line, deviation, mode="mirror") if deviation else line
    expected = ndimage.zoom(smooth, after / before, order=1, mode="mirror", grid_mode=True)
    weights = resampling(before, after)
    np.testing.assert_allclose(weights @ line, expected, atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_a_mirrored_line() -> None:
    assert mirrored(np.arange(-4, 9), 4).tolist() == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirrored(np.arange(-2, 3), 1).tolist() == [0] * 5


@pytest.mark.parametrize("size", [*SIZES, (800, 1333), (1333, 800), (3000, 4000), (427, 640), (640, 427)])
def test_sizes_with_aspect_are_those_of_transformers(size: tuple[int, int]) -> None:
    from transformers.image_transforms import get_size_with_aspect_ratio

    for short, long in ((800, 1333), (96, 160), (50, 51)):
        expected = tuple(max(1, side) for side in get_size_with_aspect_ratio(size, short, long))
        assert size_with_aspect(size, short, long) == expected


def test_a_line_of_pixels_keeps_one() -> None:
    assert size_with_aspect((1, 5000), 800, 1333) == (1, 1333)
    image = noise((1, 5000))
    assert prepared(Resized(800, 1333, 2, *statistics(IMAGENET)), image).shape == (1, 1333, 3)


def test_the_extent_of_an_image_is_its_size_or_the_square_around_it() -> None:
    assert Stretched(64, 64, 3, *statistics(CLIP)).extent((40, 90)) == (40, 90)
    assert Squared(64, 64, 2, *statistics(CLIP)).extent((40, 90)) == (90, 90)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"shortest_edge": 800, "longest_edge": 1333}, (Resized, 800, 1333)),
        ({"shortest_edge": 600}, (Resized, 600, 1333)),
        ({"height": 640, "width": 640}, (Stretched, 640, 640)),
        (768, (Stretched, 768, 768)),
        ([768, 768], (Stretched, 768, 768)),
    ],
)
def test_sizes_as_checkpoints_write_them(size: Any, expected: tuple[type[Pixels], int, int]) -> None:
    assert sides({"size": size}) == expected


def test_an_oblong_is_refused() -> None:
    with pytest.raises(WeightsError, match="neither a square nor a shortest and a longest edge"):
        sides({"size": {"height": 640, "width": 480}})


def test_settings_are_found_in_either_file_or_are_those_of_the_family(tmp_path: Path) -> None:
    usual = {"size": 64, "resample": 2}
    assert image_settings(tmp_path, usual) == usual
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"size": 96, "resample": None}}))
    assert image_settings(tmp_path, usual) == {"size": 96, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 128, "do_resize": True}))
    assert image_settings(tmp_path, usual)["size"] == 128
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    with pytest.raises(WeightsError, match="images of which do_normalize is False are not supported"):
        image_settings(tmp_path, usual)
