"""Tensors with a device, a type and a shape but without data, torch's fake ones: for counting what work would cost.

What the model keeps between calls, such as the places of anchors, must not pass from fake tensors to real ones or back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch._subclasses.fake_tensor import FakeTensorMode

from model.anchors import level_anchors
from model.backbone import relative_position_index, shift_mask
from model.deform import row_offsets, tap_places
from model.images import statistics

KEPT = (shift_mask, relative_position_index, tap_places, row_offsets, level_anchors, statistics)


@contextmanager
def fake_tensors(mode: FakeTensorMode) -> Iterator[None]:
    """All tensors that are made inside are fake ones of the mode, and only with each other do they work."""
    forget()
    try:
        with mode:
            yield
    finally:
        forget()


def forget() -> None:
    """Clears what the model keeps between calls."""
    for function in KEPT:
        function.cache_clear()
