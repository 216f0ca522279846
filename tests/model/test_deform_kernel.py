"""The kernel in Triton's interpreter beside the plain path: results and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from model.deform import deform_conv as plain
from model.dyhead import DyConv, read_flat

pytest.importorskip("triton", reason="Triton has no package for this platform")

from model import deform_kernel
from model.deform_kernel import Blocks, blocks_of, deform_conv


class Inputs(NamedTuple):
    x: Tensor  # (B, C, H, W)
    offset: Tensor  # (B, 18, h, w)
    mask: Tensor  # (B, 9, h, w)
    kernel: Tensor  # (width, 9 * C)
    bias: Tensor


def make(
    batch: int, channels: int, width: int, size: tuple[int, int], stride: int, spread: float = 2.0, seed: int = 0
) -> Inputs:
    """Maps and steering as the dynamic head has them: channels-last, offsets and mask slices of one tensor."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    small = [(side - 1) // stride + 1 for side in size]
    x = normal(batch, *size, channels).permute(0, 3, 1, 2)
    steering = normal(batch, *small, 27).permute(0, 3, 1, 2)
    kernel = normal(width, 9 * channels) / (9 * channels) ** 0.5
    return Inputs(x, steering[:, :18] * spread, steering[:, 18:].sigmoid(), kernel, normal(width))


def results(operator: object, inputs: Inputs, stride: int, wanted: Tensor | None = None) -> list[Tensor]:
    """The output, and the gradients of all inputs for a loss that weighs every value differently."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = operator(*leaves, stride)  # type: ignore[operator]
    weights = torch.sin(torch.arange(out.numel(), dtype=torch.float32)).view(out.shape)
    return [out.detach(), *torch.autograd.grad((out.float() * weights).sum(), leaves)]


def assert_equal_but_for_rounding(found: Sequence[Tensor], wanted: Sequence[Tensor], error: float) -> None:
    """NaN and infinities in the same places; elsewhere no further apart than `error`, of the largest value."""
    assert len(found) == len(wanted) > 0
    for own, other in zip(found, wanted, strict=True):
        assert own.shape == other.shape and own.dtype == other.dtype
        known = other.isfinite()
        assert torch.equal(own.isfinite(), known) and torch.equal(own.isnan(), other.isnan())
        scale = float(other[known].abs().max()) if known.any() else 1.0
        torch.testing.assert_close(own[known], other[known], rtol=0, atol=error * max(scale, 1e-6))


@pytest.mark.parametrize(
    ("batch", "channels", "width", "size", "stride", "spread"),
    [
        (2, 5, 7, (6, 5), 1, 2.0),  # less than a block of anything
        (1, 40, 70, (7, 9), 2, 1.0),  # blocks that are not full; two across the output
        (2, 16, 16, (5, 6), 1, 0.0),  # an ordinary convolution
        (1, 16, 16, (1, 1), 1, 3.0),  # the top of the pyramid of a small image
        (3, 16, 20, (2, 3), 2, 50.0),  # nearly all points far out of the map
    ],
)
def test_equals_the_plain_path(
    batch: int, channels: int, width: int, size: tuple[int, int], stride: int, spread: float
) -> None:
    inputs = make(batch, channels, width, size, stride, spread)
    found, wanted = (results(operator, inputs, stride) for operator in (deform_conv, plain))
    assert_equal_but_for_rounding(found, wanted, 1e-5)
    assert all(x.abs().sum() > 0 for x in wanted[:1])


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_plain_path_for_random_shapes(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    batch, channels, width, height, wide, stride = (
        int(torch.randint(low, high, (), generator=draw))
        for low, high in ((1, 3), (1, 50), (1, 64), (1, 7), (1, 7), (1, 3))
    )
    inputs = make(batch, channels, width, (height, wide), stride, 3.0, seed)
    found, wanted = (results(operator, inputs, stride) for operator in (deform_conv, plain))
    assert_equal_but_for_rounding(found, wanted, 1e-5)


def test_whole_pixels_borders_and_points_at_infinity() -> None:
    inputs = make(1, 8, 8, (4, 4), 1, 0.0)
    for place, value in enumerate((-1.0, 1.0, -2.0, 4.0, 1e9, -1e9, float("inf"), float("-inf"))):
        inputs.offset[0, place] = value
    found, wanted = (results(operator, inputs, 1) for operator in (deform_conv, plain))
    for x in (found, wanted):  # at whole pixels, the gradient of an offset is that of either side
        x[2] = x[2][:, 8:]
    assert_equal_but_for_rounding(found, wanted, 1e-5)


@pytest.mark.parametrize("where", ["x", "offset", "mask"])
def test_what_is_not_a_number_stays_where_it_is(where: str) -> None:
    inputs = make(2, 8, 8, (5, 6), 1, 1.0)
    getattr(inputs, where)[1, 3, 2, 4] = float("nan")
    with torch.no_grad():
        found, wanted = (operator(*inputs, 1) for operator in (deform_conv, plain))
    assert wanted[1].isnan().any() and not wanted[0].isnan().any()
    assert_equal_but_for_rounding([found], [wanted], 1e-5)


@pytest.fixture
def products_of_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter keeps bf16 as 16-bit integers, and multiplies these; here it multiplies their values."""
    from triton.runtime import interpreter

    multiply = interpreter.InterpreterBuilder.create_dot

    def valued(x: Any) -> Any:
        if x.data.dtype != np.uint16:
            return x
        return interpreter.TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), interpreter.tl.float32)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return multiply(self, valued(a), valued(b), *rest)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)


@pytest.mark.usefixtures("products_of_bf16")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_about_as_the_plain_path_does(dtype: torch.dtype) -> None:
    inputs = make(2, 32, 24, (5, 6), 1, 2.0)
    full = results(plain, inputs, 1)
    with torch.autocast("cpu", dtype):
        rounded, found = (results(operator, inputs, 1) for operator in (plain, deform_conv))
    assert found[0].dtype == dtype and [x.dtype for x in found[1:]] == [torch.float32] * 5
    errors = [
        [float((x.float() - exact).norm() / exact.norm()) for x, exact in zip(own, full, strict=True)]
        for own in (found, rounded)
    ]
    assert len(errors[0]) == 6
    # The interpreter cuts digits off where a GPU rounds to bf16: twice the error at most.
    assert all(ours < 2 * theirs < 0.05 for ours, theirs in zip(*errors, strict=True)), errors


def test_many_blocks_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = make(1, 20, 18, (5, 7), 1)
    whole = results(deform_conv, inputs, 1)
    monkeypatch.setattr(deform_kernel, "FULL", Blocks(positions=16, channels=16, outputs=16, warps=1))
    monkeypatch.setattr(deform_kernel, "LONG", 2)  # 3 blocks of positions: 2 shares
    assert blocks_of(inputs.x.permute(0, 2, 3, 1), inputs.kernel) == (16, 16, 16, 1)
    assert_equal_but_for_rounding(results(deform_conv, inputs, 1), whole, 1e-5)


def test_blocks_are_no_larger_than_the_convolution() -> None:
    rows = torch.zeros(1, 2, 2, 5, dtype=torch.bfloat16)
    assert blocks_of(rows, torch.zeros(64, 45)) == deform_kernel.HALF._replace(channels=16, outputs=64)


def test_the_head_computes_the_same_at_all_levels() -> None:
    """Strides, and the offsets that are read flat for a smaller map, as the dynamic head gives them."""
    torch.manual_seed(0)
    block = DyConv(16).eval()
    for name, weight in block.named_parameters():
        torch.nn.init.normal_(weight, std=0.3 if "offset" in name else 0.1)
    maps = [torch.randn(2, h * w, 16).unflatten(1, (h, w)).permute(0, 3, 1, 2) for h, w in ((6, 8), (3, 4), (2, 2))]
    with torch.inference_mode():
        wanted = block(maps)
        for conv in block.DyConv:
            conv.conv.operator = deform_conv
        found = block(maps)
    assert_equal_but_for_rounding(found, wanted, 1e-5)


def test_strides_of_any_kind_are_taken() -> None:
    """Levels that are slices of one tensor, offsets in rows of another map, a map that is not channels-last."""
    x, offset, mask, kernel, bias = make(2, 12, 9, (4, 6), 1)
    levels = torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2), torch.ones(2, 5, 12)], 1)
    sliced = levels[:, :24].unflatten(1, (4, 6)).permute(0, 3, 1, 2)
    wanted = plain(x, offset, mask, kernel, bias, 1)
    for given in (sliced, x.contiguous()):
        torch.testing.assert_close(deform_conv(given, offset, mask, kernel, bias, 1), wanted)
    wide = torch.nn.functional.pad(offset, (0, 3))[..., :6]
    torch.testing.assert_close(deform_conv(x, wide, mask, kernel, bias, 1), wanted)
    large = make(2, 12, 9, (8, 12), 1)
    flat = [read_flat(part, torch.Size((4, 6))) for part in (large.offset, large.mask)]
    torch.testing.assert_close(deform_conv(x, *flat, kernel, bias, 1), plain(x, *flat, kernel, bias, 1))


def test_it_is_an_operator_that_torch_can_trace() -> None:
    x, offset, mask, kernel, bias = (one.requires_grad_() for one in make(1, 4, 5, (3, 4), 1))
    found = torch.library.opcheck(deform_kernel.forward, (x.permute(0, 2, 3, 1), offset, mask, kernel, bias, 1))
    assert set(found.values()) == {"SUCCESS"} and len(found) >= 3
