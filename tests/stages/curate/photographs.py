"""Images to find copies of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.alterations import ALTERATIONS, MORE, cropped, jpeg

__all__ = ["ALTERATIONS", "MORE", "cropped", "jpeg", "mirrored", "photograph", "write_pair"]


def photograph(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """Shapes of all sizes over a soft ground, with grain: structure at every scale, as a photograph has."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (4, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(coarse)
    for side in np.geomspace(max(size) / 2, 4, 60):
        x, y = draw.uniform(0, size[0]), draw.uniform(0, size[1])
        w, h = draw.uniform(0.4, 1.0, 2) * side
        colour = tuple(int(value) for value in draw.integers(0, 256, 3))
        shape = pen.ellipse if draw.random() < 0.5 else pen.rectangle
        shape((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=colour)
    grain = draw.normal(0, 4, (size[1], size[0], 3))
    pixels = np.asarray(coarse.filter(ImageFilter.GaussianBlur(0.7))).astype(np.float64) * 0.7 + 30 + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def write_pair(folder: Path, name: str, image: Image.Image | bytes, caption: str = "a photo of a red ball") -> None:
    """As the format `folder` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jpg").write_bytes(image if isinstance(image, bytes) else jpeg(image))
    (folder / f"{name}.txt").write_text(caption)
