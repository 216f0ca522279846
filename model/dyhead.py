"""The dynamic head's block (Dai et al. 2021): scale-, spatial- and task-aware attention over the feature pyramid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.deform import TAPS, ModulatedDeformConv

GROUPS = 16  # of every GroupNorm in the head


class DyConv(nn.Module):
    """Each level gathers from the level above, itself and the level below by deformable convolutions.

    Of the paper's three attentions the sampling is the spatial one (its eq. 4), the weights with which the levels are
    mixed are the one for scale (eq. 3), and DyReLU is the one for the task (eq. 5).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # 0: from the level above (smaller map), 1: from the level itself, 2: from the level below (larger map)
        self.DyConv = nn.ModuleList(DeformConvNorm(channels, stride) for stride in (1, 1, 2))
        self.AttnConv = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 1, 1), nn.ReLU())
        self.relu = DyReLU(channels)
        self.offset = nn.Conv2d(channels, 3 * TAPS, 3, padding=1)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """[P3 .. P7], each (B, C, h, w) -> the same shapes. Every level reads its neighbours' old maps."""
        above, same, below = self.DyConv
        outputs = []
        for level, x in enumerate(maps):
            steering = self.offset(x)  # (B, 27, h, w)
            offset, mask = steering[:, : 2 * TAPS], steering[:, 2 * TAPS :].sigmoid()
            branches = [same(x, offset, mask)]
            if level > 0:
                branches.append(below(maps[level - 1], offset, mask))
            if level + 1 < len(maps):
                size = maps[level + 1].shape[-2:]
                small = above(maps[level + 1], read_flat(offset, size), read_flat(mask, size))  # (B, C, h/2, w/2)
                branches.append(F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=True))
            mixed = sum(branch * hard_sigmoid(self.AttnConv(branch)) for branch in branches) / len(branches)
            outputs.append(self.relu(mixed))  # (B, C, h, w)
        return outputs


def read_flat(x: Tensor, size: torch.Size) -> Tensor:
    """(B, K, H, W) -> (B, K, h, w): the first K*h*w values of each image's block, as if it had the smaller size.

    The official CUDA operator steers the smaller map of the level above with the offsets of a larger one and never
    checks sizes. Released weights were trained with it, so the reading is part of the model.
    """
    height, width = size
    return x.flatten(1)[:, : x.shape[1] * height * width].reshape(x.shape[0], x.shape[1], height, width)


class DeformConvNorm(nn.Module):
    """Deformable convolution and GroupNorm."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = ModulatedDeformConv(channels, channels, stride)
        self.bn = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        """(B, C, H, W), (B, 18, h, w), (B, 9, h, w) -> (B, C, h, w)."""
        x = self.bn(self.conv(x, offset, mask))
        return x


class DyReLU(nn.Module):
    """Task-aware attention (Chen et al. 2020): max(a1 x + b1, a2 x + b2), coefficients from the pooled map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, channels // 4), nn.ReLU(), nn.Linear(channels // 4, 4 * channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        coefficients = hard_sigmoid(self.fc(x.mean(dim=(2, 3)))) - 0.5  # (B, 4C)
        slope1, shift1, slope2, shift2 = coefficients[:, :, None, None].chunk(4, dim=1)  # (B, C, 1, 1) each
        return torch.maximum(x * (2 * slope1 + 1) + shift1, x * (2 * slope2) + shift2)


def hard_sigmoid(x: Tensor) -> Tensor:
    """relu6(x + 3) / 6."""
    return F.relu6(x + 3) / 6
