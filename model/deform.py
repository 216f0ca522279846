"""Modulated deformable convolution (DCNv2, Zhu et al. 2019) in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 3
TAPS = KERNEL * KERNEL


class ModulatedDeformConv(nn.Module):
    """A 3x3 convolution that samples each tap at a learned offset and weights it by a learned mask."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(width, before, KERNEL, KERNEL))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        """x (B, C, H, W), offset (B, 18, h, w), mask (B, 9, h, w) -> (B, width, h, w), channels-last in memory.

        h, w is the size that stride and padding 1 give. Offsets are (dy, dx) per tap, in pixels of x, taps row by row.
        """
        batch, channels = x.shape[:2]
        height, width = mask.shape[-2:]
        columns = sample(x, offset, mask, self.stride)  # (B * h * w, 9 * C)
        kernel = self.weight.permute(0, 2, 3, 1).reshape(-1, TAPS * channels)  # (width, 9 * C)
        out = F.linear(columns, kernel, self.bias)  # (B * h * w, width)
        return out.view(batch, height, width, -1).permute(0, 3, 1, 2)


def sample(x: Tensor, offset: Tensor, mask: Tensor, stride: int) -> Tensor:
    """Bilinear samples of x at the nine shifted taps of each output position, zero outside, times the mask.

    A sample is a weighted sum of four rows of the channels-last map: what `embedding_bag` computes in one pass.
    x (B, C, H, W), offset (B, 18, h, w), mask (B, 9, h, w) -> (B * h * w, 9 * C).
    """
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)  # (B * H * W, C)
    if torch.is_autocast_enabled(x.device.type):
        rows = rows.to(torch.get_autocast_dtype(x.device.type))
    index, weight = bilinear_corners(offset, mask, stride, height, width)  # (B, h, w, 9, 4) each
    first = torch.arange(batch, device=x.device).view(-1, 1, 1, 1, 1) * (height * width)
    bags = F.embedding_bag(
        (index + first).view(-1, 4), rows, per_sample_weights=weight.view(-1, 4).to(rows.dtype), mode="sum"
    )  # (B * h * w * 9, C)
    return bags.view(-1, TAPS * channels)


def bilinear_corners(offset: Tensor, mask: Tensor, stride: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat index into (height, width) and weight of the four pixels around each sampling point.

    offset (B, 18, h, w), mask (B, 9, h, w) -> index (int64) and weight, both (B, h, w, 9, 4). Corners outside the map
    get weight 0 and an index inside.
    """
    batch, _, out_height, out_width = mask.shape
    offset, mask = (x if x.dtype == torch.float64 else x.float() for x in (offset, mask))  # places need the digits
    offset = offset.reshape(batch, TAPS, 2, out_height, out_width).permute(2, 0, 3, 4, 1)  # (2, B, h, w, 9)
    tap = torch.arange(TAPS, device=offset.device)
    base_y = torch.arange(out_height, device=offset.device).view(-1, 1, 1) * stride - 1  # padding 1
    base_x = torch.arange(out_width, device=offset.device).view(1, -1, 1) * stride - 1
    y = offset[0] + (base_y + tap // KERNEL).to(offset.dtype)  # (B, h, w, 9)
    x = offset[1] + (base_x + tap % KERNEL).to(offset.dtype)
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    ys, xs = torch.stack((top, top + 1), -1), torch.stack((left, left + 1), -1)  # (B, h, w, 9, 2)
    weight_y = torch.stack((1 - down, down), -1) * ((ys >= 0) & (ys < height))
    weight_x = torch.stack((1 - right, right), -1) * ((xs >= 0) & (xs < width))
    weight_y = weight_y * mask.permute(0, 2, 3, 1)[..., None]
    weight = weight_y[..., :, None] * weight_x[..., None, :]  # (B, h, w, 9, 2, 2)
    rows = ys.clamp(0, height - 1).nan_to_num(0).long() * width  # where an offset is NaN, so is its weight
    index = rows[..., :, None] + xs.clamp(0, width - 1).nan_to_num(0).long()[..., None, :]
    return index.flatten(-2), weight.flatten(-2)
