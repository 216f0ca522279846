"""What the head of `glip-photos` begins with: vectors of categories and of nouns, and a box regression, by regression.

The features are those of a frozen backbone, so the best linear reading of them is found at once, without a gradient:
ridge regression from a position's features to what the detector says of it (its 80 logits, its box), and to whether
people have said that a noun's thing is there. A class or a noun is in few places: those weigh as much as all others
together, lest its vector shrink to nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.anchors import encode, level_anchors, pyramid_anchors
from model.glip import Glip
from model.losses import centerness_target, match
from model.prompt import pad
from recipes.glip_photos.detector import CLASSES, Outputs

STRIDES = (8, 16, 32, 64)  # of the detector's levels
SHOWN = 0.1  # a position that the detector gives a class this probability counts in full, any other one in BACKGROUND
BACKGROUND = 0.03
SURE = 0.3  # and a box of such a position is fitted
FEATURES = 129  # channels of the head, and 1
RIDGE = 1e-3
NOUN_RIDGE = 1e-2  # nouns have fewer rows
LEAST = 8  # boxes of a noun that gets a vector
NAMED, UNNAMED = 1.0, -5.0  # logit of a token at what it names, and anywhere else


class Pixels(NamedTuple):
    """A batch of photos, and what people have said of them, if anything."""

    pixels: Tensor  # (B, 3, H, W)
    boxes: list[Tensor]  # (N, 4) legacy corners in the padded image, per photo
    nouns: list[list[str]]  # of each box


class Fit(NamedTuple):
    """Vectors have 129 numbers, the bias last."""

    classes: Tensor  # (80, 129)
    nouns: dict[str, Tensor]  # (129,) each
    moments: Tensor  # (129, 129), second moments of the features that they are for


class Sums:
    """What a weighted linear regression from features (129) to some outputs needs to know of its rows."""

    def __init__(self, outputs: int) -> None:
        self.moments, self.products = torch.zeros(FEATURES, FEATURES), torch.zeros(FEATURES, outputs)

    def add(self, rows: Tensor, targets: Tensor, weight: Tensor) -> None:
        """rows (N, 129), targets (N, outputs), weight (N,)."""
        weighted = (rows * weight[:, None]).t()
        self.moments += weighted @ rows
        self.products += weighted @ targets

    def column(self, number: int) -> Sums:
        """For one of the outputs."""
        one = Sums(1)
        one.moments, one.products = self.moments.clone(), self.products[:, number : number + 1].clone()
        return one

    def beside(self, other: Sums) -> Sums:
        """With other rows, which weigh as much as all of these together."""
        factor = self.moments[-1, -1] / other.moments[-1, -1].clamp(min=1e-6)
        self.moments += other.moments * factor
        self.products += other.products * factor
        return self

    def solve(self, ridge: float) -> Tensor:
        """The ridge regression, (outputs, 129)."""
        penalty = ridge * self.moments.diagonal().mean() * torch.eye(FEATURES)
        return torch.linalg.solve((self.moments + penalty).double(), self.products.double()).float().t()


class Fitter:
    """Collects the sums of all regressions, batch by batch."""

    def __init__(self, glip: Glip, outputs: Outputs) -> None:
        self.glip, self.outputs = glip, outputs
        self.everywhere, self.boxes, self.centerness = Sums(CLASSES), Sums(4), Sums(1)
        self.classes = [Sums(1) for _ in range(CLASSES)]
        self.elsewhere = Sums(1)  # all positions of photos with nouns, as if they had none
        self.nouns: dict[str, Sums] = defaultdict(lambda: Sums(1))
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, batch: Pixels) -> None:
        head, last = self.glip.rpn.head, [level[2] for level in self.glip.backbone.fpn.levels]
        ids, mask = pad([[101, 102]] * len(batch.pixels))  # the text has no part in the features yet
        with inputs_of(last) as inputs, inputs_of([head.bbox_pred]) as features:
            self.glip.head_outputs(batch.pixels, ids, mask)
        for number, (x, seen) in enumerate(zip(inputs, features, strict=False)):
            self._add_level(number, x, seen)
        if any(len(boxes) for boxes in batch.boxes):
            self._add_nouns(batch, features)

    def _add_level(self, number: int, x: Tensor, seen: Tensor) -> None:
        """The detector's opinion: x (B, 128, h, w), what its predictions are made from; seen, what ours are."""
        predicted = F.linear(positions(x), self.outputs.weights[number], self.outputs.biases[number])  # (rows, 112)
        logits = predicted[:, :CLASSES].clamp(-6, 4)
        best, likeliest = logits.sigmoid().max(1)
        rows = with_one(positions(seen))  # (B * h * w, 129)
        self.everywhere.add(rows, logits, torch.where(best > SHOWN, 1.0, BACKGROUND))
        for one in likeliest[best > SHOWN].unique().tolist():
            here = (likeliest == one) & (best > SHOWN)
            self.classes[one].add(rows[here], logits[here, one : one + 1], best[here])
        sure = best > SURE
        targets = box_targets(predicted[:, CLASSES:], seen.shape, STRIDES[number])
        self.boxes.add(rows[sure], targets[sure], best[sure])

    def _add_nouns(self, batch: Pixels, features: list[Tensor]) -> None:
        """People's opinion, at the anchors that training would assign to their boxes."""
        levels = pyramid_anchors([(x.shape[2], x.shape[3]) for x in features])
        rows = torch.cat([with_one(x.flatten(2).transpose(1, 2)) for x in features], dim=1)  # (B, A, 129)
        image, anchor, box = match(batch.boxes, levels)
        joined = torch.cat(batch.boxes)  # (N, 4)
        names = [noun for own in batch.nouns for noun in own]
        found = rows[image, anchor]  # (P, 129)
        every = torch.ones(len(box))
        anchors = torch.cat(levels)[anchor]  # (P, 4)
        self.boxes.add(found, encode(joined[box], anchors), every)
        quality = centerness_target(anchors, joined[box]).clamp(0.05, 0.95)  # (P,)
        self.centerness.add(found, quality.logit()[:, None], every)
        weight = torch.full(rows.shape[:2], BACKGROUND)
        weight[image, anchor] = 1.0
        flat = rows.flatten(0, 1)
        self.elsewhere.add(flat, flat.new_full((len(flat), 1), UNNAMED), weight.flatten())
        for number, noun in enumerate(names):
            mine = found[box == number]
            if len(mine) and noun:
                self.counts[noun] += 1
                self.nouns[noun].add(mine, mine.new_full((len(mine), 1), NAMED), torch.ones(len(mine)))

    def solve(self) -> Fit:
        """The vectors; box regression and centerness go into the head."""
        classes = [self.everywhere.column(one).beside(own).solve(RIDGE) for one, own in enumerate(self.classes)]
        nouns = {
            noun: self.elsewhere.column(0).beside(own).solve(NOUN_RIDGE)[0]
            for noun, own in self.nouns.items()
            if self.counts[noun] >= LEAST
        }
        head = self.glip.rpn.head
        for conv, sums in ((head.bbox_pred, self.boxes), (head.centerness, self.centerness)):
            found = sums.solve(RIDGE)
            conv.weight.copy_(found[:, :-1, None, None])
            conv.bias.copy_(found[:, -1])
        moments = self.everywhere.moments / self.everywhere.moments[-1, -1]
        return Fit(torch.cat(classes), nouns, moments)


def with_one(x: Tensor) -> Tensor:
    """(..., 128) -> (..., 129)."""
    return F.pad(x, (0, 1), value=1.0)


def positions(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B * h * w, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


@contextmanager
def inputs_of(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """What these modules are given while it is open, call by call."""
    found: list[Tensor] = []
    hooks = [module.register_forward_pre_hook(lambda _, args: found.append(args[0])) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def box_targets(bins: Tensor, shape: torch.Size, stride: int) -> Tensor:
    """The detector's boxes from its bins (B * h * w, 32), as regressions of the anchors at the same positions."""
    batch, _, height, width = shape
    distances = bins.view(-1, 4, 8).softmax(-1) @ torch.arange(8.0) * stride  # left, top, right, bottom
    x = torch.arange(width).repeat(batch * height) * stride
    y = torch.arange(height).repeat_interleave(width).repeat(batch) * stride
    left, top, right, bottom = distances.unbind(1)
    boxes = torch.stack((x - left, y - top, x + right - 1, y + bottom - 1), dim=1)
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return encode(boxes, level_anchors(height, width, stride).repeat(batch, 1))
