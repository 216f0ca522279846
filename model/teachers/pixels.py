"""Images as the detectors of transformers take them, without its processors, some of which need torchvision or SciPy.

A thread resizes an image as uint8; the device does the rest, of a whole batch. Pixels equal those of the processor that
the checkpoint names (its Pillow version), and no image is padded because of another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from model import pretrained
from model.checkpoint import WeightsError
from model.device import send
from model.images import Size
from model.teacher import Image

IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
CLIP = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
LONGEST = 1333  # where only the shortest edge is given
STEPS = {"do_resize": True, "do_rescale": True, "do_normalize": True, "do_center_crop": False}
TRUNCATE = 4.0  # deviations after which a Gaussian ends, in SciPy


@dataclass(frozen=True)
class Pixels(ABC):
    """How images are prepared. `short` and `long`: of a prepared image, in pixels; equal where it is a square."""

    short: int
    long: int
    resample: int  # a filter of Pillow's, by its number
    mean: tuple[float, ...]
    std: tuple[float, ...]
    factor: float = 1 / 255
    square: ClassVar[bool] = False  # whatever the aspect of the given image

    @abstractmethod
    def prepared(self, size: Size) -> Size:
        """(h, w) of the prepared image, given its (H, W)."""

    @abstractmethod
    def prepare(self, image: Image) -> Image:
        """What a thread does to an image (H, W, 3)."""

    @abstractmethod
    def stacked(self, images: Sequence[Image], device: torch.device) -> Tensor:
        """Images as `prepare` made them, all of one prepared size -> (B, h, w, 3) float32 on the device."""

    def extent(self, size: Size) -> Size:
        """What the network calls 1 in height and width, in pixels of the given image."""
        return size

    def batch(self, images: Sequence[Image], device: torch.device) -> Tensor:
        """Images as `prepare` made them -> (B, 3, h, w) float32, normalised."""
        mean, std = statistics(self.mean, self.std, device)
        return ((self.stacked(images, device) - mean) / std).permute(0, 3, 1, 2).contiguous()


class Resized(Pixels):
    """Resized by Pillow with the aspect kept: to the short side, unless the long one would be passed."""

    def prepared(self, size: Size) -> Size:
        return size_with_aspect(size, self.short, self.long)

    def prepare(self, image: Image) -> Image:
        height, width = self.prepared((image.shape[0], image.shape[1]))
        if image.shape[:2] == (height, width):
            return image
        return np.asarray(Pillow.fromarray(image).resize((width, height), Pillow.Resampling(self.resample)))

    def stacked(self, images: Sequence[Image], device: torch.device) -> Tensor:
        return send(torch.from_numpy(np.stack(images)), device).float() * self.factor


class Stretched(Resized):
    """Resized by Pillow to a square, whatever the aspect."""

    square: ClassVar[bool] = True

    def prepared(self, size: Size) -> Size:
        return self.short, self.long


class Squared(Pixels):
    """Padded with black to a square, right and below, and then resized as SciPy does: by linear interpolation, after a
    Gaussian where the image becomes smaller. Both are linear, and are done as two products of matrices."""

    square: ClassVar[bool] = True

    def prepared(self, size: Size) -> Size:
        return self.short, self.short

    def extent(self, size: Size) -> Size:
        return max(size), max(size)

    def prepare(self, image: Image) -> Image:
        return image

    def stacked(self, images: Sequence[Image], device: torch.device) -> Tensor:
        return torch.stack([self._resized(image, device) for image in images])

    def _resized(self, image: Image, device: torch.device) -> Tensor:
        """(H, W, 3) -> (h, h, 3)."""
        height, width, side = *image.shape[:2], max(image.shape[:2])
        weights = send(torch.from_numpy(resampling(side, self.short)), device)  # (h, side); padding adds nothing
        pixels = send(torch.from_numpy(image.copy()), device).float() * self.factor
        rows = (weights[:, :height] @ pixels.flatten(1)).unflatten(1, (width, 3))  # (h, W, 3)
        square: Tensor = weights[:, :width] @ rows  # (h, h, 3)
        return square


def size_with_aspect(size: Size, short: int, long: int) -> Size:
    """(h, w) of an image (H, W) whose short side becomes `short`, unless its long one would pass `long`.

    As `get_size_with_aspect_ratio` of transformers, but for images so thin that it would leave them no pixel.
    """
    low, high = min(size), max(size)
    exact: float = short
    if high / low * short > long:
        exact = long * low / high
        short = round(exact)
    if low == short:
        return size
    other = int(exact * high / low)
    prepared = (short, other) if size[0] <= size[1] else (other, short)
    return max(prepared[0], 1), max(prepared[1], 1)


@lru_cache(maxsize=64)
def resampling(before: int, after: int) -> NDArray[np.float32]:
    """(after, before): the weights with which `scipy.ndimage` resizes a line of pixels.

    That is `gaussian_filter` with deviation (before / after - 1) / 2, if that is positive, then `zoom` of order 1 on a
    grid of pixels; both mirror the line at the centres of its ends.
    """
    factor = before / after
    centre = (np.arange(after) + 0.5) * factor - 0.5
    left = np.floor(centre).astype(np.int64)
    deviation = max(0.0, (factor - 1) / 2)
    radius = int(TRUNCATE * deviation + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / deviation) ** 2) if radius else np.ones(1)
    kernel /= kernel.sum()
    weights = np.zeros((after, before))
    for step, share in ((0, 1 - (centre - left)), (1, centre - left)):
        pixels = mirrored((left + step)[:, None] + offsets, before)  # (after, taps)
        np.add.at(weights, (np.arange(after)[:, None], pixels), share[:, None] * kernel)
    return weights.astype(np.float32)


def mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices of a line that goes on as its own mirror image: -1 is 1, length is length - 2."""
    if length == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * length - 2)
    return np.minimum(index, 2 * length - 2 - index)


@lru_cache(maxsize=8)
def statistics(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """(3,) each. Kept, because every copy to a GPU would wait for it."""
    with torch.inference_mode(False):
        return torch.tensor(mean, device=device), torch.tensor(std, device=device)


def image_settings(folder: Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkpoint says of its images, over the defaults of its family. Raises WeightsError."""
    found = pretrained.image_settings(folder) or {}
    settings = {**defaults, **{name: value for name, value in found.items() if value is not None}}
    other = [name for name, usual in STEPS.items() if settings.get(name, usual) != usual]
    if other:
        raise WeightsError(f"{folder}: images of which {other[0]} is {settings[other[0]]} are not supported")
    return settings


def sides(settings: Mapping[str, Any]) -> tuple[type[Pixels], int, int]:
    """How images are resized, and to which short and long side, of `image_settings`. Raises WeightsError."""
    size = settings["size"]
    if isinstance(size, dict) and "shortest_edge" in size:
        return Resized, size["shortest_edge"], size.get("longest_edge") or settings.get("max_size") or LONGEST
    height, width = size.values() if isinstance(size, dict) else (size, size) if isinstance(size, int) else size
    if height != width:
        raise WeightsError(f"the checkpoint's images are of {size}: neither a square nor a shortest and a longest edge")
    return Stretched, height, width
