"""TensorBoard's event files, by its own writer, where it is installed: `pip install 'phrasebox[tensorboard]'`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def event_file(entries: Sequence[tuple[int, float, Mapping[str, float]]]) -> bytes | None:
    """The file of some (step, seconds since 1970, {name: value}), in their order; None without TensorBoard.

    TensorBoard writes to folders of this machine only, while a run folder may lie in an object store.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        with SummaryWriter(folder) as writer:
            for step, seconds, values in entries:
                for name, value in values.items():
                    writer.add_scalar(name, value, step, walltime=seconds)
        (file,) = Path(folder).iterdir()
        return file.read_bytes()
