"""Where and how a network computes: the device, its precision, and tensors on their way there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class DeviceError(ValueError):
    """A device that is not there; the message says what to do."""


def resolve_device(device: str) -> str:
    """auto: cuda where torch sees one, else cpu. Raises DeviceError for a device that is not there.

    Asked where the work is done: the machine that starts a run on a cluster needs no GPU itself.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(f"device {device!r}: torch sees no CUDA device here; say cpu, or install torch's CUDA build")
    return device


def forbid_tf32() -> None:
    """What is computed at fp32 is computed in full. By default, torch lets convolutions on NVIDIA GPUs round to TF32.

    Labelling, evaluation and training all call it, so that a student has the same scores wherever it computes.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a network computes at a precision: fp32, bf16 or fp16."""
    dtype = PRECISIONS[precision]
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def host_buffer(shape: Sequence[int], device: torch.device | str) -> Tensor:
    """uint8 memory on the host, not initialised, from which `send` copies to the device without a copy on the way."""
    if torch.device(device).type == "cuda":
        return torch.empty(*shape, dtype=torch.uint8, pin_memory=True)
    return torch.from_numpy(np.empty(shape, np.uint8))  # in huge pages, which are filled five times as fast as torch's


def send(x: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on the device. A copy to a GPU goes through pinned memory: an ordinary one would wait until the GPU
    has finished what it was given before, and nothing would overlap."""
    device = torch.device(device)
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def to_host(tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
    """Copies to the host, begun: the function waits for them, and for nothing that the device is given later.

    All tensors are of one device, which need not be the current one.
    """
    copies = [x.to("cpu", non_blocking=True) for x in tensors]  # from a GPU into pinned memory
    device = tensors[0].device
    arrived = torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None

    def wait() -> list[Tensor]:
        if arrived is not None:
            arrived.synchronize()
        return copies

    return wait
