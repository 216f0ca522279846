"""Training checkpoints: all that the next step depends on. Randomness is derived from the step, so none is stored."""

from __future__ import annotations

import io as bytes_io
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from stages.stage import RunIO

PREFIX = "checkpoint-"


def save_checkpoint(io: RunIO, folder: str, step: int, state: dict[str, Any], keep: int) -> None:
    """Write folder/checkpoint-STEP.pt, whole or not at all, then drop all but the newest `keep`."""
    buffer = bytes_io.BytesIO()
    torch.save(state, buffer)
    with io.create(f"{folder}/{PREFIX}{step:08d}.pt") as stream:
        stream.write(buffer.getbuffer())
    for path in checkpoints(io, folder)[:-keep]:
        io.delete(path)


def checkpoints(io: RunIO, folder: str) -> list[str]:
    """Paths of the checkpoints, oldest first."""
    return [path for path in io.files(folder) if path.rpartition("/")[2].startswith(PREFIX)]


def load_checkpoint(io: RunIO, path: str) -> dict[str, Any]:
    """Tensors and plain values only: nothing in the file is run."""
    with io.open(path) as stream:
        state: dict[str, Any] = torch.load(stream, map_location="cpu", weights_only=True)
    return state


def save_weights(io: RunIO, path: str, weights: Mapping[str, Tensor]) -> None:
    """Weights alone, as `Glip.from_file` reads them."""
    with io.create(path) as stream:
        stream.write(save({name: value.detach().cpu().contiguous() for name, value in weights.items()}))
