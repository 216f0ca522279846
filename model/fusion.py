"""Deep fusion (GLIP section 3.2, eq. 4-6): image positions and tokens attend to each other before each tower block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.language import LIMIT
from model.variants import FusionSpec

# Added to the logits of padding tokens: below any real one, finite in half precision, and, being the same at every
# position, without effect on the weights over positions.
PADDING = -30_000.0


class Fusion(nn.Module):
    """`VLFuse` of the official checkpoints: one bidirectional cross-attention block over all pyramid levels."""

    def __init__(self, channels: int, hidden: int, spec: FusionSpec, blocks: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.b_attn = BiAttentionBlock(channels, hidden, spec, blocks, dropout)

    def forward(self, visual: Tensor, states: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, channels), (B, L, hidden), (B, L) -> visual and states, fused, same shapes."""
        visual, states = self.b_attn(visual, states, attention_mask)
        return visual, states


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
        padding = (1 - attention_mask.to(keys.dtype)) * PADDING  # (B, L)
        attend = self._folded if self._folding_pays(visual, states) else self._plain
        return attend(visual, keys, values_l, padding)

    def _plain(self, visual: Tensor, keys: Tensor, values_l: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        queries = self._split(self.v_proj(visual))  # (B, heads, N, d)
        logits = queries @ keys.transpose(2, 3) + padding[:, None, None]  # (B, heads, N, L)
        over_tokens, over_positions = self._attention(logits, positions=2)
        mixed_v = over_tokens @ values_l  # (B, heads, N, d)
        mixed_l = over_positions.transpose(2, 3) @ self._split(self.values_v_proj(visual))  # (B, heads, L, d)
        return self.out_v_proj(self._join(mixed_v)), self.out_l_proj(self._join(mixed_l))

    def _folded(self, visual: Tensor, keys: Tensor, values_l: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        heads, length = keys.shape[1:3]
        query_weight = self.v_proj.weight.unflatten(0, (heads, -1))  # (heads, d, C)
        query_bias = self.v_proj.bias.unflatten(0, (heads, -1, 1))  # (heads, d, 1)
        folded_keys = (keys @ query_weight).flatten(1, 2)  # (B, heads * L, C)
        added = ((keys @ query_bias)[..., 0] + padding[:, None]).flatten(1)[:, None]  # (B, 1, heads * L)
        logits = torch.baddbmm(added, visual, folded_keys.transpose(1, 2))  # (B, N, heads * L)
        over_tokens, over_positions = self._attention(logits.unflatten(2, (heads, length)), positions=1)

        out_weight = self.out_v_proj.weight.unflatten(1, (heads, -1)).permute(1, 2, 0)  # (heads, d, C)
        folded_values = (values_l @ out_weight).flatten(1, 2)  # (B, heads * L, C)
        delta_v = over_tokens.flatten(2) @ folded_values + self.out_v_proj.bias  # (B, N, C)

        pooled = over_positions.flatten(2).transpose(1, 2) @ visual  # (B, heads * L, C)
        value_weight = self.values_v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2)  # (heads, C, d)
        value_bias = self.values_v_proj.bias.unflatten(0, (heads, 1, -1))  # weights over positions sum to 1 ...
        if self._dropping():  # ... unless dropout took some
            value_bias = value_bias * over_positions.sum(1)[..., None]  # (B, heads, L, d)
        mixed_l = pooled.unflatten(1, (heads, length)) @ value_weight + value_bias  # (B, heads, L, d)
        return delta_v, self.out_l_proj(self._join(mixed_l))

    def _attention(self, logits: Tensor, positions: int) -> tuple[Tensor, Tensor]:
        """Logits with tokens in the last dimension -> weights over tokens, weights over positions.

        The latter run over the positions of all levels, the image's padding included, as published.
        """
        if logits.dtype == torch.float16:
            logits = logits.clamp(-LIMIT, LIMIT)  # where a product has overflowed
        over_tokens, over_positions = logits.softmax(dim=-1), logits.softmax(dim=positions)
        if self._dropping():
            over_tokens = F.dropout(over_tokens, self.dropout)
            over_positions = F.dropout(over_positions, self.dropout)
        return over_tokens, over_positions

    def projections(self) -> list[nn.Linear]:
        """The six linear layers."""
        return [linear for linear in self.children() if isinstance(linear, nn.Linear)]

    def _dropping(self) -> bool:
        return self.training and self.dropout > 0

    def _folding_pays(self, visual: Tensor, states: Tensor) -> bool:
        """Multiplications at each position: C for every head and token, against C + L for every projected channel."""
        if self.fold is not None:
            return self.fold
        channels, length = visual.shape[-1], states.shape[1]
        return channels * self.heads * length <= self.heads * self.head_width * (channels + length)

    def _split(self, x: Tensor) -> Tensor:
        parts: Tensor = x.unflatten(-1, (self.heads, self.head_width))  # (B, length, heads, d)
        return parts.transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)  # (B, length, heads * d)
