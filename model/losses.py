"""Training targets by ATSS (Zhang et al. 2020) and the three losses of grounded pre-training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from model.anchors import decode, encode, level_sizes, pairwise_iou, pyramid_anchors
from model.outputs import HeadOutput

TOP_K = 9  # nearest anchors per box and level that may become positive
ALPHA, GAMMA = 0.25, 2.0  # focal loss
REGRESSION_WEIGHT = 2.0


def assign(boxes: Tensor, padded_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which anchors are positive for which box, by ATSS.

    boxes (N, 4): legacy corners in the padded image of (h, w) = padded_size. Returns (P,) indices of anchors, counted
    over P3..P7 joined and rising, and (P,) the index of the box that each belongs to. A box may end without an anchor.
    """
    return _assign(boxes, pyramid_anchors(level_sizes(*padded_size), boxes.device))


def _assign(boxes: Tensor, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
    anchors = torch.cat(levels)  # (A, 4)
    if len(boxes) == 0:
        none = torch.zeros(0, dtype=torch.long, device=boxes.device)
        return none, none
    iou = pairwise_iou(anchors, boxes.to(anchors.dtype))  # (A, N)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2  # (A, 2)
    box_centres = (boxes[:, :2] + boxes[:, 2:]) / 2  # (N, 2)
    distance = (centres[:, None] - box_centres).square().sum(-1).sqrt()  # (A, N)
    nearest, start = [], 0
    for level in levels:
        count = min(TOP_K, len(level))
        nearest.append(distance[start : start + len(level)].topk(count, dim=0, largest=False).indices + start)
        start += len(level)
    candidates = torch.cat(nearest)  # (K, N) anchor indices
    overlap = iou.gather(0, candidates)  # (K, N)
    threshold = overlap.mean(0) + overlap.std(0)
    centre = centres[candidates]  # (K, N, 2)
    margin = torch.cat((centre - boxes[:, :2], boxes[:, 2:] - centre), dim=-1).amin(-1)  # (K, N), to the nearest side
    positive = (overlap >= threshold) & (margin > 0.01)
    claimed = torch.full_like(iou, -1.0)
    rows, columns = positive.nonzero(as_tuple=True)
    claimed[candidates[rows, columns], columns] = overlap[rows, columns]
    best, owner = claimed.max(dim=1)  # an anchor of several boxes goes to the one it overlaps most
    index = (best >= 0).nonzero()[:, 0]
    return index, owner[index]


def head_losses(
    outputs: Sequence[HeadOutput],
    boxes: Sequence[Tensor],
    token_labels: Sequence[Tensor],
    attention_mask: Tensor,
    average=None,
) -> dict[str, Tensor]:
    """The weighted losses of a batch: `loss_dot_product_token`, `loss_reg` and `loss_centerness`.

    boxes: per image, (N, 4) legacy corners in the padded image. token_labels: per image, (N, 256) in 0/1, the tokens of
    each box's phrase. attention_mask (B, 256): only real tokens take part, the special ones included. average: applied
    to the (2,) normalisers (positive anchors, sum of centerness targets); a mean over the processes of a training.
    """
    sizes = [tuple(output.centerness.shape[-2:]) for output in outputs]
    levels = pyramid_anchors(sizes, outputs[0].centerness.device)
    anchors = torch.cat(levels)  # (A, 4)
    logits = torch.cat([output.token_logits for output in outputs], dim=1).float()  # (B, A, L)
    regression = torch.cat([output.box_regression.flatten(2) for output in outputs], dim=2).float()  # (B, 4, A)
    centerness = torch.cat([output.centerness.flatten(1) for output in outputs], dim=1).float()  # (B, A)
    length = logits.shape[2]

    labels = torch.zeros_like(logits)  # (B, A, L)
    images, places, targets = [], [], []
    for image, own in enumerate(boxes):
        own = own.to(anchors)
        index, owner = _assign(own, levels)
        labels[image, index] = token_labels[image].to(labels)[owner][:, :length]
        images.append(torch.full_like(index, image))
        places.append(index)
        targets.append(own[owner])
    image, place, target = torch.cat(images), torch.cat(places), torch.cat(targets)  # (P,), (P,), (P, 4)

    anchor = anchors[place]
    target = decode(encode(target, anchor), anchor)  # as published: the target goes through the coder and back
    quality = centerness_target(anchor, target)  # (P,)
    normalisers = torch.stack((logits.new_tensor(float(len(place))), quality.sum()))
    if average is not None:
        normalisers = average(normalisers)
    positives, total_quality = normalisers[0].clamp(min=1), normalisers[1].clamp(min=1e-6)

    predicted = decode(regression[image, :, place], anchor)  # (P, 4)
    real = attention_mask[:, :length].to(logits)  # (B, L)
    token_loss = focal_loss(logits, labels).sum(1) * real  # (B, L)
    reg_loss = (giou_loss(predicted, target) * quality).sum()
    center_loss = F.binary_cross_entropy_with_logits(centerness[image, place], quality, reduction="sum")
    return {
        "loss_dot_product_token": token_loss.sum() / positives,
        "loss_reg": REGRESSION_WEIGHT * reg_loss / total_quality,
        "loss_centerness": center_loss / positives,
    }


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid focal loss (Lin et al. 2017), element by element."""
    probability = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    wrong = probability + labels - 2 * probability * labels  # 1 - p of the true label
    alpha = (1 - ALPHA) + (2 * ALPHA - 1) * labels
    return alpha * cross_entropy * wrong**GAMMA


def centerness_target(anchors: Tensor, boxes: Tensor) -> Tensor:
    """(P, 4) anchors inside (P, 4) boxes -> (P,), 1 at the box's centre and 0 at its border (Tian et al. 2019, FCOS)."""
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = centre - boxes[:, :2], boxes[:, 2:] - centre  # (P, 2) each: left and top, right and bottom
    ratio = torch.minimum(before, after) / torch.maximum(before, after)
    return ratio.prod(-1).clamp(min=0).sqrt()


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al. 2019) of (P, 4) and (P, 4), without the +1 of legacy boxes."""
    corner1, corner2 = boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2])
    area = (corner2 - corner1).prod(-1)
    target_area = (targets[:, 2:] - targets[:, :2]).prod(-1)
    inner = torch.minimum(corner2, targets[:, 2:]) - torch.maximum(corner1, targets[:, :2])  # (P, 2)
    overlap = inner.clamp(min=0).prod(-1)
    union = area + target_area - overlap + 1e-7
    hull = (torch.maximum(corner2, targets[:, 2:]) - torch.minimum(corner1, targets[:, :2])).prod(-1) + 1e-7
    return 1 - overlap / union + (hull - union) / hull
