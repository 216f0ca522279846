"""Masks on the page: as large as a thumbnail shows them, in COCO's run lengths, which the page's script draws."""

from __future__ import annotations

import numpy as np

from schemas.rows import Mask
from stages.rle import decode, encode

LONGEST = 160  # pixels of a mask's longest side on the page


def small_size(height: int, width: int) -> tuple[int, int]:
    """(h, w) of the masks of an image on the page."""
    scale = min(LONGEST / max(height, width), 1.0)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def small_counts(mask: Mask) -> str:
    """The run lengths of a mask at `small_size`: a pixel is inside where at least half of what it stands for is."""
    from PIL import Image

    height, width = small_size(mask.height, mask.width)
    whole = Image.fromarray(decode(mask.counts, mask.height, mask.width).astype(np.uint8) * 255)
    small = np.asarray(whole.resize((width, height), Image.Resampling.BOX)) >= 128
    return encode(small).decode("ascii")
