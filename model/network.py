"""The network of GLIP: its modules, and the way through them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.backbone import Backbone, SwinStage
from model.device import autocast
from model.dyhead import DyConv
from model.head import Head, Rpn
from model.language import LanguageBackbone
from model.outputs import HeadOutput
from model.prompt import CategoryList
from model.variants import NONE, Regularisation, Variant


class GlipNetwork(nn.Module):
    """Modules carry the names of official checkpoints, so `state_dict()` is in the official layout."""

    def __init__(self, variant: Variant, regularisation: Regularisation = NONE) -> None:
        super().__init__()
        self.variant = variant
        self.listed: CategoryList | None = None  # the categories that it is tuned for
        self.precision = "fp32"  # or "bf16", "fp16": what the network computes in
        self.backbone = Backbone(variant, regularisation)
        self.language_backbone = LanguageBackbone(variant.text, regularisation.text_dropout)
        self.rpn = Rpn(variant, regularisation)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def head_outputs(self, pixels: Tensor, input_ids: Tensor, attention_mask: Tensor) -> list[HeadOutput]:
        """pixels (B, 3, H, W) as `preprocess` makes them, input_ids and attention_mask (B, 256) -> outputs of P3..P7.

        Tokens after the longest caption of the batch are cut first: they change nothing, so token_logits has L <= 256.
        """
        length = int(attention_mask.any(0).nonzero().max()) + 1
        with self.autocast():
            maps = self.backbone(pixels)
            return self.head_from(maps, input_ids[:, :length], attention_mask[:, :length])

    forward = head_outputs

    def head_from(self, maps: list[Tensor], input_ids: Tensor, attention_mask: Tensor) -> list[HeadOutput]:
        """The backbone's maps [P3 .. P7], each (B, channels, h, w), input_ids and mask (B, L) -> outputs of P3..P7."""
        states = self.language_backbone(input_ids.long(), attention_mask)  # (B, L, hidden)
        outputs: list[HeadOutput] = self.rpn.head(maps, states, attention_mask)
        return outputs

    def use_checkpointing(self, on: bool = True) -> None:
        """Train with less memory and more time: activations of Swin and of the head are recomputed when needed."""
        for module in self.modules():
            if isinstance(module, Head | SwinStage):
                module.checkpointing = on

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Compile the dynamic head, once for images of all sizes: most operators of a batch are in its blocks."""
        for module in self.modules():
            if isinstance(module, DyConv):
                module.compile(dynamic=True, backend=backend)

    def autocast(self) -> torch.autocast:
        """The context of the chosen precision."""
        return autocast(self.device, self.precision)
