"""Images to find copies of, and what is done to copies on the web."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

Alteration = Callable[[Image.Image], Image.Image]


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


def scaled(factor: float) -> Alteration:
    return lambda image: image.resize(
        (round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC
    )


def compressed(quality: int) -> Alteration:
    return lambda image: Image.open(io.BytesIO(jpeg(image, quality))).convert("RGB")


def cropped(left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Alteration:
    """Shares of the sides that are cut off."""

    def alter(image: Image.Image) -> Image.Image:
        width, height = image.size
        edges = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        return image.crop(tuple(round(edge) for edge in edges))  # type: ignore[arg-type]

    return alter


def captioned(share: float, top: bool = False, over: bool = False, colour: str = "white") -> Alteration:
    """A bar with text below or above the image, or over its lower end."""

    def alter(image: Image.Image) -> Image.Image:
        bar = round(image.height * share)
        found = Image.new("RGB", (image.width, image.height + (0 if over else bar)), colour)
        found.paste(image, (0, bar if top else 0))
        begin = 0 if top else found.height - bar
        pen = ImageDraw.Draw(found)
        pen.rectangle((0, begin, found.width, begin + bar), fill=colour)
        pen.text((4, begin + 2), "when you see it, tell your friends", fill="black" if colour == "white" else "white")
        return found

    return alter


ALTERATIONS: dict[str, Alteration] = {
    "half the size": scaled(0.5),
    "twice the size": scaled(2),
    "JPEG 30": compressed(30),
    "cropped left": cropped(left=0.05),
    "cropped top": cropped(top=0.05),
    "cropped on all sides": cropped(0.05, 0.05, 0.05, 0.05),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "caption bar": captioned(0.1),
}
MORE: dict[str, Alteration] = {
    "cropped right": cropped(right=0.05),
    "cropped bottom": cropped(bottom=0.05),
    "half a bar": captioned(0.05),
    "black bar above": captioned(0.1, top=True, colour="black"),
    "bar over the image": captioned(0.1, over=True),
}


def mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_pair(folder: Path, name: str, image: Image.Image | bytes, caption: str = "a photo of a red ball") -> None:
    """As the format `folder` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jpg").write_bytes(image if isinstance(image, bytes) else jpeg(image))
    (folder / f"{name}.txt").write_text(caption)
