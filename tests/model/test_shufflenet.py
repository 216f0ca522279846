"""The body of glip-photos: channels are shuffled, half of them pass a block."""

from __future__ import annotations

import torch

from model.shufflenet import ShuffleBlock, shuffle


def test_channels_of_two_branches_alternate() -> None:
    first, second = torch.arange(3.0).view(1, 3, 1, 1), torch.arange(10.0, 13.0).view(1, 3, 1, 1)
    assert shuffle(first, second).flatten().tolist() == [0, 10, 1, 11, 2, 12]


def test_half_of_the_channels_pass_a_block() -> None:
    torch.manual_seed(0)
    block = ShuffleBlock(176).eval()
    x = torch.randn(1, 176, 6, 6)
    with torch.no_grad():
        y = block(x)
    assert torch.equal(y[:, ::2], x[:, :88])
    assert not torch.equal(y[:, 1::2], x[:, 88:])
