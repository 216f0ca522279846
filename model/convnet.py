"""The small residual backbone of `glip-nano`: learns from few images and runs fast on a CPU core."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from model.variants import ConvSpec

GROUP = 8  # channels per GroupNorm group


class ConvNet(nn.Module):
    """A stem down to stride 4, then four stages of residual blocks at strides 4, 8, 16 and 32 (He et al. 2016)."""

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__()
        first = spec.widths[0]
        self.stem = nn.Sequential(conv_norm(3, first // 2, stride=2), nn.ReLU(), conv_norm(first // 2, first, stride=2))
        inputs = (first, *spec.widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(ResidualBlock(before if block == 0 else width, width, stride=2 if stage and block == 0 else 1)
                  for block in range(depth))
            )
            for stage, (before, width, depth) in enumerate(zip(inputs, spec.widths, spec.depths))
        )  # fmt: skip

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> [C2, C3, C4, C5], each (B, C, ceil(H / stride), ceil(W / stride))."""
        x = F.relu(self.stem(pixels))  # (B, C, H/4, W/4)
        maps = []
        for stage in self.stages:
            x = stage(x)  # half the size, but for the first stage
            maps.append(x)
        return maps


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv_norm(before, width, stride)
        self.conv2 = conv_norm(width, width)
        same = before == width and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(before, width, stride, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


def conv_norm(before: int, width: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution and GroupNorm."""
    conv = nn.Conv2d(before, width, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(width // GROUP, width))
