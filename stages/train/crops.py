"""Crop pre-training, a start for a backbone without pretrained weights: it names objects of gold images from crops.

GLIP starts from a Swin that knows ImageNet. A small model of our own has no such start, and grounding is a slow teacher
of what things look like: one image gives it three boxes and a thousand positions without one. A crop a fifth of the
image's size, named by softmax over all categories, teaches the backbone and the feature pyramid the same nouns at a
fraction of the cost; only categories and boxes of the gold set are used. The classifier is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from model.glip import Glip
from model.images import normalise, resize_image, resized_size
from stages.geometry import box_array
from stages.images import open_rgb
from stages.stage import RowError, UserError
from stages.train.optimizer import rate_factor, set_rates
from stages.train.samples import TrainingSample
from stages.train.sets import SampleSet
from stages.train.skips import Skips, word
from stages.train.transforms import inside

SIDE = 96  # pixels of a crop, after the image was resized for the network
JITTER = 8  # pixels that an object's centre may lie off the crop's
BATCH = 48
LEVELS = 3  # P3..P5, which see objects of a crop's size


@dataclass(frozen=True)
class Crop:
    pixels: NDArray[np.uint8]  # (SIDE, SIDE, 3)
    category: int


class Namer(nn.Module):
    """The middle of each pyramid level of a crop, to a category."""

    def __init__(self, glip: Glip, categories: int) -> None:
        super().__init__()
        self.backbone = glip.backbone
        self.linear = nn.Linear(LEVELS * glip.variant.channels, categories)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, SIDE, SIDE) -> logits (B, categories)."""
        middles = []
        for level, x in enumerate(self.backbone(pixels)[:LEVELS]):  # (B, C, SIDE / stride, SIDE / stride)
            half = x.shape[-1] / 2
            low, high = int(half - max(1, 2 - level)), int(np.ceil(half + max(1, 2 - level)))
            middles.append(x[:, :, low:high, low:high].mean((2, 3)))  # (B, C)
        logits: Tensor = self.linear(torch.cat(middles, dim=1))
        return logits


def pretrain_backbone(
    glip: Glip,
    gold: SampleSet,
    steps: int,
    lr: float,
    seed: int,
    max_pixels: int,
    progress: Callable[[int, float], None],
    max_skipped: float,
) -> float:
    """Trains `glip.backbone` in place on crops of `gold`; returns the share of crops named right in the last steps.

    Raises UserError where no image of `gold` shows an object, TooManySkipped where too many cannot be read.
    """
    names = gold.vocabulary()
    number = {name: i for i, name in enumerate(names)}
    sides = (glip.variant.short, glip.variant.long)
    torch.manual_seed(seed)  # of the classifier's first weights and of the dropouts
    model = Namer(glip, len(names)).to(glip.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=1e-2)
    for group in optimizer.param_groups:
        group["base_lr"] = lr
    crops = CropStream(gold, number, sides, seed, max_pixels, Skips(max_skipped))
    right: list[float] = []
    for step in range(steps):
        set_rates(optimizer, rate_factor(step, steps, 50, "cosine"))
        batch = crops.take(BATCH)
        pixels = normalise(torch.from_numpy(np.stack([crop.pixels for crop in batch])), [(SIDE, SIDE)] * BATCH)
        target = torch.tensor([crop.category for crop in batch], device=glip.device)
        logits = model(pixels.to(glip.device))
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        right = [*right[-49:], float((logits.argmax(1) == target).float().mean())]
        if (step + 1) % 50 == 0:
            progress(step + 1, float(np.mean(right)))
    return float(np.mean(right))


class CropStream:
    """Crops around every object of the gold images, in a seeded order, endlessly.

    Raises UserError after an epoch without a crop, TooManySkipped where too many images cannot be read.
    """

    def __init__(
        self,
        gold: SampleSet,
        number: dict[str, int],
        sides: tuple[int, int],
        seed: int,
        max_pixels: int,
        skips: Skips,
    ) -> None:
        self.gold, self.number, self.sides, self.seed, self.max_pixels = gold, number, sides, seed, max_pixels
        self.epoch = 0
        self.order: list[int] = []
        self.waiting: list[Crop] = []
        self.fruitful = False  # whether an image of this epoch gave a crop
        self.skips, self.seen = skips, 0  # images

    def take(self, count: int) -> list[Crop]:
        while len(self.waiting) < 4 * count:  # a pool to draw from, so that crops of one image are spread
            crops = self._image(self._next())
            self.fruitful = self.fruitful or bool(crops)
            self.waiting += crops
        chosen, self.waiting = self.waiting[:count], self.waiting[count:]
        return chosen

    def _next(self) -> int:
        if not self.order:
            if self.epoch and not self.fruitful:
                why = f"; the first error was {self.skips.first[0]}" if self.skips.count else ""
                raise UserError(f"train.crop_steps: no gold image can be read and shows an object{why}")
            self.fruitful = False
            once = np.ones(len(self.gold), dtype=np.int64)
            self.order = self.gold.order(once, self.seed, 99, self.epoch).tolist()[::-1]
            self.epoch += 1
        return self.order.pop()

    def _image(self, index: int) -> list[Crop]:
        self.seen += 1
        try:
            sample = self.gold.sample(index)
            image = open_rgb(sample.image, self.max_pixels)
        except RowError as error:
            self.skips.add([word(f"sample {index}", error)])
            self.skips.check(self.seen)
            return []
        rng = np.random.default_rng([self.seed, 4, self.epoch, index])
        size = resized_size((image.height, image.width), self.sides)
        ratio = size[0] / image.height
        framed = np.pad(np.asarray(resize_image(image, size)), ((SIDE, SIDE), (SIDE, SIDE), (0, 0)))
        objects = inside(self._objects(sample), image)
        crops = []
        for (x1, y1, x2, y2), category in zip(objects.boxes.tolist(), objects.phrase.tolist(), strict=True):
            centre = np.minimum(np.array([(x1 + x2) / 2, (y1 + y2) / 2]) * ratio, size[::-1])  # (x, y)
            centre += rng.uniform(-JITTER, JITTER, 2)
            left, top = (centre + SIDE / 2).astype(int)  # in the frame
            pixels = framed[top : top + SIDE, left : left + SIDE]
            crops.append(Crop(pixels[:, ::-1] if rng.random() < 0.5 else pixels, category))
        return [crops[i] for i in rng.permutation(len(crops))]

    def _objects(self, sample: TrainingSample) -> TrainingSample:
        """The sample with the boxes of all its objects; `phrase` is their category."""
        return replace(
            sample,
            boxes=box_array([box for _, box in sample.objects]),
            phrase=np.asarray([self.number[name] for name, _ in sample.objects], dtype=np.int64),
            scores=np.ones(len(sample.objects), dtype=np.float32),
        )
