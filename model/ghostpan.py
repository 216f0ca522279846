"""The pyramid of `glip-photos`: NanoDet-Plus' path aggregation with ghost blocks, and the convolutions of its head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.shufflenet import SLOPE, activated, depthwise

LARGE = 5  # kernel of the depthwise convolutions between levels


class GhostPan(nn.Module):
    """Down from C5 to C3 and up again (PANet, Liu et al. 2018), P6 from C5 and P5, three convolutions a level; then P7.

    The last convolution of a level is linear. In the detector it predicts classes and boxes, each level's in its own
    way; here it brings the levels into one space, as a head that they share wants it.
    """

    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(activated(width, channels) for width in widths)
        self.top_down = nn.ModuleList(GhostBlock(2 * channels, channels) for _ in widths[1:])  # to C4, to C3
        self.down = nn.ModuleList(separable(channels, stride=2) for _ in widths[1:])  # P3 to P4, P4 to P5
        self.bottom_up = nn.ModuleList(GhostBlock(2 * channels, channels) for _ in widths[1:])
        self.extra_in, self.extra_out = separable(channels, stride=2), separable(channels, stride=2)
        self.levels = nn.ModuleList(
            nn.Sequential(separable(channels), separable(channels), nn.Conv2d(channels, channels, 1)) for _ in range(4)
        )
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """[C3, C4, C5] -> [P3, P4, P5, P6, P7], each (B, channels, h, w)."""
        c3, c4, c5 = (reduce(x) for reduce, x in zip(self.reduce, maps, strict=True))
        m4 = self.top_down[0](torch.cat((enlarged(c5, c4), c4), dim=1))
        p3 = self.top_down[1](torch.cat((enlarged(m4, c3), c3), dim=1))  # (B, channels, H/8, W/8)
        p4 = self.bottom_up[0](torch.cat((self.down[0](p3), m4), dim=1))
        p5 = self.bottom_up[1](torch.cat((self.down[1](p4), c5), dim=1))
        p6 = self.extra_in(c5) + self.extra_out(p5)  # (B, channels, H/64, W/64)
        levels = [level(x) for level, x in zip(self.levels, (p3, p4, p5, p6), strict=True)]
        return [*levels, self.p7(levels[-1])]


class GhostBlock(nn.Module):
    """Two ghost modules (GhostNet, Han et al. 2020) around a shortcut."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.ghost1 = Ghost(before, width, SLOPE)
        self.ghost2 = Ghost(width, width, 1.0)
        self.shortcut = nn.Sequential(depthwise(before, LARGE), nn.Conv2d(before, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, width, H, W)."""
        changed: Tensor = self.ghost2(self.ghost1(x))
        passed: Tensor = self.shortcut(x)
        return changed + passed


class Ghost(nn.Module):
    """Half of the channels by a convolution, the other half cheaply from these."""

    def __init__(self, before: int, width: int, slope: float) -> None:
        super().__init__()
        self.primary = nn.Conv2d(before, width // 2, 1)
        self.cheap = depthwise(width // 2, 3)
        self.slope = slope  # of the activation after each; 1: none

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, width, H, W)."""
        first = self._activate(self.primary(x))
        return torch.cat((first, self._activate(self.cheap(first))), dim=1)

    def _activate(self, x: Tensor) -> Tensor:
        return x if self.slope == 1 else F.leaky_relu(x, self.slope)


def separable(channels: int, stride: int = 1) -> nn.Sequential:
    """A depthwise convolution, a pointwise one, LeakyReLU after each."""
    return nn.Sequential(depthwise(channels, LARGE, stride), nn.LeakyReLU(SLOPE), activated(channels, channels))


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """The map (B, C, h, w) at the size of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
