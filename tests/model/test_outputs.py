"""An image without boxes has arrays of the right kinds, and says why."""

from __future__ import annotations

import torch

from model.outputs import Grounding


def test_nothing_found_is_empty_arrays_with_the_reasons() -> None:
    none = Grounding.empty(dropped=((2, "no_tokens"),), failed="out_of_memory")
    assert (none.boxes.shape, none.scores.shape, none.phrase.shape) == ((0, 4), (0,), (0,))
    assert (none.boxes.dtype, none.scores.dtype, none.phrase.dtype) == (torch.float32, torch.float32, torch.int64)
    assert none.dropped == [(2, "no_tokens")] and none.failed == "out_of_memory"


def test_reasons_are_not_shared_between_images() -> None:
    one, other = Grounding.empty(), Grounding.empty()
    one.dropped.append((0, "no_tokens"))
    assert other.dropped == [] and other.failed is None
