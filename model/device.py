"""From the host to the device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def send(x: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on the device. A copy to a GPU goes through pinned memory: an ordinary one would wait until the GPU
    has finished what it was given before, and nothing would overlap."""
    device = torch.device(device)
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)
