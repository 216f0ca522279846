"""The pyramid of glip-photos, written out once more with torch's functions."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from model.ghostpan import GhostBlock


def test_a_ghost_block_is_its_convolutions() -> None:
    torch.manual_seed(0)
    block = GhostBlock(256, 128).eval()
    x = torch.randn(1, 256, 5, 7)

    def conv(layer: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2, groups=layer.groups)

    with torch.no_grad():
        half = F.leaky_relu(conv(block.ghost1.primary, x), 0.1)
        inner = torch.cat((half, F.leaky_relu(conv(block.ghost1.cheap, half), 0.1)), dim=1)
        half = conv(block.ghost2.primary, inner)
        expected = torch.cat((half, conv(block.ghost2.cheap, half)), dim=1)
        expected += conv(block.shortcut[1], conv(block.shortcut[0], x))
        torch.testing.assert_close(block(x), expected)
