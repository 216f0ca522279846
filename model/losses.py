"""Training targets by ATSS (Zhang et al. 2020) and the three losses of grounded pre-training (GLIP section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from model.anchors import decode, encode, level_sizes, pyramid_anchors
from model.device import send
from model.geometry import giou_loss, pairwise_iou
from model.outputs import HeadOutput

TOP_K = 9  # nearest anchors per box and level that may become positive
ALPHA, GAMMA = 0.25, 2.0  # focal loss
REGRESSION_WEIGHT = 2.0


class Positives(NamedTuple):
    """The positive anchors of a batch."""

    image: Tensor  # (P,)
    anchor_index: Tensor  # (P,) index of the anchor over P3..P7 joined
    box_index: Tensor  # (P,) index of the box among the boxes of all images joined


class Known(NamedTuple):
    """Where an image's text is known at all: each token inside of its boxes, and nothing elsewhere."""

    boxes: Tensor  # (M, 4) legacy corners in the padded image
    tokens: Tensor  # (M, 256) in 0/1

    def mask(self, anchors: Tensor, length: int) -> Tensor:
        """(A, length) in 0/1: whether the centre of each anchor (A, 4) lies in a box that has the token."""
        centres = ((anchors[:, :2] + anchors[:, 2:]) / 2)[:, None]  # (A, 1, 2)
        inside = ((centres >= self.boxes[:, :2]) & (centres <= self.boxes[:, 2:])).all(-1)  # (A, M)
        return (inside.to(anchors) @ self.tokens[:, :length].to(anchors)).clamp(max=1)


class PhraseTargets(NamedTuple):
    """What the text says of an image's boxes."""

    tokens: Tensor  # (phrases, 256) in 0/1: the tokens of every phrase of the prompt
    phrase: Tensor  # (N,) the phrase of each box
    shared: Tensor | None = None  # (N, phrases) in 0/1: all phrases of each box, where some have several

    @property
    def phrases(self) -> Tensor:
        """(N, phrases) in 0/1: the phrases of each box."""
        one = F.one_hot(self.phrase, len(self.tokens)) if self.shared is None else self.shared
        return one.to(self.tokens)

    @property
    def labels(self) -> Tensor:
        """(N, 256) in 0/1: the tokens of each box."""
        return (self.phrases @ self.tokens).clamp(max=1)


def assign(boxes: Tensor, padded_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which anchors are positive for which box, by ATSS (algorithm 1 of its paper).

    boxes (N, 4): legacy corners in the padded image of (h, w) = padded_size. Returns (P,) indices of anchors, counted
    over P3..P7 joined and rising, and (P,) the index of the box that each belongs to. A box may end without an anchor.
    """
    height, width = padded_size
    levels = pyramid_anchors(level_sizes(int(height), int(width)), boxes.device)
    _, anchor_index, box_index = match([boxes], levels)
    return anchor_index, box_index


def claims(boxes: Tensor, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Of each anchor: its IoU with the box that it is positive for (A,), -1 where there is none, and the box (A,)."""
    anchors = torch.cat(list(levels))  # (A, 4)
    if len(boxes) == 0:
        return anchors.new_full((len(anchors),), -1.0), torch.zeros_like(anchors[:, 0], dtype=torch.long)
    boxes = boxes.to(anchors)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2  # (A, 2)
    candidates = nearest_anchors(centres, (boxes[:, :2] + boxes[:, 2:]) / 2, [len(level) for level in levels])  # (K, N)
    iou = pairwise_iou(anchors, boxes).gather(0, candidates)  # (K, N)
    threshold = iou.mean(0) + iou.std(0)  # (N,)
    centre = centres[candidates]  # (K, N, 2)
    margin = torch.cat((centre - boxes[:, :2], boxes[:, 2:] - centre), dim=-1).amin(-1)  # (K, N), to the nearest side
    claimed = torch.where((iou >= threshold) & (margin > 0.01), iou, -1.0)  # (K, N)
    by_anchor = iou.new_full((len(anchors), len(boxes)), -1.0).scatter(0, candidates, claimed)  # (A, N)
    return by_anchor.max(dim=1)  # an anchor of several boxes goes to the one that it overlaps most


def nearest_anchors(centres: Tensor, box_centres: Tensor, counts: Sequence[int]) -> Tensor:
    """Anchor centres (A, 2), box centres (N, 2), anchors of each level -> (K, N), the 9 nearest of every level."""
    distance = (centres[:, None] - box_centres).square().sum(-1).sqrt()  # (A, N)
    nearest, start = [], 0
    for count in counts:
        level = distance[start : start + count]
        nearest.append(level.topk(min(TOP_K, count), dim=0, largest=False).indices + start)
        start += count
    return torch.cat(nearest)


def head_losses(
    outputs: Sequence[HeadOutput],
    boxes: Sequence[Tensor],
    token_labels: Sequence[Tensor],
    attention_mask: Tensor,
    weights: Sequence[Tensor] | None = None,
    regression: Sequence[Tensor] | None = None,
    average: Callable[[Tensor], Tensor] | None = None,
    phrase_targets: Sequence[PhraseTargets] | None = None,
    matched: Positives | None = None,
    known: Sequence[Known | None] = (),
) -> dict[str, Tensor]:
    """The weighted losses of a batch: `loss_dot_product_token`, `loss_reg` and `loss_centerness`.

    boxes: per image, (N, 4) legacy corners in the padded image. token_labels: per image, (N, 256) in 0/1, the tokens of
    each box's phrase. attention_mask (B, 256): only real tokens take part, the special ones included.

    Options for pseudo boxes, per image: weights (N,) multiply what a box's anchors add to every loss; regression (N,)
    says which boxes train the box regression. average: applied to the (2,) normalisers, positive anchors and sum of
    centerness targets; a mean over the processes of a distributed training. phrase_targets, per image, adds
    `loss_phrase_softmax`, see `phrase_softmax`. matched: what `match` gives for the boxes, where it is there already.
    known, per image, None for one of which everything is known.
    """
    sizes = [(x.centerness.shape[2], x.centerness.shape[3]) for x in outputs]
    levels = pyramid_anchors(sizes, outputs[0].centerness.device)
    anchors = torch.cat(levels)  # (A, 4)
    logits = torch.cat([x.token_logits for x in outputs], dim=1).float()  # (B, A, L)
    deltas = torch.cat([x.box_regression.flatten(2) for x in outputs], dim=2).float()  # (B, 4, A)
    centerness = torch.cat([x.centerness.flatten(1) for x in outputs], dim=1).float()  # (B, A)

    image, anchor_index, box_index = matched or match(boxes, levels)
    anchor = anchors[anchor_index]  # (P, 4)
    target, quality, trained = regression_targets(boxes, regression, anchor, box_index)
    weight = torch.ones_like(quality) if weights is None else torch.cat([x.to(quality) for x in weights])[box_index]

    divisors = counted(quality, trained)
    positives, total = (divisors if average is None else average(divisors)).unbind()
    positives = positives.clamp(min=1)
    overlap_loss = giou_loss(decode(deltas[image, :, anchor_index], anchor), target)  # (P,)
    center_loss = F.binary_cross_entropy_with_logits(centerness[image, anchor_index], quality, reduction="none")  # (P,)
    labels = torch.cat([own.to(logits) for own in token_labels])[box_index, : logits.shape[2]]  # (P, L)
    masks = [None if own is None else own.mask(anchors, logits.shape[2]) for own in known]
    losses = {  # eq. 1: alignment, which replaces classification, and localisation
        "loss_dot_product_token": token_loss(logits, labels, attention_mask, image, anchor_index, weight, masks)
        / positives,
        "loss_reg": REGRESSION_WEIGHT * (overlap_loss * quality * trained * weight).sum() / total.clamp(min=1e-6),
        "loss_centerness": (center_loss * weight).sum() / positives,
    }
    if phrase_targets is not None:
        losses["loss_phrase_softmax"] = (
            phrase_softmax(logits, Positives(image, anchor_index, box_index), phrase_targets) * weight
        ).sum() / positives
    return losses


def regression_targets(
    boxes: Sequence[Tensor], regression: Sequence[Tensor] | None, anchor: Tensor, box_index: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the positive anchors (P, 4) and their boxes (P,): the box (P, 4), centerness (P,), whether it trains (P,)."""
    target = torch.cat([own.to(anchor) for own in boxes])[box_index]
    target = decode(encode(target, anchor), anchor)  # (P, 4); through the coder and back, as published
    quality = centerness_target(anchor, target)  # (P,)
    if regression is None:
        return target, quality, torch.ones_like(quality)
    return target, quality, torch.cat([x.to(quality) for x in regression])[box_index]


def counted(quality: Tensor, trained: Tensor) -> Tensor:
    """(2,): what losses are divided by, the positive anchors and the sum of centerness targets."""
    return torch.stack((quality.new_full((), float(len(quality))), (quality * trained).sum()))


def normalisers(
    boxes: Sequence[Tensor], regression: Sequence[Tensor] | None, levels: Sequence[Tensor], matched: Positives
) -> Tensor:
    """(2,), those of `head_losses` before `average`; they follow from the boxes alone."""
    _, anchor_index, box_index = matched
    _, quality, trained = regression_targets(boxes, regression, torch.cat(list(levels))[anchor_index], box_index)
    return counted(quality, trained)


def match(boxes: Sequence[Tensor], levels: Sequence[Tensor]) -> Positives:
    """Assigns the anchors of every level to the boxes of every image, each (N, 4) legacy corners.

    How many are positive has to be known, for which a GPU is waited for, once.
    """
    found = [claims(own, levels) for own in boxes]
    best, box_index = (torch.stack(part) for part in zip(*found, strict=True))  # (B, A) each
    starts = torch.tensor([0, *(len(own) for own in boxes[:-1])]).cumsum(0)
    box_index = box_index + send(starts, box_index.device)[:, None]
    image, anchor_index = (best >= 0).nonzero(as_tuple=True)
    return Positives(image, anchor_index, box_index[image, anchor_index])


def phrase_softmax(logits: Tensor, positives: Positives, phrase_targets: Sequence[PhraseTargets]) -> Tensor:
    """Cross-entropy (P,) of each positive anchor's own phrase among all phrases of its prompt.

    logits (B, A, L). A phrase's logit is the mean over its tokens. Several phrases of one box share the target evenly.
    Not in the paper: there, BERT and an ImageNet backbone know the nouns before training starts. From random weights,
    the focal loss first learns that anything may be any noun, and then hardly tells nouns apart, because it mutes the
    negatives that it is half sure of; what a softmax over the phrases sees is only which of them it is.
    """
    loss = logits.new_zeros(len(positives.image))
    start = 0  # of the image's boxes among those of all images
    for number, own_targets in enumerate(phrase_targets):
        tokens = own_targets.tokens[:, : logits.shape[2]].to(logits)  # (phrases, L)
        count = tokens.sum(1)  # (phrases,); 0: past the token limit, cannot be chosen
        named = own_targets.phrases.to(logits) * (count > 0)  # (N, phrases)
        (mine,) = torch.where(positives.image == number)
        target = named[positives.box_index[mine] - start]  # (own P, phrases)
        mine, target = mine[target.any(1)], target[target.any(1)]
        scores = logits[number, positives.anchor_index[mine]] @ (tokens / count.clamp(min=1)[:, None]).t()
        log = scores.masked_fill(count == 0, float("-inf")).log_softmax(1).masked_fill(count == 0, 0)
        loss[mine] = -(log * target / target.sum(1, keepdim=True)).sum(1)
        start += len(named)
    return loss


def token_loss(
    logits: Tensor,
    positive: Tensor,
    attention_mask: Tensor,
    image: Tensor,
    anchor_index: Tensor,
    weight: Tensor,
    known: Sequence[Tensor | None] = (),
) -> Tensor:
    """Word-region alignment loss, summed: focal loss of all anchors against all real tokens.

    logits (B, A, L); of the positive anchors (image, place): their labels (P, L) and weights (P,). All other anchors
    have label 0 for every token. attention_mask (B, >= L). known: per image, (A, L) in 0/1, what takes part; None: all.
    """
    labels = torch.zeros_like(logits)  # (B, A, L)
    labels[image, anchor_index] = positive
    padding = ~attention_mask[:, None, : logits.shape[2]].bool()  # (B, 1, L)
    per_token = focal_loss(logits, labels).masked_fill(padding, 0)  # (B, A, L)
    if any(mask is not None for mask in known):
        everything = torch.ones_like(per_token[0])
        per_token = per_token * torch.stack([everything if mask is None else mask for mask in known])
    per_anchor = per_token.sum(2)  # (B, A)
    weights = torch.ones_like(per_anchor)
    weights[image, anchor_index] = weight
    return (per_anchor * weights).sum()


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid focal loss (Lin et al. 2017), element by element."""
    probability = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    wrong = probability + labels - 2 * probability * labels  # 1 - p of the true label
    alpha = (1 - ALPHA) + (2 * ALPHA - 1) * labels
    return alpha * cross_entropy * wrong**GAMMA


def centerness_target(anchors: Tensor, boxes: Tensor) -> Tensor:
    """(P, 4) anchors inside (P, 4) boxes -> (P,), 1 at the box's centre, 0 at its border (FCOS, Tian et al. 2019)."""
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = centre - boxes[:, :2], boxes[:, 2:] - centre  # (P, 2) each: left and top, right and bottom
    ratio = torch.minimum(before, after) / torch.maximum(before, after)
    return ratio.prod(-1).clamp(min=0).sqrt()
