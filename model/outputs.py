"""What the network predicts and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class HeadOutput(NamedTuple):
    """Predictions of one pyramid level with maps of H x W positions, for L tokens."""

    token_logits: Tensor  # (B, H * W, L), before the sigmoid; positions row by row
    box_regression: Tensor  # (B, 4, H, W), relative to the anchors
    centerness: Tensor  # (B, 1, H, W), before the sigmoid


@dataclass
class Grounding:
    """Boxes of one image.

    boxes (N, 4) float32, scores (N,) float32 falling, phrase (N,) int64: index into the image's phrases. Boxes are
    half-open, in pixels of the given image; only those of `postprocess` are legacy boxes in the resized image.
    dropped: phrases that could not be looked for, with the reason. failed: why the whole image has no result.
    """

    boxes: Tensor
    scores: Tensor
    phrase: Tensor
    dropped: list[tuple[int, str]] = field(default_factory=list)
    failed: str | None = None

    @classmethod
    def empty(cls, dropped: Sequence[tuple[int, str]] = (), failed: str | None = None) -> Grounding:
        """No boxes, for the reasons given."""
        none = torch.zeros(0)
        return cls(none.view(0, 4), none, none.long(), list(dropped), failed)
