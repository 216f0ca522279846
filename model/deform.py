"""Modulated deformable convolution (DCNv2, Zhu et al. 2019) in plain torch; deform_kernel.py has it as one kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 3
TAPS = KERNEL * KERNEL
BEFORE, AFTER = 1, 2  # width of the border of zeros, left and above, right and below

Operator = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int], Tensor]


class ModulatedDeformConv(nn.Module):
    """A 3x3 convolution that samples each tap at a learned offset and weights it by a learned mask."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.operator: Operator = deform_conv  # or one that computes the same in another way
        self.weight = nn.Parameter(torch.empty(width, before, KERNEL, KERNEL))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        """x (B, C, H, W), offset (B, 18, h, w), mask (B, 9, h, w) -> (B, width, h, w), channels-last in memory.

        h, w is the size that stride and padding 1 give. Offsets are (dy, dx) per tap, in pixels of x, taps row by row.
        """
        kernel = self.weight.permute(0, 2, 3, 1).flatten(1)  # (width, 9 * C)
        return self.operator(x, offset, mask, kernel, self.bias, self.stride)


def deform_conv(x: Tensor, offset: Tensor, mask: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
    """x, offset, mask as above, kernel (width, 9 * C), taps first, bias (width,) -> (B, width, h, w)."""
    columns = sample(x, offset, mask, stride)  # (B * h * w, 9 * C)
    out = F.linear(columns, kernel, bias)  # (B * h * w, width)
    return out.view(len(x), *mask.shape[-2:], -1).permute(0, 3, 1, 2)


def sample(x: Tensor, offset: Tensor, mask: Tensor, stride: int) -> Tensor:
    """Bilinear samples of x at the nine shifted taps of each output position, zero outside, times the mask.

    A sample is a weighted sum of four rows of the channels-last map: what `embedding_bag` computes in one pass. Around
    the map lies a border of zeros, so that a corner outside needs no weight of its own.
    x (B, C, H, W), offset (B, 18, h, w), mask (B, 9, h, w) -> (B * h * w, 9 * C).
    """
    channels, height, width = x.shape[1:]
    rows = at_least_fp32(x).permute(0, 2, 3, 1)  # (B, H, W, C)
    rows = F.pad(rows, (0, 0, BEFORE, AFTER, BEFORE, AFTER)).reshape(-1, channels)
    index, weight = bilinear_corners(offset, mask, stride, height, width)  # (B, h, w, 9, 4) each
    bags = F.embedding_bag(
        index.view(-1, 4), rows, per_sample_weights=weight.view(-1, 4).to(rows.dtype), mode="sum"
    )  # (B * h * w * 9, C)
    return bags.view(-1, TAPS * channels)


def at_least_fp32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def bilinear_corners(offset: Tensor, mask: Tensor, stride: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four pixels around each sampling point, in a (height, width) map with its border, and their weights.

    offset (B, 18, h, w), mask (B, 9, h, w) -> index (int32) into the rows of all maps and weight, both (B, h, w, 9, 4).
    Points further out than the border are drawn onto it.
    """
    offset, mask = at_least_fp32(offset), at_least_fp32(mask)  # places need the digits
    batch, _, out_height, out_width = mask.shape
    device = offset.device
    mask = mask.permute(0, 2, 3, 1).contiguous()  # (B, h, w, 9)
    y, x = offset.permute(0, 2, 3, 1).contiguous().unflatten(3, (TAPS, 2)).unbind(4)  # (B, h, w, 9) each
    base_y, base_x = tap_places(out_height, out_width, stride, device)
    y = (y + base_y.to(y.dtype)).clamp(-BEFORE, height)
    x = (x + base_x.to(x.dtype)).clamp(-BEFORE, width)

    pitch = width + BEFORE + AFTER
    with torch.no_grad():
        top, left = y.floor(), x.floor()
        first = (top + BEFORE) * pitch + (left + BEFORE)  # whole numbers, exact below 2^24; NaN where an offset is
        images, corners = row_offsets(batch, height + BEFORE + AFTER, pitch, device)
        index = (first.nan_to_num(0).int() + images)[..., None] + corners  # (B, h, w, 9, 4)
    down, right = y - top, x - left
    lower = mask * down
    upper = mask - lower
    lower_right, upper_right = lower * right, upper * right
    return index, torch.stack((upper - upper_right, upper_right, lower - lower_right, lower_right), dim=-1)


# What follows from sizes alone is kept: a GPU would get a dozen more launches for each of the many small convolutions.


@lru_cache(maxsize=1024)
def tap_places(height: int, width: int, stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the taps of each output position lie without offsets, with padding 1: y (h, 1, 9) and x (w, 9)."""
    with torch.inference_mode(False):  # what is kept must serve training too
        tap = torch.arange(TAPS, device=device)
        y = torch.arange(height, device=device).view(-1, 1, 1) * stride - 1 + tap // KERNEL
        x = torch.arange(width, device=device).view(-1, 1) * stride - 1 + tap % KERNEL
        return y.float(), x.float()


@lru_cache(maxsize=1024)
def row_offsets(batch: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """First row of each image (B, 1, 1, 1), and the rows of a point's four corners from the first of them on (4,)."""
    with torch.inference_mode(False):
        image = torch.arange(batch, device=device, dtype=torch.int32).view(-1, 1, 1, 1) * (height * width)
        right, down = torch.arange(2, device=device).int(), torch.arange(2, device=device).int() * width
        return image, (down[:, None] + right).flatten()
