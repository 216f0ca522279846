"""What a training keeps in memory, counted on fake tensors: in seconds, and whatever the size of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from model.backbone import SwinStage
from model.fake_tensors import fake_tensors
from model.glip import Glip
from model.variants import Regularisation, get_variant
from stages.train.flops import forward_flops
from stages.train.optimizer import freeze

FP32 = 4  # bytes of a weight


class CountedNetwork:
    """A network of fake tensors in train mode, whose bytes and FLOPs are counted."""

    def __init__(
        self, variant: str, regularisation: Regularisation, precision: str, frozen: tuple[str, ...] = ()
    ) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        with torch.device("meta"):
            glip = Glip(get_variant(variant), regularisation)
        with fake_tensors(self.mode):
            self.glip = glip.to_empty(device="cpu")
        self.glip.precision = precision
        freeze(self.glip, frozen)

    def weights_bytes(self, ema: bool) -> int:
        """Weights, their gradients, AdamW's two averages, and the moving average of the weights."""
        every = sum(parameter.numel() for parameter in self.glip.parameters())
        trained = sum(parameter.numel() for parameter in self.glip.parameters() if parameter.requires_grad)
        return FP32 * (every * (2 if ema else 1) + 3 * trained)

    def activations_bytes(self, images: int, height: int, width: int, tokens: int, checkpointing: bool) -> int:
        """What the network keeps of so many padded images, and as many texts, for the backward pass.

        With checkpointing, this is what lies between the blocks and the block that keeps most, which the backward pass
        computes again. The losses, and what the backward pass makes for a moment, come on top.
        """
        self.glip.use_checkpointing(False)
        whole, largest = self._kept(images, height, width, tokens)
        if not checkpointing:
            return whole
        self.glip.use_checkpointing()
        between, _ = self._kept(images, height, width, tokens)
        return between + largest

    def flops(self, height: int, width: int, tokens: int) -> float:
        """Of one image, forward."""
        with fake_tensors(self.mode):
            return forward_flops(self.glip.eval(), height, width, tokens)

    def _kept(self, images: int, height: int, width: int, tokens: int) -> tuple[int, int]:
        with fake_tensors(self.mode):
            return kept_bytes(self.glip.train(), images, height, width, tokens)


def kept_bytes(glip: Glip, images: int, height: int, width: int, tokens: int) -> tuple[int, int]:
    """Bytes that the forward pass of blank images keeps for the backward pass; and those of the block that keeps most.

    The tensors are real or fake ones, as those of the network are.
    """
    kept = Kept(glip)
    pixels = torch.zeros(images, 3, height, width, device=glip.device)
    ids = torch.zeros(images, tokens, dtype=torch.long, device=glip.device)
    hooks = torch.autograd.graph.saved_tensors_hooks(kept.add, lambda x: x)
    with kept.by_block(blocks(glip)), hooks, glip.autocast():
        glip.head_from(glip.backbone(pixels), ids, torch.ones_like(ids))
    return kept.bytes, kept.largest


def blocks(glip: nn.Module) -> list[nn.Module]:
    """What activation checkpointing computes again as a whole."""
    stages = [module for module in glip.modules() if isinstance(module, SwinStage)]
    parts = [stage.blocks for stage in stages] + [glip.get_submodule("rpn.head.dyhead_tower")]
    return [block for part in parts for block in part.children()]


class Kept:
    """The memory behind saved tensors, each storage once, weights left out."""

    def __init__(self, model: nn.Module) -> None:
        # By the storage's number; held, so that none is given again.
        self._seen = {own.untyped_storage()._cdata: own.untyped_storage() for own in model.parameters()}
        self.bytes = 0
        self.largest = 0  # of a block

    def add(self, x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen[storage._cdata] = storage
            self.bytes += storage.nbytes()
        return x

    @contextmanager
    def by_block(self, modules: list[nn.Module]) -> Iterator[None]:
        """Takes note of the one that keeps most."""
        before = 0

        def enter(*_: Any) -> None:
            nonlocal before
            before = self.bytes

        def leave(*_: Any) -> None:
            self.largest = max(self.largest, self.bytes - before)

        hooks = [module.register_forward_pre_hook(enter) for module in modules]
        hooks += [module.register_forward_hook(leave) for module in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
