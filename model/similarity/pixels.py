"""Images and crops as the image processor of a checkpoint gives them to its network.

The code is our own, because some processors of transformers need torchvision; where those run, the result is the same.
An image stays bytes until it is on the device: a table says what number stands for each value of a channel there.

`whole` does to an image what the processor does. A `crop` is stretched to what the network reads, as GLIGEN's are: the
centre crop of CLIP's processor would cut the ends off a box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from model.device import send
from model.hub import HubError
from model.pretrained import SETTINGS, image_settings

Pixels = NDArray[np.uint8]
LONGEST = 64  # times the short side; of a longer image, the middle is taken before it is resized
BYTES = 256
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Preparation(Protocol):
    """From decoded images to the inputs of one network."""

    def whole(self, image: Pixels) -> Any:
        """An image (H, W, 3) as the processor prepares it."""
        ...

    def crop(self, image: Pixels) -> Any:
        """A region (H, W, 3) of an image, all of it."""
        ...

    def batch(self, prepared: Sequence[Any], device: torch.device) -> dict[str, Tensor]:
        """What was prepared, as the keyword arguments of `get_image_features`."""
        ...


class Stretched:
    """For networks that read images of one size: CLIP, SigLIP, MetaCLIP 2, and SigLIP 2 of a fixed resolution."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raises HubError for settings that the family's processors do not have."""
        self.shortest: int | None = None  # resize to this short side, then take the middle; None: stretch
        size = settings.get("size", {"shortest_edge": 224})
        if settings.get("do_center_crop", False):
            self.shortest = _number(size, "shortest_edge")
            size = settings.get("crop_size", 224)
        self.size = (_number(size, "height"), _number(size, "width"))  # (h, w)
        if self.shortest is not None and self.shortest < max(self.size):
            raise HubError(f"{SETTINGS}: a crop of {self.size} from a short side of {self.shortest} has no pixels")
        self.resample = Image.Resampling(settings.get("resample", Image.Resampling.BICUBIC))
        self.table = values_of_bytes(settings)

    def whole(self, image: Pixels) -> Pixels:
        if self.shortest is None:
            return self.crop(image)
        image = not_too_long(image)
        height, width = image.shape[:2]
        short, long = min(height, width), max(height, width)
        longer = int(self.shortest * long / short)  # truncated, as published
        size = (self.shortest, longer) if height <= width else (longer, self.shortest)
        top, left = (size[0] - self.size[0]) // 2, (size[1] - self.size[1]) // 2
        return resized(image, size, self.resample)[top : top + self.size[0], left : left + self.size[1]]

    def crop(self, image: Pixels) -> Pixels:
        return resized(image, self.size, self.resample)

    def batch(self, prepared: Sequence[Pixels], device: torch.device) -> dict[str, Tensor]:
        """pixel_values (B, 3, h, w)."""
        values = look_up(self.table, send(torch.from_numpy(np.stack(prepared)), device))  # (B, h, w, 3)
        return {"pixel_values": values.permute(0, 3, 1, 2).contiguous()}


class Patches(NamedTuple):
    """An image cut into patches, row by row."""

    values: Pixels  # (N, p * p, 3)
    shape: tuple[int, int]  # patches (down, across)


class Patched:
    """For SigLIP 2 NaFlex, which keeps the aspect of an image: as many patches as there may be, and a mask."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.side = int(settings.get("patch_size", 16))
        self.most = int(settings.get("max_num_patches", 256))
        self.resample = Image.Resampling(settings.get("resample", Image.Resampling.BILINEAR))
        self.table = values_of_bytes(settings)

    def whole(self, image: Pixels) -> Patches:
        image = not_too_long(image, self.most)
        down, across = patches_of(image.shape[0], image.shape[1], self.side, self.most)
        sized = resized(image, (down * self.side, across * self.side), self.resample)
        cut = sized.reshape(down, self.side, across, self.side, 3).swapaxes(1, 2)  # (down, across, p, p, 3)
        return Patches(cut.reshape(down * across, self.side**2, 3), (down, across))

    crop = whole

    def batch(self, prepared: Sequence[Patches], device: torch.device) -> dict[str, Tensor]:
        """pixel_values (B, M, p * p * 3), 0 beyond an image's own patches; pixel_attention_mask (B, M); spatial_shapes
        (B, 2)."""
        stacked = np.zeros((len(prepared), self.most, self.side**2, 3), np.uint8)
        for row, patches in zip(stacked, prepared, strict=True):
            row[: len(patches.values)] = patches.values
        shapes = torch.tensor([patches.shape for patches in prepared])  # (B, 2)
        mask = (torch.arange(self.most) < shapes.prod(1, keepdim=True)).int()  # (B, M)
        values = look_up(self.table, send(torch.from_numpy(stacked), device)).flatten(2)  # (B, M, p * p * 3)
        mask, shapes = send(mask, device), send(shapes, device)
        return {
            "pixel_values": values * mask.unsqueeze(-1),
            "pixel_attention_mask": mask,
            "spatial_shapes": shapes,
        }


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a checkpoint's image processor. Raises HubError."""
    settings = image_settings(folder)
    if settings is None:
        raise HubError(f"{folder}: no {SETTINGS} in it, so that nobody knows how its images are prepared")
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if not settings.get(step, True):
            raise HubError(f"{folder}: {SETTINGS} turns {step} off, which is not supported")
    return settings


def values_of_bytes(settings: Mapping[str, Any]) -> Tensor:
    """(256, 3): what the network reads for each value of a channel, (byte * factor - mean) / deviation."""
    mean, deviation = settings.get("image_mean", CLIP_MEAN), settings.get("image_std", CLIP_STD)
    scaled = (np.arange(BYTES)[:, None] * np.float64(settings.get("rescale_factor", 1 / 255))).astype(np.float32)
    return torch.from_numpy((scaled - np.float32(mean)) / np.float32(deviation))


def look_up(table: Tensor, pixels: Tensor) -> Tensor:
    """uint8 (..., 3) -> float32 (..., 3)."""
    table = send(table, pixels.device)
    return torch.stack([table[:, channel][pixels[..., channel].int()] for channel in range(3)], dim=-1)


def resized(image: Pixels, size: tuple[int, int], resample: Image.Resampling) -> Pixels:
    """(H, W, 3) -> (h, w, 3), with antialiasing."""
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), resample))


def not_too_long(image: Pixels, limit: int = LONGEST) -> Pixels:
    """The middle of an image that is more than `limit` times as long as wide, so that memory stays bounded."""
    height, width = image.shape[:2]
    most = limit * min(height, width)
    top, left = max(height - most, 0) // 2, max(width - most, 0) // 2
    return image[top : top + most, left : left + most]


def patches_of(height: int, width: int, side: int, most: int) -> tuple[int, int]:
    """Patches down and across: the largest image of nearly this aspect that has at most so many.

    The scale is found by halving, as in SigLIP 2, down to the same precision, so that the result is the same.
    """

    def at(scale: float) -> tuple[int, int]:
        return max(math.ceil(height * scale / side), 1), max(math.ceil(width * scale / side), 1)

    low, high, precision = 1e-6, 100.0, 1e-5
    while high - low >= precision:
        middle = (low + high) / 2
        down, across = at(middle)
        low, high = (middle, high) if down * across <= most else (low, middle)
    return at(low)


def _number(size: Any, name: str) -> int:
    """A size is one number, or several by name."""
    value = size.get(name) if isinstance(size, Mapping) else size
    if not isinstance(value, int) or value < 1:
        raise HubError(f"{SETTINGS}: the size {size!r} has no {name}")
    return value
