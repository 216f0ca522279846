"""Which code computes the deformable convolutions of a network: torch's operators, or the kernel.

    plain    model/deform.py, which runs everywhere
    triton   model/deform_kernel.py, which needs a GPU and Triton
    auto     plain without a GPU; on one, the kernel where it is measured to be faster on this machine

Both give the same but for rounding.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from model.deform import TAPS, ModulatedDeformConv, Operator
from model.deform import deform_conv as plain
from model.device import PRECISIONS, DeviceError
from model.network import GlipNetwork

FASTER = 1.2  # times as fast as torch's operators; so clear a bound lets equal machines choose alike
CLOSE = {None: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}  # relative difference of both results, by precision
MAP = (4, 64, 96)  # batch, height and width that are measured on: a middle level at GLIP's image size
TRIES = 10


class Choice(NamedTuple):
    """What a setting comes to on this machine."""

    name: str  # plain or triton
    why: str


def settle(network: GlipNetwork, setting: str) -> Choice:
    """Lets the deformable convolutions of the network, which is on its device, compute as the setting says.

    Raises DeviceError where `triton` cannot be had here.
    """
    operators: dict[str, Operator] = {"plain": plain}
    if setting == "plain" or (setting == "auto" and network.device.type != "cuda"):
        choice = Choice("plain", "asked for" if setting == "plain" else "there is no GPU")
    else:
        try:
            operators["triton"] = kernel_for(network.device)
            choice = Choice("triton", "asked for") if setting == "triton" else measure(network, operators["triton"])
        except DeviceError as error:
            if setting == "triton":
                raise
            choice = Choice("plain", str(error))
    for conv in convolutions(network):
        conv.operator = operators[choice.name]
    return choice


def convolutions(network: GlipNetwork) -> list[ModulatedDeformConv]:
    return [module for module in network.modules() if isinstance(module, ModulatedDeformConv)]


def kernel_for(device: torch.device) -> Operator:
    """Raises DeviceError where the kernel cannot run."""
    try:
        from model.deform_kernel import INTERPRETED, deform_conv
    except ModuleNotFoundError as error:
        raise DeviceError("deform: the kernel needs the package triton; torch's CUDA builds bring it") from error
    if device.type != "cuda" and not INTERPRETED:
        raise DeviceError("deform: the kernel needs a GPU; leave the setting at auto")
    return deform_conv


def measure(network: GlipNetwork, kernel: Operator) -> Choice:
    """Runs both on the device, in the network's precision, with a backward pass if it is in train mode.

    The kernel has to be clearly faster, and to give the same.
    """
    from model.deform_kernel import FAILURES

    conv = convolutions(network)[0]
    inputs = example(conv, network)
    try:
        results, seconds = zip(*(timed(network, conv, inputs, operator) for operator in (plain, kernel)), strict=True)
    except FAILURES as error:
        return Choice("plain", f"the kernel does not run here ({str(error).strip().partition(chr(10))[0]})")
    wanted, found = results
    apart = float((found - wanted).norm() / wanted.norm())
    faster = seconds[0] / seconds[1]
    if not apart <= CLOSE[PRECISIONS[network.precision]]:  # NaN is not close
        return Choice("plain", f"the kernel's result is {apart:.1g} off")
    return Choice("triton" if faster >= FASTER else "plain", f"the kernel is {faster:.2f} times as fast")


def example(conv: ModulatedDeformConv, network: GlipNetwork) -> tuple[Tensor, Tensor, Tensor]:
    """A map, offsets and masks of the usual size, the same on every machine."""
    batch, height, width = MAP
    generator = torch.Generator().manual_seed(0)
    dtype = PRECISIONS[network.precision]
    x, offset, mask = (
        torch.randn(batch, height, width, channels, generator=generator).permute(0, 3, 1, 2).to(network.device, dtype)
        for channels in (conv.weight.shape[1], 2 * TAPS, TAPS)
    )
    return x.requires_grad_(network.training), offset * 2, mask.sigmoid()


def timed(
    network: GlipNetwork, conv: ModulatedDeformConv, inputs: tuple[Tensor, Tensor, Tensor], operator: Operator
) -> tuple[Tensor, float]:
    """The operator's result, and seconds of a run of it."""
    conv.operator = operator

    def run() -> Tensor:
        with torch.set_grad_enabled(network.training), network.autocast():
            out: Tensor = conv(*inputs)
        if network.training:
            torch.autograd.grad(out.float().sum(), (inputs[0], conv.weight))
        return out.detach().float()

    return run(), seconds_of(run)


def seconds_of(run: Callable[[], Tensor]) -> float:
    """The median of some runs, by the device's clock."""
    run()
    spans = []
    for _ in range(TRIES):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        spans.append(start.elapsed_time(end) / 1000)
    return float(statistics.median(spans))
