"""Bits against cosines computed one by one, thumbnails against means, and what alterations leave as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stages.curate.signature import BITS, PLAIN, SIDE, THUMB, VIEWS, as_rows, mirror_mask, signatures
from stages.images import decode_grey
from tests.stages.curate.photographs import ALTERATIONS, MORE, cropped, jpeg, photograph


def grey(seed: int, alter: str | None = None) -> np.ndarray:
    image = photograph(seed)
    image = image if alter is None else (ALTERATIONS | MORE)[alter](image)
    return decode_grey(jpeg(image), 10**7, SIDE)


def unpacked(bits: np.ndarray) -> np.ndarray:
    """(..., 12) -> (..., 96) in the order of frequencies."""
    return np.unpackbits(bits[..., None], axis=-1).swapaxes(-1, -2).reshape(*bits.shape[:-1], BITS)


def test_bits_are_the_signs_of_the_lowest_cosines() -> None:
    images = np.stack([grey(seed) for seed in range(3)])
    bits, _ = signatures(images)
    assert bits.shape == (3, len(VIEWS), BITS // 8)
    waves = [(down, across) for down in range(14) for across in range(14) if down + across]
    order = sorted(waves, key=lambda wave: (wave[0] + wave[1], wave))[:BITS]
    at = (np.arange(SIDE) + 0.5) / SIDE
    for image, found in zip(images, unpacked(bits)[:, 0], strict=True):
        values = [
            float(np.cos(math.pi * down * at) @ image.astype(np.float64) @ np.cos(math.pi * across * at))
            for down, across in order
        ]
        sure = np.abs(values) > 1.0
        assert sure.mean() > 0.9
        assert (found.astype(bool) == (np.asarray(values) > 0))[sure].all()


def test_a_thumbnail_holds_means_of_areas() -> None:
    images = np.stack([grey(seed) for seed in range(2)])
    _, thumbs = signatures(images)
    whole = images.repeat(THUMB, axis=1).repeat(THUMB, axis=2).reshape(2, THUMB, SIDE, THUMB, SIDE).mean((2, 4))
    assert np.abs(thumbs - whole).max() <= 0.51


def test_an_image_is_the_same_in_any_company() -> None:
    images = np.stack([grey(seed) for seed in range(5)])
    together, thumbs = signatures(images)
    for number in range(5):
        alone, thumb = signatures(images[number : number + 1])
        assert (alone[0] == together[number]).all() and (thumb[0] == thumbs[number]).all()


def test_brightness_and_contrast_change_no_bit() -> None:
    image = np.clip(grey(4), 60, 120)
    changed = ((image.astype(np.int64) - 60) * 2 + 5).astype(np.uint8)
    assert (signatures(image[None])[0] == signatures(changed[None])[0]).all()


@pytest.mark.parametrize("alter", [*ALTERATIONS, *MORE])
def test_some_view_of_a_copy_is_some_view_of_its_original(alter: str) -> None:
    seeds = range(8)
    original, _ = signatures(np.stack([grey(seed) for seed in seeds]))
    copy, _ = signatures(np.stack([grey(seed, alter) for seed in seeds]))
    distance = np.bitwise_count(original[:, :, None] ^ copy[:, None]).sum(-1)  # (N, views, views)
    plain = np.array([view.plain for view in VIEWS])
    distance[:, ~(plain[:, None] | plain)] = BITS
    assert distance.min((1, 2)).max() <= 8
    strangers = np.bitwise_count(original[:-1, :, None] ^ copy[1:, None]).sum(-1)
    assert strangers.min() > 12


def test_the_bits_of_a_mirror_image() -> None:
    images = np.stack([grey(seed) for seed in range(6)])
    own, _ = signatures(images)
    other, _ = signatures(images[:, :, ::-1])
    count = len(PLAIN)
    assert (other[:, :count] == own[:, :count] ^ mirror_mask()).all()
    assert not (other[:, :count] == own[:, :count]).all(-1).any()


def test_a_crop_is_a_view_of_the_whole() -> None:
    (number,) = (i for i, view in enumerate(VIEWS) if (view.x1, view.y1, view.x2, view.y2) == (0.05, 0.0, 1, 0.95))
    cut = cropped(left=0.05, bottom=0.05)(photograph(9, (400, 400)))
    whole = decode_grey(jpeg(photograph(9, (400, 400))), 10**7, SIDE)
    (bits,), _ = signatures(whole[None])
    (crop,), _ = signatures(decode_grey(jpeg(cut), 10**7, SIDE)[None])
    assert np.bitwise_count(bits[number] ^ crop[0]).sum() <= 4 < np.bitwise_count(bits[0] ^ crop[0]).sum()


def test_rows_of_bytes() -> None:
    assert as_rows(np.arange(12, dtype=np.uint8).reshape(2, 3, 2)).tolist() == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10, 11],
    ]
