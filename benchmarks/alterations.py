"""What is done to copies of images on the web: the alterations that `phrasebox curate` must see through."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance

Alteration = Callable[[Image.Image], Image.Image]


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


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
