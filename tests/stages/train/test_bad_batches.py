"""Batches without a loss: how many a training bears."""

from __future__ import annotations

import pytest

from stages.train.bad_batches import NAMED, BadBatches, NonFiniteLoss


def test_two_in_a_row_are_borne_and_a_third_is_not() -> None:
    bad = BadBatches(0.01)
    for step in (3, 4, 6, 7):
        if step == 6:
            bad.good()
        bad.add(step, "the loss is nan; samples of the batch: a")
    again = BadBatches(0.01)
    again.load_state_dict(bad.state_dict())  # a row goes on over a resume
    with pytest.raises(
        NonFiniteLoss, match=r"^step 6: .*; step 7: .*; step 8: the loss is inf; samples of the batch: b$"
    ):
        again.add(8, "the loss is inf; samples of the batch: b")


def test_their_share_is_bounded() -> None:
    bad = BadBatches(0.01)
    for step in range(0, 20, 2):
        bad.add(step, "the loss is nan")
        bad.good()
    with pytest.raises(NonFiniteLoss, match=r"^11 batches in 901 steps .*train\.max_skipped \(0\.01\).* step 900: the"):
        bad.add(900, "the loss is nan")
    bad.good()
    bad.add(1199, "the loss is nan")  # 12 in 1,200


def test_the_first_of_many_are_named() -> None:
    bad = BadBatches(1.0)
    for step in range(NAMED + 5):
        bad.add(step, "the loss is nan")
        bad.good()
    assert len(bad.named) == NAMED and bad.count == NAMED + 5 and list(bad.unused().values()) == [NAMED + 5]
    assert BadBatches(0.0).unused() == {}
