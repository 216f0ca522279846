"""Inter-image region-word contrast of GLIPv2 (Zhang et al. 2022, section 3.2): phrases of other images as negatives.

Grounding asks which of a caption's few phrases a region shows. Here the phrases of the whole batch compete, and so do
its regions, on features from before the fusion, which have not seen the other side yet. A training aid: its own two
projections are not part of the model and are thrown away with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.losses import PhraseTargets, Positives

TEMPERATURE = 0.07  # at the start; learned


class RegionWordContrast(nn.Module):
    """Scores every region of a batch against every phrase of the batch, and the loss of these scores."""

    def __init__(self, channels: int, hidden: int, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.image = nn.Linear(channels, channels)
            self.text = nn.Linear(hidden, channels)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))

    def forward(
        self,
        maps: Sequence[Tensor],
        states: Tensor,
        positives: Positives,
        phrase_targets: Sequence[PhraseTargets],
        texts: Sequence[Sequence[str]],
        weights: Sequence[Tensor] | None = None,
        average: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The loss of a batch, a scalar.

        maps: [P3 .. P7], (B, channels, h, w) each, and states (B, L, hidden), both before the fusion. positives: the
        anchors of the boxes, which are the regions. phrase_targets: per image the tokens of its phrases and the phrases
        of each box. texts: per image and phrase, its words; phrases of equal
        words are one class, whatever image they come from. weights: per image (N,), the share of each box. average: as
        for `head_losses`.
        """
        image, anchor_index, box_index = positives  # (R,) each
        visual = torch.cat([x.flatten(2) for x in maps], dim=2).float()  # (B, channels, A)
        with torch.autocast(states.device.type, enabled=False):
            words, row_of = self.phrases(states.float(), phrase_targets)  # (P, channels); {(image, phrase): row}
            own = own_rows(phrase_targets, row_of).to(words)[box_index]  # (R, P) in 0/1
            kept = own.any(1)  # a phrase past the token limit has no feature
            regions = F.normalize(self.image(visual[image[kept], :, anchor_index[kept]]), dim=-1)  # (R, channels)
            scores = self.log_scale.exp() * regions @ words.t()  # (R, P)
        classes = class_numbers([texts[i][j] for i, j in row_of], scores.device)  # (P,)
        same = own[kept] @ (classes[:, None] == classes).to(own) > 0  # (R, P)
        weight = (
            scores.new_ones(len(box_index))
            if weights is None
            else torch.cat([x.to(scores) for x in weights])[box_index]
        )
        return contrast(scores, same, weight[kept], average)

    def phrases(
        self, states: Tensor, phrase_targets: Sequence[PhraseTargets]
    ) -> tuple[Tensor, dict[tuple[int, int], int]]:
        """Unit features (P, channels) of all phrases that have tokens, and the row of each (image, phrase)."""
        features: list[Tensor] = []
        row_of: dict[tuple[int, int], int] = {}
        for number, own_targets in enumerate(phrase_targets):
            tokens = own_targets.tokens[:, : states.shape[1]].to(states)  # (phrases, L)
            count = tokens.sum(1)  # (phrases,)
            for own in count.nonzero()[:, 0].tolist():
                row_of[number, own] = len(row_of)
            features.append((tokens @ states[number])[count > 0] / count[count > 0][:, None])  # mean over its tokens
        return F.normalize(self.text(torch.cat(features)), dim=-1), row_of


def own_rows(phrase_targets: Sequence[PhraseTargets], row_of: Mapping[tuple[int, int], int]) -> Tensor:
    """(N, P) in 0/1: which of the phrases that have tokens are those of each box, boxes of all images joined."""
    found = []
    for number, own_targets in enumerate(phrase_targets):
        named = own_targets.phrases  # (N, phrases) of the image
        own = named.new_zeros(len(named), len(row_of))
        for (image, phrase), row in row_of.items():
            if image == number:
                own[:, row] = named[:, phrase]
        found.append(own)
    return torch.cat(found)


def class_numbers(texts: Sequence[str], device: torch.device) -> Tensor:
    """(P,): equal for phrases of equal words."""
    known: dict[str, int] = {}
    numbers = [known.setdefault(" ".join(text.casefold().split()), len(known)) for text in texts]
    return torch.tensor(numbers, dtype=torch.long, device=device)


def contrast(scores: Tensor, same: Tensor, weight: Tensor, average: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Mean of both directions' cross-entropy: each region over the phrases, each phrase that is shown over the regions.

    scores (R, P); same (R, P): which phrases are the region's own; weight (R,): the share of each region, of both its
    own loss and its part in its phrases' targets. A target with several right answers is spread evenly.
    """
    target = same.to(scores)  # (R, P)
    by_region = target / target.sum(1, keepdim=True).clamp(min=1)
    region_loss = -((by_region * scores.log_softmax(1)).sum(1) * weight).sum()
    shown = same.any(0)  # (P,)
    weighted = target[:, shown] * weight[:, None]  # (R, S)
    by_phrase = weighted / weighted.sum(0).clamp(min=1e-6)
    share = weighted.sum(0) / target[:, shown].sum(0)  # (S,) mean weight of the phrase's regions
    phrase_loss = -((by_phrase * scores[:, shown].log_softmax(0)).sum(0) * share).sum()
    counts = scores.new_tensor([float(len(scores)), float(shown.sum())])
    regions, phrases = (counts if average is None else average(counts)).clamp(min=1).unbind()
    return (region_loss / regions + phrase_loss / phrases) / 2
