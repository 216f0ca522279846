"""The image side of every embedder: prepared images go through a network in batches, and come out as vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.device import autocast, forbid_tf32, resolve_device
from model.pretrained import open_network
from model.similarity.pixels import Preparation


class ImageEmbedder:
    """A network on its device, at its precision, whose pooled output is the vector of an image."""

    def __init__(
        self,
        folder: Path,
        network: str,
        pixels: Preparation,
        device: str = "cpu",
        precision: str = "fp32",
        batch_size: int = 32,
    ) -> None:
        """`network`: the class in transformers. Raises HubError, DeviceError."""
        self.device = torch.device(resolve_device(device))
        self.precision = precision
        self.batch_size = batch_size
        self.pixels = pixels
        forbid_tf32()
        self.network = open_network(folder, network).to(self.device)

    def image_vectors(self, groups: Iterable[Sequence[Any]]) -> Iterator[Tensor]:
        """For each group of prepared images (`pixels`) their vectors (n, D), of length 1, float32 on the CPU.

        A batch takes images of several groups, so that small groups do not make small batches. One is never empty.
        """
        sizes: list[int] = []  # of the groups that are not out yet
        done: list[Tensor] = []  # vectors that are not out yet

        def images() -> Iterator[Any]:
            for group in groups:
                sizes.append(len(group))
                yield from group

        coming = images()
        while batch := list(islice(coming, self.batch_size)):
            done.append(self._unit(self._image_features, self.pixels.batch(batch, self.device)))
            ready = torch.cat(done)
            while sizes and sizes[0] <= len(ready):
                group, ready = ready[: sizes[0]], ready[sizes[0] :]
                sizes.pop(0)
                yield group
            done = [ready]

    def _image_features(self, **inputs: Tensor) -> Any:
        return self.network(**inputs)

    @torch.inference_mode()
    def _unit(self, features: Any, inputs: dict[str, Tensor]) -> Tensor:
        """Vectors of length 1 from the network, or from one of its towers."""
        with autocast(self.device, self.precision):
            found: Tensor = features(**inputs).pooler_output
        return torch.nn.functional.normalize(found.float(), dim=-1).cpu()
