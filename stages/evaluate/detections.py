"""What a model has found in one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """One image's boxes (N, 4) half-open pixels, scores (N,) and category indices (N,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    category: NDArray[np.int64]
