"""The body of `glip-photos`: ShuffleNet V2 (Ma et al. 2018) as NanoDet-Plus trains it, its norms folded into it.

A photo needs a body that has seen many photos. This one and the pyramid above it (ghostpan.py) have NanoDet-Plus'
layers, so that a training may start from its weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.variants import ShuffleSpec

SLOPE = 0.1  # of every LeakyReLU


class ShuffleNet(nn.Module):
    """A stem down to stride 4, then three stages at strides 8, 16 and 32."""

    def __init__(self, spec: ShuffleSpec) -> None:
        super().__init__()
        self.stem = activated(3, spec.stem, kernel=3, stride=2)
        inputs = (spec.stem, *spec.widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(ShuffleDown(before, width), *(ShuffleBlock(width) for _ in range(depth - 1)))
            for before, width, depth in zip(inputs, spec.widths, spec.depths, strict=True)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> [C2, C3, C4, C5], each (B, C, ceil(H / stride), ceil(W / stride))."""
        x = F.max_pool2d(self.stem(pixels), 3, stride=2, padding=1)  # (B, stem, H/4, W/4)
        maps = [x]
        for stage in self.stages:
            x = stage(x)  # half the size
            maps.append(x)
        return maps


class ShuffleDown(nn.Module):
    """The first block of a stage: both branches see all channels and halve the size."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch1 = nn.Sequential(depthwise(before, 3, stride=2), activated(before, half))
        self.branch2 = nn.Sequential(activated(before, half), depthwise(half, 3, stride=2), activated(half, half))

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, width, H/2, W/2)."""
        return shuffle(self.branch1(x), self.branch2(x))


class ShuffleBlock(nn.Module):
    """Half of the channels pass, the other half goes through the branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch2 = nn.Sequential(activated(half, half), depthwise(half, 3), activated(half, half))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        passing, changing = x.chunk(2, dim=1)
        return shuffle(passing, self.branch2(changing))


def shuffle(first: Tensor, second: Tensor) -> Tensor:
    """Two maps (B, C, H, W) -> (B, 2C, H, W), their channels in turn."""
    return torch.stack((first, second), dim=2).flatten(1, 2)


def activated(before: int, width: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution and LeakyReLU."""
    return nn.Sequential(nn.Conv2d(before, width, kernel, stride, padding=kernel // 2), nn.LeakyReLU(SLOPE))


def depthwise(width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution of each channel on its own."""
    return nn.Conv2d(width, width, kernel, stride, padding=kernel // 2, groups=width)
