"""Puts the placed objects on a background and encodes the image."""

import io

from PIL import ImageEnhance

from stages.synthetic.backgrounds import draw_background
from stages.synthetic.layout import Placed
from stages.synthetic.randomness import Stream

SHORT_SIDE = 224
LONG_SIDES = (224, 256, 288, 320)


def choose_size(stream: Stream) -> tuple[int, int]:
    """(width, height); three in five are landscape."""
    long_side = stream.pick(LONG_SIDES)
    return (long_side, SHORT_SIDE) if stream.chance(0.6) else (SHORT_SIDE, long_side)


def draw_image(placed: list[Placed], width: int, height: int, stream: Stream) -> bytes:
    """The JPEG bytes of the scene, objects painted in the order given."""
    image = draw_background(stream, width, height)
    for thing in placed:
        sprite = thing.sprite
        image.paste(sprite.image, (thing.x - sprite.left, thing.y - sprite.top), sprite.image)
    if stream.chance(0.3):
        image = ImageEnhance.Brightness(image).enhance(stream.uniform(0.75, 1.2))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=stream.integer(78, 92))
    return buffer.getvalue()
