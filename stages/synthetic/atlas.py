"""Sprites from the shipped atlas: cut out, tinted and kept at three scales."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from stages.synthetic.nouns import Noun

ATLAS = Path(__file__).with_name("atlas.png")
CELL_WIDTH, CELL_HEIGHT, COLUMNS = 136, 128, 18

COLOURS = {
    "red": (216, 36, 36),
    "orange": (247, 132, 24),
    "yellow": (250, 214, 40),
    "green": (52, 158, 60),
    "blue": (36, 100, 220),
    "purple": (128, 56, 180),
    "pink": (248, 130, 184),
    "black": (40, 40, 44),
    "white": (240, 240, 240),
}
SCALES = (1.0, 0.5, 0.25)


def cell_of(position: int) -> tuple[int, int]:
    """The top left corner of the cell of the noun at this position in the table."""
    return position % COLUMNS * CELL_WIDTH, position // COLUMNS * CELL_HEIGHT


@lru_cache(maxsize=1)
def _atlas() -> Image.Image:
    with Image.open(ATLAS) as image:
        return image.convert("RGBA")


def cut(noun: Noun) -> Image.Image:
    """The sprite of a noun as drawn, RGBA, without empty borders."""
    x, y = cell_of(noun.rank - 1)
    cell = _atlas().crop((x, y, x + CELL_WIDTH, y + CELL_HEIGHT))
    return cell.crop(cell.getchannel("A").getbbox())


@lru_cache(maxsize=640)
def pyramid(noun: Noun, tint: str) -> tuple[Image.Image, ...]:
    """The sprite at each of SCALES, with premultiplied alpha (mode RGBa); tint "" leaves its own colours.

    Premultiplied, because a rotation mixes neighbours, and the colour of a transparent one must not count.
    """
    sprite = recolour(cut(noun), COLOURS[tint]) if tint and tint != noun.colour else cut(noun)
    sprite = sprite.convert("RGBa")
    return tuple(_resize(sprite, scale) for scale in SCALES)


def _resize(sprite: Image.Image, scale: float) -> Image.Image:
    width, height = (max(1, round(side * scale)) for side in sprite.size)
    return sprite.resize((width, height), Image.Resampling.BOX)


def recolour(sprite: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Repaints the pixels of the sprite's main hue and keeps their shading; other parts (tyres, panes) stay."""
    pixels = np.asarray(sprite, dtype=np.float32) / 255.0  # (H, W, 4)
    rgb, alpha = pixels[..., :3], pixels[..., 3]
    hue, chroma = _hue_and_chroma(rgb)
    main = _main_hue(hue, chroma * alpha)
    distance = np.abs((hue - main + 0.5) % 1.0 - 0.5)  # (H, W), 0..0.5 turns
    strength = max(0.06, min(0.3, 0.6 * _typical(chroma, (distance < 0.06) & (alpha > 0.5))))
    part = np.clip(2.0 - distance / 0.06, 0, 1) * np.clip(chroma / strength - 0.2, 0, 1)  # (H, W)
    light = 0.3 * rgb[..., 0] + 0.59 * rgb[..., 1] + 0.11 * rgb[..., 2]  # no matmul: BLAS may round as it likes
    shade = light / max(0.05, _typical(light, (part > 0.5) & (alpha > 0.5)))
    target = np.array(colour, dtype=np.float32) / 255.0
    dark = target * np.clip(shade, 0, 1)[..., None]
    glow = np.clip((shade - 1.0) * 0.6, 0, 0.7)[..., None]
    painted = dark * (1 - glow) + glow
    mixed = rgb * (1 - part[..., None]) + painted * part[..., None]
    result = np.concatenate([mixed, alpha[..., None]], axis=2)
    return Image.fromarray((result * 255.0 + 0.5).astype(np.uint8), "RGBA")


def _typical(values: np.ndarray, where: np.ndarray) -> float:
    chosen = values[where]
    return float(np.median(chosen)) if chosen.size else 1.0


def _hue_and_chroma(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hue in turns [0, 1) and chroma [0, 1], each (H, W)."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    top = rgb.max(axis=2)
    chroma = top - rgb.min(axis=2)
    safe = np.maximum(chroma, 1e-6)
    sector = np.where(
        top == red, (green - blue) / safe, np.where(top == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    )
    return (sector / 6.0) % 1.0, chroma


def _main_hue(hue: np.ndarray, weight: np.ndarray) -> float:
    """The centre of the 1/36-turn bin that holds the most colour, its two neighbours counted in."""
    bins = np.bincount((hue * 36).astype(np.int64).ravel() % 36, weights=weight.ravel(), minlength=36)
    smooth = bins + 0.5 * (np.roll(bins, 1) + np.roll(bins, -1))
    return (float(np.argmax(smooth)) + 0.5) / 36
