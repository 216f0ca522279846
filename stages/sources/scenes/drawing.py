"""Puts the placed objects on a background and encodes the picture."""

import io

from PIL import ImageEnhance

from stages.sources.scenes.backgrounds import draw_background
from stages.sources.scenes.layout import Placed
from stages.sources.scenes.randomness import Stream

SHORT_SIDE = 224
LONG_SIDES = (224, 256, 288, 320)


def choose_size(stream: Stream) -> tuple[int, int]:
    """(width, height); three in five are landscape."""
    long_side = stream.pick(LONG_SIDES)
    return (long_side, SHORT_SIDE) if stream.chance(0.6) else (SHORT_SIDE, long_side)


def draw_picture(placed: list[Placed], width: int, height: int, stream: Stream) -> bytes:
    """The JPEG bytes of the scene, objects painted in the order given."""
    picture = draw_background(stream, width, height)
    for thing in placed:
        sprite = thing.sprite
        picture.paste(sprite.picture, (thing.x - sprite.left, thing.y - sprite.top), sprite.picture)
    if stream.chance(0.3):
        picture = ImageEnhance.Brightness(picture).enhance(stream.uniform(0.75, 1.2))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=stream.integer(78, 92))
    return buffer.getvalue()
