"""The visual backbone: Swin transformer (Liu et al. 2021) and feature pyramid (Lin et al. 2017).

Attribute names follow the keys of official GLIP checkpoints.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from model.convnet import ConvNet
from model.ghostpan import GhostPan
from model.shufflenet import ShuffleNet
from model.variants import Regularisation, ShuffleSpec, SwinSpec, Variant


class Backbone(nn.Module):
    """Image to five feature maps P3..P7 at strides 8, 16, 32, 64 and 128."""

    def __init__(self, variant: Variant, regularisation: Regularisation) -> None:
        super().__init__()
        spec = variant.backbone
        if isinstance(spec, ShuffleSpec):
            self.body: nn.Module = ShuffleNet(spec)
            self.fpn: nn.Module = GhostPan(spec.widths, variant.channels)
        else:
            self.body = SwinTransformer(spec, regularisation.drop_path) if isinstance(spec, SwinSpec) else ConvNet(spec)
            self.fpn = FeaturePyramid(spec.widths[1:], variant.channels, regularisation.drop_block)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised pixels -> [P3 .. P7], each (B, channels, ceil(H / stride), ceil(W / stride))."""
        _, c3, c4, c5 = self.body(pixels)  # (B, width, h, w) at strides 8, 16, 32
        maps: list[Tensor] = self.fpn([c3, c4, c5])
        return maps


class SwinTransformer(nn.Module):
    """Swin as used for detection: windows cover any size by padding, outputs of stages 2-4 are normalised."""

    def __init__(self, spec: SwinSpec, drop_path: float = 0.0) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(spec.width)
        rates = torch.linspace(0, drop_path, sum(spec.depths), device="cpu").tolist()
        starts = [sum(spec.depths[:stage]) for stage in range(4)]
        self.layers = nn.ModuleList(
            SwinStage(width, depth, heads, spec.window, rates[start : start + depth], merge=stage < 3)
            for stage, (width, depth, heads, start) in enumerate(zip(spec.widths, spec.depths, spec.heads, starts))
        )
        self.norm1 = nn.LayerNorm(spec.widths[1])
        self.norm2 = nn.LayerNorm(spec.widths[2])
        self.norm3 = nn.LayerNorm(spec.widths[3])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> [C2 (not normalised), C3, C4, C5], each (B, C, ceil(H / stride), ceil(W / stride))."""
        x = self.patch_embed(pixels)  # (B, H/4, W/4, C)
        norms = (nn.Identity(), self.norm1, self.norm2, self.norm3)
        maps = []
        for stage, norm in zip(self.layers, norms):
            out, x = stage(x)  # out: this stage's map; x: half the size, twice the width
            maps.append(norm(out).permute(0, 3, 1, 2))  # (B, C, H/stride, W/stride)
        return maps


class PatchEmbedding(nn.Module):
    """Cuts the image into 4x4 patches and projects each to a vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=4, stride=4)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, ceil(H/4), ceil(W/4), width)."""
        height, width = pixels.shape[-2:]
        pixels = F.pad(pixels, (0, -width % 4, 0, -height % 4))
        patches: Tensor = self.norm(self.proj(pixels).permute(0, 2, 3, 1))
        return patches


class SwinStage(nn.Module):
    """Blocks with plain and shifted windows in turn, then (but for the last stage) patch merging."""

    def __init__(self, width: int, depth: int, heads: int, window: int, rates: list[float], merge: bool) -> None:
        super().__init__()
        self.checkpointing = False  # as in the head
        self.blocks = nn.ModuleList(
            SwinBlock(width, heads, window, shift=window // 2 if index % 2 else 0, drop_path=rates[index])
            for index in range(depth)
        )
        self.downsample = PatchMerging(width) if merge else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> this stage's map (B, H, W, C) and the next stage's input (B, H/2, W/2, 2C)."""
        for block in self.blocks:
            again = self.checkpointing and self.training
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return x, x if self.downsample is None else self.downsample(x)


class SwinBlock(nn.Module):
    """Window attention and MLP, each with pre-norm and residual."""

    def __init__(self, width: int, heads: int, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window, self.shift, self.drop_path = window, shift, drop_path
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        x = x + self._drop(self._attend(self.norm1(x)))
        return x + self._drop(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C), each position from those of its window."""
        batch, height, width, channels = x.shape
        size, shift = self.window, self.shift
        x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))  # (B, rows * size, cols * size, C)
        rows, cols = x.shape[1] // size, x.shape[2] // size
        if shift:
            x = x.roll((-shift, -shift), dims=(1, 2))
        x = x.view(batch, rows, size, cols, size, channels).transpose(2, 3)
        x = x.reshape(batch, rows * cols, size * size, channels)  # (B, windows, positions, C)
        x = self.attn(x, shift_mask(rows, cols, size, shift, x.device) if shift else None)
        x = x.view(batch, rows, cols, size, size, channels).transpose(2, 3)
        x = x.reshape(batch, rows * size, cols * size, channels)  # (B, rows * size, cols * size, C)
        if shift:
            x = x.roll((shift, shift), dims=(1, 2))
        return x[:, :height, :width]  # (B, H, W, C)

    def _drop(self, branch: Tensor) -> Tensor:
        """Stochastic depth: the whole branch is left out for some samples."""
        if not self.training or self.drop_path == 0:
            return branch
        keep = branch.new_empty(branch.shape[0], 1, 1, 1).bernoulli_(1 - self.drop_path)
        return branch * keep / (1 - self.drop_path)


class WindowAttention(nn.Module):
    """Multi-head attention inside each window with a learned bias per relative position (Swin, eq. 4)."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, windows, positions, C), mask (windows, positions, positions) or None -> as x."""
        batch, windows, positions, channels = x.shape
        qkv = self.qkv(x).view(batch * windows, positions, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B * windows, heads, positions, C / heads)
        index = relative_position_index(self.window, x.device)
        bias = self.relative_position_bias_table[index.flatten()].view(positions, positions, self.heads)
        bias = bias.permute(2, 0, 1)[None].to(query.dtype)  # (1, heads, positions, positions)
        if mask is not None:
            bias = bias + mask[:, None].to(query.dtype)  # (windows, heads, positions, positions)
            bias = bias.repeat(batch, 1, 1, 1)
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)  # as query
        x = self.proj(x.transpose(1, 2).reshape(batch, windows, positions, channels))
        return x


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        x = self.fc2(F.gelu(self.fc1(x)))
        return x


class PatchMerging(nn.Module):
    """Joins each 2x2 neighbourhood into one position of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, ceil(H/2), ceil(W/2), 2C)."""
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        corners = [x[:, row::2, col::2] for row, col in ((0, 0), (1, 0), (0, 1), (1, 1))]
        x = self.reduction(self.norm(torch.cat(corners, dim=-1)))
        return x


@lru_cache(maxsize=16)
def relative_position_index(window: int, device: torch.device) -> Tensor:
    """(positions, positions) row of the bias table for each pair of positions in a window x window square."""
    with torch.inference_mode(False):  # what is kept must serve training too
        coordinates = torch.arange(window, device=device)
        difference = coordinates[:, None] - coordinates + window - 1  # (window, window), 0 .. 2 * window - 2
        rows = difference[:, None, :, None] * (2 * window - 1)
        return (rows + difference[None, :, None, :]).reshape(window**2, window**2)


@lru_cache(maxsize=64)
def shift_mask(rows: int, cols: int, window: int, shift: int, device: torch.device) -> Tensor:
    """(rows * cols, positions, positions): -100 between positions that only the cyclic shift made neighbours."""

    def region(count: int) -> Tensor:  # 0: whole windows, 1: kept part of the last window, 2: wrapped around
        position = torch.arange(count * window, device=device)
        return (position >= (count - 1) * window).int() + (position >= count * window - shift).int()

    with torch.inference_mode(False):
        regions = region(rows)[:, None] * 3 + region(cols)  # (rows * window, cols * window)
        regions = regions.view(rows, window, cols, window).transpose(1, 2).reshape(rows * cols, window**2)
        return (regions[:, :, None] != regions[:, None, :]) * -100.0


class FeaturePyramid(nn.Module):
    """FPN without norm or activation; P6 and P7 are made from P5 by strided convolutions."""

    def __init__(self, widths: tuple[int, ...], channels: int, drop_block: float = 0.0) -> None:
        super().__init__()
        # 2 to 4 stand for C3 to C5, as in official checkpoints
        self.fpn_inner2, self.fpn_inner3, self.fpn_inner4 = (nn.Conv2d(width, channels, 1) for width in widths)
        self.fpn_layer2, self.fpn_layer3, self.fpn_layer4 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in "345")
        self.top_blocks = nn.ModuleDict(
            {name: nn.Conv2d(channels, channels, 3, stride=2, padding=1) for name in ("p6", "p7")}
        )
        self.drop_block = drop_block

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """[C3, C4, C5] -> [P3, P4, P5, P6, P7], each (B, channels, h, w)."""
        c3, c4, c5 = maps
        top = self.fpn_inner4(c5)  # (B, channels, H/32, W/32)
        middle = merge(self.fpn_inner3(c4), top)  # (B, channels, H/16, W/16)
        bottom = merge(self.fpn_inner2(c3), middle)  # (B, channels, H/8, W/8)
        p5 = self.fpn_layer4(top)
        if self.training and self.drop_block > 0:
            middle, bottom = drop_block(middle, self.drop_block), drop_block(bottom, self.drop_block)
        p4, p3 = self.fpn_layer3(middle), self.fpn_layer2(bottom)
        p6 = self.top_blocks["p6"](p5)
        p7 = self.top_blocks["p7"](F.relu(p6))
        return [p3, p4, p5, p6, p7]


def merge(lateral: Tensor, above: Tensor) -> Tensor:
    """Lateral map (B, C, h, w) plus the merged map above it, of about half the size -> (B, C, h, w)."""
    return lateral + F.interpolate(above, size=lateral.shape[-2:], mode="nearest")


def drop_block(x: Tensor, probability: float, block: int = 3) -> Tensor:
    """DropBlock (Ghiasi et al. 2018) on (B, C, H, W): squares are zeroed, one mask per image for all channels."""
    seeds = torch.bernoulli(x.new_full((x.shape[0], 1, *x.shape[-2:]), probability / block**2))
    kept = 1 - F.max_pool2d(seeds, block, stride=1, padding=block // 2)  # (B, 1, H, W)
    return x * kept * (kept.numel() / kept.sum().clamp(min=1))
