"""The head: tower of fused blocks, predictions per level, and the way from predictions to boxes (GLIP section 3.1).

Module names follow the keys of official checkpoints (`rpn.head...`).
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from model.dyhead import DyConv
from model.fusion import Fusion
from model.language import LIMIT, BertLayer
from model.outputs import Grounding, HeadOutput
from model.postprocess import postprocess
from model.selection import OFFICIAL, Settings
from model.variants import Regularisation, Variant

__all__ = ["OFFICIAL", "Grounding", "Head", "HeadOutput", "Settings", "postprocess"]

PRIOR_LOGIT = -math.log((1 - 0.01) / 0.01)  # every token starts at a probability of 0.01


class Level(nn.Module):
    """The learned scale of one level's box regression."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, regression: Tensor) -> Tensor:
        """(B, 4, H, W) -> the same shape."""
        return regression * self.scale


class Rpn(nn.Module):
    """Only a name in the checkpoints: `rpn.head`."""

    def __init__(self, variant: Variant, regularisation: Regularisation) -> None:
        super().__init__()
        self.head = Head(variant, regularisation)


class Head(nn.Module):
    """Deep fusion tower, then box, centerness and word-region alignment for every position."""

    def __init__(self, variant: Variant, regularisation: Regularisation) -> None:
        super().__init__()
        channels, hidden = variant.channels, variant.text.hidden
        self.fused = variant.fusion is not None
        self.small = variant.text.embedding != hidden
        self.checkpointing = False  # in train mode: recompute activations in the backward pass instead of keeping them
        tower: list[nn.Module] = []
        for _ in range(variant.tower):
            if variant.fusion is not None:
                tower += [
                    Fusion(channels, hidden, variant.fusion, variant.tower, regularisation.fusion_dropout),
                    BertLayer(variant.text, regularisation.text_dropout),
                ]
            tower.append(DyConv(channels))
        self.dyhead_tower = nn.ModuleList(tower)
        if variant.old_classes:
            self.cls_logits = nn.Conv2d(channels, variant.old_classes, 1).requires_grad_(False)
        self.bbox_pred = nn.Conv2d(channels, 4, 1)
        self.centerness = nn.Conv2d(channels, 1, 1)
        self.dot_product_projection_text = nn.Linear(hidden, channels)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.bias_lang = nn.Parameter(torch.zeros(hidden))
        self.bias0 = nn.Parameter(torch.full((1,), PRIOR_LOGIT))
        self.scales = nn.ModuleList(Level() for _ in range(5))

    def forward(self, maps: list[Tensor], states: Tensor, attention_mask: Tensor) -> list[HeadOutput]:
        """[P3 .. P7] each (B, C, h, w), token states (B, L, hidden), token mask (B, L) -> one HeadOutput per level."""
        for block in self.dyhead_tower:
            run = partial(checkpoint, block, use_reentrant=False) if self.checkpointing and self.training else block
            if isinstance(block, Fusion):
                visual, states = run(flatten_levels(maps), states, attention_mask)  # eq. 4: (B, N, C), (B, L, hidden)
                maps = split_levels(visual, [x.shape[-2:] for x in maps])
            elif isinstance(block, BertLayer):
                states = run(states, attention_mask)  # eq. 6
            else:
                maps = run(maps)  # eq. 5
        if not self.fused:
            states = states * attention_mask[..., None].to(states.dtype)
        with torch.autocast(states.device.type, enabled=False):  # cheap, and boxes need the digits
            full = self.bias0.dtype
            token, bias = self.align(states.to(full))
            return [self.predict(x.to(full), level, token, bias) for x, level in zip(maps, self.scales, strict=True)]

    def align(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Token states (B, L, hidden) -> what a position is multiplied with (B, L, C) and what is added (B, L)."""
        unit = F.normalize(states, dim=-1)
        token = self.dot_product_projection_text(unit / 2) / self.log_scale.exp()  # (B, L, C)
        return token, unit @ self.bias_lang + self.bias0

    def predict(self, x: Tensor, level: nn.Module, token: Tensor, bias: Tensor) -> HeadOutput:
        """Map (B, C, H, W) of one level, token (B, L, C), bias (B, L) -> that level's output."""
        positions = x.flatten(2).transpose(1, 2)  # (B, H * W, C)
        logits = positions @ token.transpose(1, 2) + bias[:, None]  # eq. 3: (B, H * W, L)
        return HeadOutput(logits.clamp(-LIMIT, LIMIT), level(self.bbox_pred(x)), self.centerness(x))


def flatten_levels(maps: list[Tensor]) -> Tensor:
    """[(B, C, h, w), ...] -> (B, N, C): positions row by row, P3 first."""
    return torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps], dim=1)


def split_levels(visual: Tensor, sizes: list[torch.Size]) -> list[Tensor]:
    """(B, N, C) -> [(B, C, h, w), ...], channels last in memory."""
    parts = visual.split([h * w for h, w in sizes], dim=1)
    return [part.unflatten(1, tuple(size)).permute(0, 3, 1, 2) for part, size in zip(parts, sizes, strict=True)]
