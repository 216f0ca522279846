"""Floating-point operations of training steps, and what the device could do: the two sides of MFU.

Counted: two per multiply-add of every matrix product and convolution, forward, times three for forward and backward
(Kaplan et al. 2020; what activation checkpointing recomputes does not count, as MFU has it).
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.device import PRECISIONS
from model.glip import Glip

BACKWARD = 3  # forward and backward, in forwards
TOKENS = (32, 160)  # lengths of text at which the model is counted; linear between and beyond
MULTIPLE = 32

# Dense peaks in TFLOP/s from the makers' data sheets: fp32 without tensor cores, and 16 bits with them.
PEAKS = {
    "H100 PCIe": (51.0, 756.0),
    "H100 NVL": (60.0, 835.0),
    "H100": (67.0, 989.0),
    "H200": (67.0, 989.0),
    "A100": (19.5, 312.0),
    "A10G": (31.5, 70.0),
    "A10": (31.2, 125.0),
    "L40S": (91.6, 362.0),
    "L4": (30.3, 121.0),
    "V100": (15.7, 125.0),
    "T4": (8.1, 65.0),
    "RTX 4090": (82.6, 165.0),
    "RTX 3090": (35.6, 71.0),
}


def attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    """Of torch's attention kernel for CPUs, which its counter does not know; (B, heads, positions, width) each."""
    batch, heads, positions, width = query
    return 2 * batch * heads * positions * key[2] * (width + value[3])


COUNTED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}


@torch.no_grad()
def forward_flops(glip: Glip, height: int, width: int, tokens: int) -> float:
    """Of the forward pass of one padded image and its text."""
    pixels = torch.zeros(1, 3, height, width, device=glip.device)
    ids = torch.zeros(1, tokens, dtype=torch.long, device=glip.device)
    with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter, glip.autocast():
        glip.head_from(glip.backbone(pixels), ids, torch.ones_like(ids))
    return float(counter.get_total_flops())


class FlopMeter:
    """Adds up the FLOPs of every pass through `glip` since the last `take`.

    A pass is counted by its shape: FLOPs of one image are bilinear in its pixels and its tokens, and are counted at
    two sizes of each when the first pass is known. (Two terms are not: attention between tokens, and the padding of
    Swin's windows; both are small.)
    """

    def __init__(self, glip: Glip) -> None:
        self.glip = glip
        self.pixels: list[tuple[int, int, int]] = []  # (B, H, W) of every pass
        self.tokens: list[int] = []
        self.counting = False
        self.corners: tuple[list[int], list[list[float]]] | None = None  # pixel counts, FLOPs [pixels][tokens]
        glip.backbone.register_forward_pre_hook(self._see_pixels)
        glip.language_backbone.register_forward_pre_hook(self._see_tokens)

    def take(self) -> float:
        """FLOPs, forward and backward, since the last call."""
        seen, lengths = self.pixels, self.tokens
        self.pixels, self.tokens = [], []
        if not seen:
            return 0.0
        if self.corners is None:
            self.corners = self._count_corners(*seen[0][1:])
        return BACKWARD * sum(
            batch * self._of_one(height * width, length)
            for (batch, height, width), length in zip(seen, lengths, strict=True)
        )

    def _of_one(self, pixels: int, tokens: int) -> float:
        assert self.corners is not None
        (few, many), ((a, b), (c, d)) = self.corners
        x, y = (pixels - few) / (many - few), (tokens - TOKENS[0]) / (TOKENS[1] - TOKENS[0])
        return (1 - x) * ((1 - y) * a + y * b) + x * ((1 - y) * c + y * d)

    def _count_corners(self, height: int, width: int) -> tuple[list[int], list[list[float]]]:
        wide = width + max(MULTIPLE, width // 2 // MULTIPLE * MULTIPLE)
        sizes = [(height, width), (height, wide)]
        self.counting = True
        try:
            return [h * w for h, w in sizes], [
                [forward_flops(self.glip, h, w, tokens) for tokens in TOKENS] for h, w in sizes
            ]
        finally:
            self.counting = False

    def _see_pixels(self, _: Any, inputs: tuple[torch.Tensor]) -> None:
        if not self.counting:
            self.pixels.append((inputs[0].shape[0], inputs[0].shape[2], inputs[0].shape[3]))

    def _see_tokens(self, _: Any, inputs: tuple[torch.Tensor, torch.Tensor]) -> None:
        if not self.counting:
            self.tokens.append(inputs[0].shape[1])


def peak_flops(device: torch.device, precision: str) -> float | None:
    """FLOP/s of the device at that precision; None for one that is not in the table. Of a CPU: what a matrix product
    of its own reaches here, with the threads that torch has."""
    if device.type == "cpu":
        return measured_peak(PRECISIONS[precision] or torch.float32)
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = next((peaks for known, peaks in PEAKS.items() if known in name), None)
    return None if found is None else 1e12 * found[precision != "fp32"]


def measured_peak(dtype: torch.dtype, size: int = 1024, tries: int = 5) -> float:
    """The best of some products of two (size, size) matrices, FLOP/s."""
    a = torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(tries):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
