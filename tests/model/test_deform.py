import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from model.deform import TAPS, ModulatedDeformConv, sample


def pixel(x: Tensor, y: int, z: int) -> Tensor:
    inside = 0 <= y < x.shape[1] and 0 <= z < x.shape[2]
    return x[:, y, z] if inside else torch.zeros_like(x[:, 0, 0])


def scalar_deform(conv: ModulatedDeformConv, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """One image, place by place, by the definition of DCNv2."""
    rows, columns = mask.shape[1:]
    out = torch.zeros(len(conv.weight), rows, columns, dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            total = conv.bias.clone()
            for tap in range(9):
                y = float(offset[2 * tap, i, j]) + i * conv.stride - 1 + tap // 3
                z = float(offset[2 * tap + 1, i, j]) + j * conv.stride - 1 + tap % 3
                top, left = math.floor(y), math.floor(z)
                v, w = y - top, z - left
                value = (1 - v) * ((1 - w) * pixel(x, top, left) + w * pixel(x, top, left + 1))
                value = value + v * ((1 - w) * pixel(x, top + 1, left) + w * pixel(x, top + 1, left + 1))
                total = total + conv.weight[:, :, tap // 3, tap % 3] @ value * mask[tap, i, j]
            out[:, i, j] = total
    return out


def make(stride: int) -> ModulatedDeformConv:
    torch.manual_seed(0)
    conv = ModulatedDeformConv(4, 6, stride).double()
    torch.nn.init.normal_(conv.weight)
    torch.nn.init.normal_(conv.bias)
    return conv


def test_matches_the_definition_far_outside_the_map_too() -> None:
    for stride, size in ((1, (7, 5)), (2, (4, 3))):
        conv = make(stride)
        x = torch.randn(2, 4, 7, 5, dtype=torch.float64)
        offset, mask = torch.randn(2, 18, *size).double() * 4, torch.rand(2, 9, *size).double()
        offset[0, 0] = -1.0  # whole pixels, and a border exactly
        found = conv(x, offset, mask)
        for image in range(2):
            torch.testing.assert_close(found[image], scalar_deform(conv, x[image], offset[image], mask[image]))


def test_without_offsets_it_is_a_convolution() -> None:
    for stride, size in ((1, (7, 5)), (2, (4, 3))):
        conv = make(stride)
        x = torch.randn(2, 4, 7, 5, dtype=torch.float64)
        found = conv(x, torch.zeros(2, 18, *size).double(), torch.ones(2, 9, *size).double())
        torch.testing.assert_close(found, F.conv2d(x, conv.weight, conv.bias, stride=stride, padding=1))


def test_gradients() -> None:
    conv = make(1)
    x = torch.randn(1, 4, 4, 3, dtype=torch.float64, requires_grad=True)
    offset = (torch.rand(1, 18, 4, 3).double() * 0.6 + 0.2).requires_grad_()  # away from whole pixels, where it bends
    mask = torch.rand(1, 9, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x, offset, mask))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_samples_are_taken_in_fp32_at_any_precision(dtype: torch.dtype) -> None:
    """As the official operator does; and before torch 2.13, CUDA had no gradient for weights of samples in bf16."""
    generator = torch.Generator().manual_seed(0)
    x, offset, mask = (torch.randn(1, n, 5, 4, generator=generator, requires_grad=True) for n in (8, 2 * TAPS, TAPS))
    expected = sample(x, offset, mask, 1)
    (wanted,) = torch.autograd.grad(expected.square().sum(), offset, retain_graph=True)
    with torch.autocast("cpu", dtype=dtype):
        found = sample(x, offset, mask, 1)
        (gradient,) = torch.autograd.grad(found.square().sum(), offset)
        assert found.dtype == torch.float32 and torch.equal(found, expected) and torch.equal(gradient, wanted)
        half = sample(x.to(dtype), offset, mask, 1)  # what convolutions give under autocast
    assert torch.equal(half, sample(x.to(dtype).float(), offset, mask, 1))


class Bags(TorchDispatchMode):
    """Notes the types that `embedding_bag` is called with, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "embedding_bag" in str(func):
            floats = {x.dtype for x in args if isinstance(x, torch.Tensor) and x.is_floating_point()}
            self.seen.setdefault(func.overloadpacket.__name__, set()).update(floats)
        return func(*args, **(kwargs or {}))


def test_bags_are_summed_in_fp32_whatever_the_network_computes_in() -> None:
    """CUDA builds of torch before 2.13 have no backward pass of weighted bags in bf16 (pytorch#185808)."""
    conv = ModulatedDeformConv(4, 4)
    torch.nn.init.normal_(conv.weight)
    x = torch.randn(1, 4, 6, 6, dtype=torch.bfloat16, requires_grad=True)
    offset, mask = torch.randn(1, 18, 6, 6, dtype=torch.bfloat16), torch.rand(1, 9, 6, 6, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16), Bags() as bags:
        conv(x, offset.requires_grad_(), mask.requires_grad_()).float().sum().backward()
    assert len(bags.seen) >= 2 and set().union(*bags.seen.values()) == {torch.float32}
    assert x.grad is not None and x.grad.dtype == torch.bfloat16
