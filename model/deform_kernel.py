"""The deformable convolution of deform.py as Triton kernels, whose samples never leave the chip.

A program makes the bilinear samples of a block of positions, some channels at a time, and multiplies them by the
weights where they are: nine samples of every position are neither written to memory nor read back. The backward pass
makes them anew. Products are in the type of the map; their sums, and the places and weights of samples, in fp32.

Triton comes with torch's CUDA builds, and only these two modules import it. Without a GPU, its interpreter runs the
programs (TRITON_INTERPRET=1), for tests.
"""

from __future__ import annotations

import subprocess
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from model.deform import TAPS
from model.deform_programs import data_gradient_program, forward_program, weight_gradient_program

INTERPRETED = bool(triton.knobs.runtime.interpret)  # and then on any device
FAILURES = (RuntimeError, OSError, subprocess.CalledProcessError, triton.errors.TritonError)  # of a machine's tools
SPLITS, LONG = 8, 16  # the gradient of the weights is summed in so many shares, of so many blocks of positions at least


class Blocks(NamedTuple):
    """How much a program does at a time. Sides of a matrix product are 16 at least."""

    positions: int
    channels: int  # of the map
    outputs: int  # channels of the output; for what is wider, another program makes the same samples
    warps: int


HALF = Blocks(positions=64, channels=32, outputs=256, warps=8)
FULL = Blocks(positions=32, channels=32, outputs=64, warps=4)  # without tensor cores: TF32 would round


def deform_conv(x: Tensor, offset: Tensor, mask: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
    """As `model.deform.deform_conv`, in fp32, bf16 or fp16. Gradients of x are summed in no fixed order."""
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, kernel, bias = x.to(dtype), kernel.to(dtype), bias.to(dtype)
    rows = x.permute(0, 2, 3, 1)  # (B, H, W, C)
    rows = rows if rows[0].is_contiguous() else rows.contiguous()
    offset, mask = (x if x.stride(2) == x.shape[3] * x.stride(3) else x.contiguous() for x in (offset, mask))
    out: Tensor = forward(rows, offset, mask, kernel.contiguous(), bias, stride)  # (B, h, w, outputs)
    return out.permute(0, 3, 1, 2)


@torch.library.custom_op("phrasebox::deform_conv", mutates_args=())
def forward(
    rows: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, stride: int
) -> torch.Tensor:
    """rows (B, H, W, C), offset (B, 18, h, w), mask (B, 9, h, w), kernel (outputs, 9 * C) -> (B, h, w, outputs)."""
    out: Tensor = empty_result(rows, offset, mask, kernel, bias, stride)
    (positions, *sides, warps), given = blocks_of(rows, kernel), numbers(rows, offset, mask, kernel, stride)
    grid = triton.cdiv(mask[:, 0].numel(), positions), triton.cdiv(len(kernel), sides[1])
    with torch.cuda.device_of(rows):
        forward_program[grid](rows, offset, mask, kernel, bias, out, *given, positions, *sides, num_warps=warps)
    return out


@forward.register_fake
def empty_result(rows: Tensor, offset: Tensor, mask: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
    """(B, h, w, outputs)."""
    return rows.new_empty(mask.shape[0], mask.shape[2], mask.shape[3], kernel.shape[0])


@torch.library.custom_op("phrasebox::deform_conv_gradients", mutates_args=())
def gradients(
    grad: torch.Tensor, rows: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor, kernel: torch.Tensor, stride: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """grad (B, h, w, outputs) -> gradients of rows, offset, mask and kernel, in fp32."""
    (positions, *sides, warps), places = blocks_of(rows, kernel), mask[:, 0].numel()
    given, grad = numbers(rows, offset, mask, kernel, stride), grad.contiguous()
    found: tuple[Tensor, Tensor, Tensor, Tensor] = empty_gradients(grad, rows, offset, mask, kernel, stride)
    across = triton.cdiv(len(kernel), sides[1])
    splits = min(SPLITS, triton.cdiv(places, LONG * positions))
    share = triton.cdiv(places, splits * positions) * positions
    parts = torch.empty(splits, *kernel.shape, device=rows.device)
    with torch.cuda.device_of(rows):
        data_gradient_program[triton.cdiv(places, positions), TAPS](
            rows, offset, mask, kernel, grad, found[0].zero_(), *found[1:3], *given, positions, *sides, num_warps=warps
        )
        weight_gradient_program[TAPS * triton.cdiv(rows.shape[3], sides[0]), across, splits](
            rows, offset, mask, grad, parts, *given, share, positions, *sides, num_warps=warps
        )
    torch.sum(parts, 0, out=found[3])
    return found


@gradients.register_fake
def empty_gradients(
    grad: Tensor, rows: Tensor, offset: Tensor, mask: Tensor, kernel: Tensor, stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shaped as the inputs, contiguous but for those of offsets and masks: these are channels-last."""
    like_offset, like_mask = (x.permute(0, 2, 3, 1) for x in (offset, mask))
    shapes = rows.shape, like_offset.shape, like_mask.shape, kernel.shape
    of_rows, of_offset, of_mask, of_kernel = (rows.new_empty(shape, dtype=torch.float32) for shape in shapes)
    return of_rows, of_offset.permute(0, 3, 1, 2), of_mask.permute(0, 3, 1, 2), of_kernel


def keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.stride = inputs
    ctx.save_for_backward(*tensors)


def propagate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of `forward`."""
    *tensors, bias = ctx.saved_tensors
    found = gradients(grad, *tensors, ctx.stride)
    typed = (value.to(x.dtype) for value, x in zip(found, tensors, strict=True))
    return *typed, grad.float().sum((0, 1, 2)).to(bias.dtype), None


forward.register_autograd(propagate, setup_context=keep_inputs)


def blocks_of(rows: Tensor, kernel: Tensor) -> Blocks:
    """For the type of the map, and no larger than the convolution is."""
    blocks = FULL if rows.dtype == torch.float32 else HALF
    channels, outputs = (max(16, triton.next_power_of_2(size)) for size in (rows.shape[3], kernel.shape[0]))
    return blocks._replace(channels=min(blocks.channels, channels), outputs=min(blocks.outputs, outputs))


def numbers(rows: Tensor, offset: Tensor, mask: Tensor, kernel: Tensor, stride: int) -> tuple[int, ...]:
    """What every program is told, from `batch` to `outputs`."""
    steps = (step for x in (offset, mask) for step in (x.stride(0), x.stride(1), x.stride(3)))
    return *rows.shape[:3], *mask.shape[2:], *steps, stride, rows.stride(0), rows.shape[3], kernel.shape[0]
