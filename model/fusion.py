"""Deep fusion (GLIP section 3.2, eq. 4-6): image positions and tokens attend to each other before each tower block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.language import LIMIT
from model.variants import FusionSpec


class Fusion(nn.Module):
    """`VLFuse` of the official checkpoints: one bidirectional cross-attention block over all pyramid levels."""

    def __init__(self, channels: int, hidden: int, spec: FusionSpec, blocks: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.b_attn = BiAttentionBlock(channels, hidden, spec, blocks, dropout)

    def forward(self, visual: Tensor, states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, channels), (B, L, hidden), (B, L) -> visual and states, fused, same shapes."""
        return self.b_attn(visual, states, attention_mask)


class BiAttentionBlock(nn.Module):
    """Pre-norm and layer scale around the cross-attention. The residual is the *normalised* input, as published."""

    def __init__(self, channels: int, hidden: int, spec: FusionSpec, blocks: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer_norm_v = nn.LayerNorm(channels)
        self.layer_norm_l = nn.LayerNorm(hidden)
        self.attn = BiMultiHeadAttention(channels, hidden, spec, dropout)
        self.gamma_v = nn.Parameter(torch.full((channels,), 1 / blocks))
        self.gamma_l = nn.Parameter(torch.full((hidden,), 1 / blocks))

    def forward(self, visual: Tensor, states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, channels), (B, L, hidden), (B, L) -> the same shapes."""
        visual, states = self.layer_norm_v(visual), self.layer_norm_l(states)
        delta_v, delta_l = self.attn(visual, states, attention_mask)
        return visual + self.gamma_v * delta_v, states + self.gamma_l * delta_l


class BiMultiHeadAttention(nn.Module):
    """Cross-attention both ways (X-MHA, eq. 4) from one logit matrix.

    With V the image positions (N x C), T the tokens (L x D) and, per head, d-wide projections:

        A      = (V Wq + bq) (T Wk + bk)^T / sqrt(d)              N x L
        delta_v = softmax over tokens (A)      (T Wv' + bv') Wo    N x C
        delta_l = softmax over positions (A^T) (V Wv + bv)   Wo'   L x D

    A caption has tens of tokens and an image some 22,000 positions, so applying the C x 2048 projections Wq, Wv and Wo
    to every position is nearly all of the cost. Matrix products are associative, so `_folded` applies them to the
    tokens instead: V (Wq K^T), A (V' Wo), and (A^T V) Wv. Same result but for rounding; `_plain` is the textbook order.
    """

    def __init__(self, channels: int, hidden: int, spec: FusionSpec, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.head_width = spec.heads, spec.width // spec.heads
        self.dropout = dropout
        self.fold: bool | None = None  # None: whichever order takes fewer operations
        self.v_proj = nn.Linear(channels, spec.width)
        self.l_proj = nn.Linear(hidden, spec.width)
        self.values_v_proj = nn.Linear(channels, spec.width)
        self.values_l_proj = nn.Linear(hidden, spec.width)
        self.out_v_proj = nn.Linear(spec.width, channels)
        self.out_l_proj = nn.Linear(spec.width, hidden)

    def forward(self, visual: Tensor, states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, C), (B, L, D), (B, L) -> delta_v (B, N, C), delta_l (B, L, D)."""
        keys = self._split(self.l_proj(states)) * self.head_width**-0.5  # (B, heads, L, d)
        values_l = self._split(self.values_l_proj(states))  # (B, heads, L, d)
        attend = self._folded if self._folding_pays(visual, states) else self._plain
        return attend(visual, keys, values_l, attention_mask)

    def _plain(self, visual: Tensor, keys: Tensor, values_l: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        queries = self._split(self.v_proj(visual))  # (B, heads, N, d)
        to_tokens, to_positions = self._attention(keys @ queries.transpose(-1, -2), mask)  # (B, heads, L, N) each
        mixed_v = to_tokens.transpose(-1, -2) @ values_l  # (B, heads, N, d)
        mixed_l = to_positions @ self._split(self.values_v_proj(visual))  # (B, heads, L, d)
        return self.out_v_proj(self._join(mixed_v)), self.out_l_proj(self._join(mixed_l))

    def _folded(self, visual: Tensor, keys: Tensor, values_l: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        heads, length = keys.shape[1:3]
        query_weight = self.v_proj.weight.unflatten(0, (heads, -1))  # (heads, d, C)
        query_bias = self.v_proj.bias.unflatten(0, (heads, -1, 1))  # (heads, d, 1)
        folded_keys = (keys @ query_weight).flatten(1, 2)  # (B, heads * L, C)
        logits = torch.baddbmm((keys @ query_bias).flatten(1, 2), folded_keys, visual.transpose(1, 2))
        to_tokens, to_positions = self._attention(logits.unflatten(1, (heads, length)), mask)  # (B, heads, L, N) each

        out_weight = self.out_v_proj.weight.unflatten(1, (heads, -1)).permute(1, 2, 0)  # (heads, d, C)
        folded_values = (values_l @ out_weight).flatten(1, 2)  # (B, heads * L, C)
        delta_v = to_tokens.flatten(1, 2).transpose(1, 2) @ folded_values + self.out_v_proj.bias  # (B, N, C)

        pooled = (to_positions.flatten(1, 2) @ visual).unflatten(1, (heads, length))  # (B, heads, L, C)
        value_weight = self.values_v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2)  # (heads, C, d)
        value_bias = self.values_v_proj.bias.unflatten(0, (heads, 1, -1))  # rows of to_positions sum to 1
        share = to_positions.sum(-1, keepdim=True) if self._dropping() else 1.0  # ... unless dropout took some
        mixed_l = pooled @ value_weight + value_bias * share  # (B, heads, L, d)
        return delta_v, self.out_l_proj(self._join(mixed_l))

    def _attention(self, logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, heads, L, N), token mask (B, L) -> weights over tokens and weights over positions."""
        logits = logits.clamp(-LIMIT, LIMIT)
        padding = ~mask.bool()[:, None, :, None]  # (B, 1, L, 1)
        to_tokens = logits.masked_fill(padding, float("-inf")).softmax(dim=2)
        to_positions = logits.softmax(dim=3)  # over all positions of all levels, the image's padding included
        if self._dropping():
            to_tokens, to_positions = F.dropout(to_tokens, self.dropout), F.dropout(to_positions, self.dropout)
        return to_tokens, to_positions

    def _dropping(self) -> bool:
        return self.training and self.dropout > 0

    def _folding_pays(self, visual: Tensor, states: Tensor) -> bool:
        """Multiplications at each position: C for every head and token, against C + L for every projected channel."""
        if self.fold is not None:
            return self.fold
        channels, length = visual.shape[-1], states.shape[1]
        return channels * self.heads * length <= self.heads * self.head_width * (channels + length)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)  # (B, heads, length, d)

    def _join(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)  # (B, length, heads * d)
