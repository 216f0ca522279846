"""Images to the tensor that enters the backbone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MEAN = (103.530, 116.280, 123.675)  # of blue, green, red, on a scale of 0..255
STD = (57.375, 57.120, 58.395)
MULTIPLE = 32  # padded sides are multiples of it

Size = tuple[int, int]  # (height, width)


def resized_size(height: int, width: int, short: int | None, long: int | None) -> Size:
    """Size after the short side is brought to `short`, or less if the long side would pass `long`. None: unchanged."""
    if short is None:
        return height, width
    low, high = min(height, width), max(height, width)
    if long is not None and high / low * short > long:
        short = round(long * low / high)
    if low == short:
        return height, width
    other = int(short * high / low)
    return (short, other) if height <= width else (other, short)


def padded_size(height: int, width: int) -> Size:
    """Both sides rounded up to multiples of 32."""
    return height + -height % MULTIPLE, width + -width % MULTIPLE


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3) uint8, bilinear with antialiasing."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def stack(images: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Tensor:
    """(h, w, 3) uint8 RGB images of any sizes -> (B, 3, H, W) float32: BGR, normalised, zero padding right and below.

    H and W are the largest height and width, rounded up to multiples of 32.
    """
    height, width = padded_size(max(x.shape[0] for x in images), max(x.shape[1] for x in images))
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(STD, device=device).view(3, 1, 1)
    pixels = torch.zeros(len(images), 3, height, width, device=device)
    for row, image in zip(pixels, images):
        bgr = torch.tensor(image, device=device).permute(2, 0, 1).flip(0)  # (3, h, w)
        row[:, : image.shape[0], : image.shape[1]] = (bgr.float() - mean) / std
    return pixels


def preprocess(
    images: Sequence[np.ndarray], short: int | None = 800, long: int | None = 1333
) -> tuple[Tensor, list[Size]]:
    """uint8 RGB arrays (H, W, 3) -> pixels (B, 3, H', W'), and the (h, w) of each resized image in them.

    The short side becomes `short` unless the long side would pass `long`; short=None: no resizing. Pixels are padded to
    the largest image of the batch, in multiples of 32.
    """
    resized = [resize(image, resized_size(*image.shape[:2], short, long)) for image in images]
    return stack(resized), [image.shape[:2] for image in resized]
