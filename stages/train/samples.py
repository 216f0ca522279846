"""One training sample: an image, its text, and the boxes of its phrases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners
from stages.frames import Frame

WRONG = 0.0  # score of a box that is known not to show its phrase

Spans = tuple[tuple[int, int], ...]  # the character spans of one phrase


@dataclass(frozen=True)
class TrainingSample:
    """An image with its text, as a set gives it; boxes and their arrays run in parallel and are filtered together."""

    key: str
    image: bytes  # as stored: JPEG, PNG or WebP
    caption: str
    spans: tuple[Spans, ...]  # per phrase
    boxes: NDArray[np.float32]  # (N, 4) half-open pixels, in `frame`
    phrase: NDArray[np.int64]  # (N,) index into spans
    scores: NDArray[np.float32]  # (N,) the teacher's; 1 for gold
    pseudo: bool
    objects: tuple[tuple[str, Corners], ...] = ()  # every object of the image, if known
    listed: bool = False  # the text is a list of names: one without a box is a negative, nothing that was not found
    partial: bool = False  # a phrase is known inside of its boxes alone, those that are WRONG among them
    frame: Frame | None = None  # width, height that boxes and objects are given in; None: the upright image's own

    def keep(self, mask: NDArray[np.bool_]) -> TrainingSample:
        """The sample with only the boxes where `mask` (N,) is true."""
        return replace(self, boxes=self.boxes[mask], phrase=self.phrase[mask], scores=self.scores[mask])


@dataclass(frozen=True)
class Example:
    """A decoded and augmented sample, as `Glip.losses` takes it."""

    key: str
    image: NDArray[np.uint8]  # (H, W, 3) RGB
    caption: str
    spans: tuple[Spans, ...]
    boxes: NDArray[np.float32]  # (N, 4)
    phrase: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float32]  # (N,)
    pseudo: bool
    listed: bool = False
    partial: bool = False
