"""Images to the tensor that enters the backbone.

The sizes and the bilinear resize are GLIP's own, for parity; other libraries' round and antialias in other ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model.device import host_buffer

MEAN = (103.530, 116.280, 123.675)  # of blue, green, red, on a scale of 0..255
STD = (57.375, 57.120, 58.395)
MULTIPLE = 32  # padded sides are multiples of it

Size = tuple[int, int]  # (height, width)
Sides = tuple[int | None, int | None]  # short and long side of a resized image; (None, None): no resizing


def preprocess(
    images: Sequence[np.ndarray], short: int | None = 800, long: int | None = 1333
) -> tuple[Tensor, list[Size]]:
    """uint8 RGB arrays (H, W, 3) -> pixels (B, 3, H', W'), and the (h, w) of each resized image in them.

    The short side becomes `short` unless the long side would pass `long`; short=None: no resizing. Pixels are padded to
    the largest image of the batch, in multiples of 32.
    """
    resized = [resize(image, resized_size(image.shape, (short, long))) for image in images]
    sizes: list[Size] = [(image.shape[0], image.shape[1]) for image in resized]
    return normalise(stack(resized), sizes), sizes


def resized_size(shape: Sequence[int], sides: Sides) -> Size:
    """(h, w) of an image (H, W, ...) whose short side becomes `sides[0]`, unless the long one would pass `sides[1]`.

    Raises ValueError for an image without pixels.
    """
    height, width = shape[:2]
    if min(height, width) < 1:
        raise ValueError(f"an image of {height} x {width} (height x width) has no pixels")
    short, long = sides
    if short is None:
        return height, width
    low, high = min(height, width), max(height, width)
    if long is not None and high / low * short > long:
        short = round(long * low / high)
    if low == short:
        return height, width
    other = int(short * high / low)  # truncated, as published
    if short == 0:  # hundreds of times longer than wide
        short, other = 1, long or 1
    return (short, other) if height <= width else (other, short)


def padded_size(size: Size) -> Size:
    """Both sides rounded up to multiples of 32."""
    return size[0] + -size[0] % MULTIPLE, size[1] + -size[1] % MULTIPLE


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3) uint8, bilinear with antialiasing. Raises ValueError for any other kind of array."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"images are uint8 RGB arrays (H, W, 3), not {image.dtype} {image.shape}")
    return np.asarray(resize_image(Image.fromarray(image), size)) if image.shape[:2] != size else image


def resize_image(image: Image.Image, size: Size) -> Image.Image:
    """An image of (h, w) = `size`: bilinear with antialiasing."""
    height, width = size
    same = image.size == (width, height)
    return image if same else image.resize((width, height), Image.Resampling.BILINEAR)


def stack(images: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Tensor:
    """uint8 images (h, w, 3) of any sizes -> one (B, H, W, 3), padded right and below to multiples of 32.

    On the host, in memory from which it goes to the device.
    """
    height, width = padded_size((max(x.shape[0] for x in images), max(x.shape[1] for x in images)))
    batch = host_buffer((len(images), height, width, 3), device)
    for row, image in zip(batch.numpy(), images, strict=True):
        own_height, own_width = image.shape[:2]
        row[:own_height, :own_width] = image
        row[:own_height, own_width:] = 0
        row[own_height:] = 0
    return batch


def normalise(batch: Tensor, sizes: Sequence[Size]) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32 BGR, normalised; then what is outside each (h, w) is zero.

    The pixels stay channels-last in memory, which convolutions run faster on.
    """
    mean, std = statistics(batch.device)
    pixels = (batch.permute(0, 3, 1, 2).flip(1).float() - mean) / std  # (B, 3, H, W)
    for row, (height, width) in zip(pixels, sizes, strict=True):
        row[:, height:] = 0
        row[:, :, width:] = 0
    return pixels.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=8)
def statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a pixel, (3, 1, 1) each. Kept, because every copy to a GPU would wait for it."""
    with torch.inference_mode(False):  # what is kept must serve training too
        return torch.tensor(MEAN, device=device).view(3, 1, 1), torch.tensor(STD, device=device).view(3, 1, 1)
