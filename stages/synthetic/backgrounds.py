"""Backgrounds: a small bank of grey patterns, made once per process, coloured and cut anew for each scene."""

from functools import lru_cache

import numpy as np
from PIL import Image

from stages.synthetic.randomness import Stream

SIDE = 384  # patterns are squares of this side; the longest image is 320
_BANK_SEED = 20_231


@lru_cache(maxsize=1)
def bank() -> tuple[tuple[str, Image.Image], ...]:
    """All patterns as (kind, image of mode L)."""
    generator = np.random.Generator(np.random.PCG64(_BANK_SEED))
    patterns = [("gradient", _gradient(dx, dy)) for dx, dy in ((1, 0), (0, 1), (1, 1), (2, -1))]
    patterns += [("gradient", _radial())]
    patterns += [("noise", _noise(generator, cells)) for cells in (4, 7, 12, 24, 48, 96)]
    patterns += [("stripes", _stripes(dx, dy)) for dx, dy in ((24, 0), (0, 40), (16, 16), (30, -18))]
    patterns += [("checks", _checks(side)) for side in (24, 48)]
    patterns += [("shapes", _shapes(generator)) for _ in range(6)]
    patterns += [("horizon", _horizon(generator, share)) for share in (0.35, 0.45, 0.55, 0.65)]
    return tuple(patterns)


def draw_background(stream: Stream, width: int, height: int) -> Image.Image:
    """An RGB image of this size with nothing nameable in it."""
    if stream.chance(0.14):
        return Image.new("RGB", (width, height), _colour(stream))
    kind, pattern = stream.pick(bank())
    if kind == "horizon":
        # The whole pattern, squeezed, so that the horizon keeps its share of the height.
        grey = pattern.resize((width, height), Image.Resampling.NEAREST)
    else:
        x, y = stream.integer(0, SIDE - width), stream.integer(0, SIDE - height)
        grey = pattern.crop((x, y, x + width, y + height))
    return _paint(grey, _palette(kind, stream))


def _paint(grey: Image.Image, stops: list[tuple[int, int, int]]) -> Image.Image:
    """Colours a grey image by a palette that runs through the stops, evenly spaced."""
    places = np.linspace(0, 255, len(stops))
    ramps = [np.interp(np.arange(256), places, [stop[band] for stop in stops]) for band in range(3)]
    palette = np.stack(ramps, axis=1).round().astype(np.uint8)  # (256, 3)
    image = grey.copy()
    image.putpalette(palette.tobytes())
    return image.convert("RGB")


def _palette(kind: str, stream: Stream) -> list[tuple[int, int, int]]:
    if kind == "horizon":
        sky, ground = stream.pick(_SKIES), stream.pick(_GROUNDS)
        return [sky[0], _mix(sky[0], sky[1], 0.98), sky[1], ground[0], ground[1], ground[1]]
    first = _colour(stream)
    near = stream.chance(0.6)
    second = _mix(first, _colour(stream), stream.uniform(0.15, 0.4) if near else stream.uniform(0.6, 1.0))
    return [first, second]


_SKIES = (
    ((92, 156, 224), (196, 226, 248)),
    ((250, 196, 140), (246, 226, 200)),
    ((60, 70, 120), (150, 130, 170)),
    ((176, 186, 196), (226, 230, 232)),
)
_GROUNDS = (
    ((120, 170, 84), (70, 120, 52)),
    ((222, 202, 152), (190, 164, 112)),
    ((70, 130, 170), (40, 92, 140)),
    ((150, 150, 152), (104, 104, 108)),
    ((236, 240, 246), (206, 214, 226)),
    ((150, 112, 80), (104, 76, 54)),
)


def _colour(stream: Stream) -> tuple[int, int, int]:
    """Half of all background colours are pale, as in product images; a fifth are dark."""
    kind = stream.uniform()
    low, high = (170, 256) if kind < 0.5 else (20, 90) if kind > 0.8 else (60, 220)
    red, green, blue = (int(stream.uniform(low, high)) for _ in range(3))
    return red, green, blue


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (int(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _grey(values: np.ndarray) -> Image.Image:
    """Stretches any (SIDE, SIDE) array to 0..255."""
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) * (255.0 / (high - low))).astype(np.uint8), "L")


def _axes() -> tuple[np.ndarray, np.ndarray]:
    line = np.arange(SIDE, dtype=np.float64)
    return line[None, :], line[:, None]


def _gradient(dx: int, dy: int) -> Image.Image:
    x, y = _axes()
    return _grey(x * dx + y * dy)


def _radial() -> Image.Image:
    x, y = _axes()
    return _grey(-((x - SIDE / 2) ** 2) - (y - SIDE / 2) ** 2)


def _noise(generator: np.random.Generator, cells: int) -> Image.Image:
    """Smooth noise: a coarse random grid, enlarged."""
    coarse = Image.fromarray(generator.integers(0, 256, (cells, cells), dtype=np.uint8), "L")
    return coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _stripes(dx: int, dy: int) -> Image.Image:
    """Bands across the direction (dx, dy), one period per its length."""
    x, y = _axes()
    phase = (x * dx + y * dy) / (dx * dx + dy * dy) % 1.0
    return _grey(np.clip(np.abs(phase - 0.5) * 12 - 2.5, 0, 1))


def _checks(side: int) -> Image.Image:
    x, y = _axes()
    return _grey((x // side + y // side) % 2)


def _shapes(generator: np.random.Generator) -> Image.Image:
    """Blurred discs and boxes, like things out of focus."""
    x, y = _axes()
    values = np.zeros((SIDE, SIDE))
    for _ in range(14):
        cx, cy, size, level = *generator.uniform(0, SIDE, 2), generator.uniform(20, 80), generator.uniform(0.2, 1)
        away = np.abs(x - cx) + 0 * y, np.abs(y - cy) + 0 * x
        distance = np.maximum(*away) if generator.random() < 0.4 else np.sqrt(away[0] ** 2 + away[1] ** 2)
        cover = np.clip((size - distance) / 14 + 0.5, 0, 1)
        values = values * (1 - cover) + level * cover
    return _grey(values)


def _horizon(generator: np.random.Generator, share: float) -> Image.Image:
    """Sky in the lower half of the grey scale, ground in the upper half, each a gradient with some noise."""
    _, y = _axes()
    line = SIDE * share
    rough = np.asarray(_noise(generator, 32), dtype=np.float64) / 255.0 - 0.5
    sky = y / line * 96
    ground = 160 + (y - line) / (SIDE - line) * 80 + rough * 24
    values = np.where(y + rough * 8 < line, np.clip(sky, 0, 100), np.clip(ground, 153, 255))
    return Image.fromarray(values.astype(np.uint8), "L")
