import numpy as np
import pytest
import torch

from model import images as module
from model.glip import preprocess
from model.images import padded_size, resized_size, stack


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((480, 640), (800, 1066)),  # 1066.67 is truncated
        ((640, 480), (1066, 800)),
        ((800, 1000), (800, 1000)),  # right already
        ((500, 1000), (666, 1332)),  # the long side would pass 1333: round(666.5) is even, then 1332 by truncation
        ((1000, 500), (1332, 666)),
        ((333, 1333), (333, 1333)),
        ((100, 3000), (44, 1320)),
        ((1, 5000), (1, 1333)),  # not resized to no pixels at all
        ((5000, 1), (1333, 1)),
    ],
)
def test_official_sizes(given: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_size(given, (800, 1333)) == expected


def test_no_resizing() -> None:
    assert resized_size((37, 41, 3), (None, None)) == (37, 41)
    assert padded_size((37, 64)) == (64, 64)


def test_pixels_are_bgr_normalised_and_padded_with_zeros() -> None:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, size, dtype=np.uint8) for size in ((40, 33, 3), (20, 70, 3))]
    pixels, sizes = preprocess(images, None)
    assert pixels.shape == (2, 3, 64, 96)
    assert sizes == [(40, 33), (20, 70)]
    mean, std = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
    for own, image in zip(pixels, images, strict=True):
        height, width = image.shape[:2]
        expected = (image[..., ::-1] - mean) / std
        np.testing.assert_allclose(own[:, :height, :width].permute(1, 2, 0).numpy(), expected, atol=1e-5)
        assert not own[:, height:].any() and not own[:, :, width:].any()


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((400, 400, 3), dtype=np.uint8)
    stripes[::2] = 255
    pixels, _ = preprocess([stripes], 100, 200)
    grey = (127.5 - torch.tensor([103.53, 116.28, 123.675])) / torch.tensor([57.375, 57.12, 58.395])
    inner = pixels[0, :, 10:90, 10:90]
    assert (inner - grey[:, None, None]).abs().max() < 0.05


def test_a_batch_has_zeros_beside_and_below_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in memory that held something else before."""
    monkeypatch.setattr(module, "host_buffer", lambda shape, _: torch.full(shape, 7, dtype=torch.uint8))
    images = [np.full((h, w, 3), 9, np.uint8) for h, w in ((40, 33), (20, 64))]
    batch = stack(images)
    assert batch.shape == (2, 64, 64, 3)
    for row, image in zip(batch, images, strict=True):
        height, width = image.shape[:2]
        assert bool((row[:height, :width] == 9).all())
        assert int((row == 0).sum()) == 3 * (64 * 64 - height * width)
