"""The small backbone: its strides, and its residual block by torch's own functions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from model.convnet import GROUP, ConvNet, ResidualBlock
from model.variants import ConvSpec

SPEC = ConvSpec(widths=(16, 24, 32, 40), depths=(1, 2, 1, 1))


@pytest.mark.parametrize("size", [(64, 96), (70, 33)])
def test_maps_have_strides_4_to_32_rounded_up(size: tuple[int, int]) -> None:
    maps = ConvNet(SPEC)(torch.randn(2, 3, *size))
    assert [tuple(x.shape) for x in maps] == [
        (2, width, -(-size[0] // stride), -(-size[1] // stride))
        for width, stride in zip(SPEC.widths, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(("before", "stride"), [(16, 1), (16, 2), (8, 1)])
def test_a_block_is_two_convolutions_around_a_shortcut(before: int, stride: int) -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(before, 16, stride), torch.randn(2, before, 9, 12)

    def conv_norm(own: torch.nn.Module, x: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
        conv, norm = own
        y = F.conv2d(x, conv.weight, stride=stride, padding=padding)
        return F.group_norm(y, 16 // GROUP, norm.weight, norm.bias)

    y = conv_norm(block.conv2, F.relu(conv_norm(block.conv1, x, stride, 1)), 1, 1)
    plain = before == 16 and stride == 1
    expected = F.relu(y + (x if plain else conv_norm(block.shortcut, x, stride, 0)))
    torch.testing.assert_close(block(x), expected)
