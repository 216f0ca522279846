"""Data-parallel training: one rank a process, each with its share of every batch (torch's DistributedDataParallel).

Whoever starts the ranks (pipeline/execution/ranks.py, or torchrun) sets up the process group.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Ranks:
    """This process's place among all of them."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def average(self, value: Tensor) -> Tensor:
        """The mean over all ranks, without a gradient."""
        if self.world > 1:
            value = value.detach().clone()
            torch.distributed.all_reduce(value)
            value /= self.world
        return value

    def gather(self, words: list[str]) -> list[str]:
        """Those of all ranks, by rank."""
        if self.world == 1:
            return words
        found: list[list[str]] = [[]] * self.world
        torch.distributed.all_gather_object(found, words)
        return [word for each in found for word in each]

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first rank runs the block, then all the others do, which find what it has made."""
        if self.world > 1 and not self.first:
            torch.distributed.barrier()
        yield
        if self.world > 1 and self.first:
            torch.distributed.barrier()

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the ranks, and the first rank's weights to begin with."""
        if self.world == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True)

    @contextmanager
    def collecting(self, wrapped: nn.Module, more: bool) -> Iterator[None]:
        """With `more` pieces of the batch to come, gradients are added up here, and averaged with those of the last."""
        with wrapped.no_sync() if more and self.world > 1 else nullcontext():  # type: ignore[operator]
            yield
