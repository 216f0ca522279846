"""The language backbone: BERT (Devlin et al. 2019), without pooler. Attribute names follow official checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.variants import TextSpec

LIMIT = 50_000.0  # official clamp that keeps half-precision activations finite


class LanguageBackbone(nn.Module):
    """Tokens to one vector each."""

    def __init__(self, spec: TextSpec, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"model": Bert(spec, dropout)})
        self.tuned: TunedPrompt | None = None

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) token ids and (B, L) mask of real tokens -> (B, L, hidden), the last layer's states."""
        states: Tensor = self.body["model"](input_ids, attention_mask)
        return states if self.tuned is None else self.tuned(states, input_ids)


class TunedPrompt(nn.Module):
    """One learned vector for each token of a prompt, added to what the encoder makes of it (GLIP, section 5.3).

    It acts on its own text alone: a vector belongs to a token, and any other text is read as by the base model.
    """

    ids: Tensor

    def __init__(self, ids: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.register_buffer("ids", torch.tensor(ids), persistent=False)  # (T,), with [CLS] and [SEP]
        self.offset = nn.Parameter(torch.zeros(len(ids), hidden))

    def forward(self, states: Tensor, input_ids: Tensor) -> Tensor:
        """(B, L, hidden), (B, L) -> (B, L, hidden)."""
        length, longest = len(self.ids), input_ids.shape[1]
        if longest < length:
            return states
        own = (input_ids[:, :length] == self.ids).all(1)  # (B,): it ends with [SEP], so the whole text is the same
        offset = F.pad(self.offset, (0, 0, 0, longest - length)).to(states.dtype)  # (L, hidden)
        return states + own[:, None, None] * offset


class Bert(nn.Module):
    """Embeddings and a stack of post-norm transformer layers."""

    def __init__(self, spec: TextSpec, dropout: float = 0.0) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(spec, dropout)
        self.encoder = BertEncoder(spec, dropout)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L), (B, L) -> (B, L, hidden)."""
        states: Tensor = self.encoder(self.embeddings(input_ids), attention_mask)
        return states


class BertEncoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, spec: TextSpec, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(spec, dropout) for _ in range(spec.layers))

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L, hidden), (B, L) -> (B, L, hidden)."""
        for layer in self.layer:
            states = layer(states, attention_mask)
        return states


class BertEmbeddings(nn.Module):
    """Sum of word, position and (always first) segment embeddings, normalised."""

    def __init__(self, spec: TextSpec, dropout: float = 0.0) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(spec.vocabulary, spec.embedding)
        # Factorised table (Lan et al. 2020): most of a small model would be the vocabulary otherwise.
        factorised = spec.embedding != spec.hidden
        self.word_projection = nn.Linear(spec.embedding, spec.hidden, bias=False) if factorised else None
        self.position_embeddings = nn.Embedding(spec.positions, spec.hidden)
        self.token_type_embeddings = nn.Embedding(2, spec.hidden)
        self.LayerNorm = nn.LayerNorm(spec.hidden, eps=1e-12)
        self.dropout = dropout

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, hidden)."""
        words = self.word_embeddings(input_ids)
        if self.word_projection is not None:
            words = self.word_projection(words)
        positions = self.position_embeddings.weight[: input_ids.shape[1]]  # (L, hidden)
        states = self.LayerNorm(words + positions + self.token_type_embeddings.weight[0])
        return F.dropout(states, self.dropout, self.training)


class BertLayer(nn.Module):
    """Self-attention and feed-forward, each followed by residual and LayerNorm (post-norm)."""

    def __init__(self, spec: TextSpec, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {
                "self": SelfAttention(spec.hidden, spec.heads, dropout),
                "output": Output(spec.hidden, spec.hidden, dropout),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(spec.hidden, spec.intermediate)})
        self.output = Output(spec.intermediate, spec.hidden, dropout)

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L, hidden), (B, L) -> (B, L, hidden)."""
        states = self.attention["output"](self.attention["self"](states, attention_mask), states)
        wide = F.gelu(self.intermediate["dense"](states)).clamp(-LIMIT, LIMIT)  # (B, L, intermediate)
        states = self.output(wide, states)  # (B, L, hidden)
        return states.clamp(-LIMIT, LIMIT)


class SelfAttention(nn.Module):
    """Multi-head attention; padding tokens are never attended to."""

    def __init__(self, hidden: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L, hidden), (B, L) -> (B, L, hidden)."""

        def split(x: Tensor) -> Tensor:
            parts: Tensor = x.unflatten(-1, (self.heads, -1))  # (B, L, heads, hidden / heads)
            return parts.transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            split(self.query(states)),
            split(self.key(states)),
            split(self.value(states)),
            attn_mask=attention_mask.bool()[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return mixed.transpose(1, 2).flatten(2)


class Output(nn.Module):
    """Linear, dropout, residual, LayerNorm."""

    def __init__(self, before: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dense = nn.Linear(before, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=1e-12)
        self.dropout = dropout

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        """(B, L, before), (B, L, hidden) -> (B, L, hidden)."""
        states = self.LayerNorm(F.dropout(self.dense(states), self.dropout, self.training) + residual)
        return states
