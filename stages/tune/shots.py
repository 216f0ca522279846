"""Which images of a set are its few shots, as GLIP draws them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Hashable, Sequence

ALL = "all"
COPIES = {1: 8, 3: 4, 5: 2, 10: 1}  # by the number of shots (GLIP's custom_shot_and_epoch_and_general_copy)


def draw_shots(classes: Sequence[Collection[Hashable]], shots: int, seed: int) -> list[int]:
    """Indices of the images drawn, in the order of the draw. classes: of each image, those that it shows.

    Images are walked in a seeded order. One is taken if any of its classes still wants shots, and counts for all of
    its classes. So a class has at least `shots` images, where there are so many, and perhaps more. The order is that
    of Python's own generator, as in GLIP's `coco.py`, which walks images by rising id: so the draws are the same.
    """
    order = list(range(len(classes)))
    random.Random(seed).shuffle(order)
    left = Counter({name: shots for own in classes for name in own})
    drawn = []
    for index in order:
        own = set(classes[index])
        if any(left[name] > 0 for name in own):
            drawn.append(index)
            left.subtract(own)
    return drawn


def copies(shots: int | str) -> int:
    """How often each image comes in an epoch: the fewer, the more often."""
    if isinstance(shots, str):
        return 1
    return COPIES[max((known for known in COPIES if known <= shots), default=1)]
