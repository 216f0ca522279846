"""The detector that `glip-photos` starts from, at work: its boxes of 80 categories.

As a baseline of benchmarks/photos_teacher.py, it gives them to phrases that name a category.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model.glip import Glip
from model.images import preprocess
from model.outputs import Grounding
from model.selection import Candidates, Settings, select
from recipes.glip_photos.detector import CLASSES, load_detector
from recipes.glip_photos.gold import Photo
from recipes.glip_photos.nouns import category_of, names_of

LONG = 416  # of the images, pixels: what it was trained for
STRIDES = (8, 16, 32, 64)
SETTINGS = Settings(score_floor=0.05, limit=100, limits_per_phrase=True)
Naming = Callable[[str], str | None]  # the category that a phrase names


class Detector:
    """NanoDet-Plus-m-1.5x, read in fp32."""

    def __init__(self, folder: Path, categories: list[str], naming: Naming | None = None) -> None:
        """naming: by the categories' names and their synonyms, where nothing else is given."""
        glip = Glip.from_variant("glip-photos").eval()
        self.backbone = glip.backbone
        outputs = load_detector(self.backbone.body, self.backbone.fpn, folder)
        with torch.no_grad():
            for level, weight, bias in zip(self.backbone.fpn.levels, outputs.weights, outputs.biases, strict=True):
                missing = level[2].weight.shape[0] - len(weight)
                level[2].weight.copy_(F.pad(weight, (0, 0, 0, missing))[..., None, None])
                level[2].bias.copy_(F.pad(bias, (0, missing)))
        names = names_of(categories)
        self.categories, self.naming = categories, naming or (lambda phrase: category_of(phrase, names))

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Grounding:
        """`phrase` is the index of the category."""
        pixels, (size,) = preprocess([image], LONG, LONG)
        found = [self._level(x[0], stride) for x, stride in zip(self.backbone(pixels), STRIDES, strict=False)]
        boxes, scores = (torch.cat(part) for part in zip(*found, strict=True))  # (N, 4), (N, 80)
        place, category = (scores > SETTINGS.score_floor).nonzero(as_tuple=True)
        order = scores[place, category].argsort(descending=True, stable=True)
        place, category = place[order], category[order]
        candidates = Candidates(boxes[place][None], scores[place, category][None], category[None])
        (result,) = select(candidates, [size], SETTINGS)
        ratio = result.boxes.new_tensor([image.shape[1] / size[1], image.shape[0] / size[0]] * 2)
        result.boxes = (result.boxes + result.boxes.new_tensor([0, 0, 1, 1])) * ratio
        return result

    def ground(self, images: Sequence[np.ndarray], photos: Sequence[Photo]) -> list[Grounding]:
        """Each phrase gets the boxes of the category that it names, if it names one."""
        results = []
        for image, photo in zip(images, photos, strict=True):
            found = self.detect(image)
            parts = []
            for number, phrase in enumerate(photo.phrases):
                category = self.naming(phrase.text)
                if category is None or not phrase.spans:
                    continue
                mine = found.phrase == self.categories.index(category)
                parts.append((found.boxes[mine], found.scores[mine], torch.full((int(mine.sum()),), number)))
            results.append(Grounding(*map(torch.cat, zip(*parts, strict=True))) if parts else Grounding.empty())
        return results

    def _level(self, x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """(128, h, w) -> legacy boxes (h * w, 4) and scores (h * w, 80)."""
        height, width = x.shape[1:]
        rows = x.flatten(1).t()  # (h * w, 128)
        distances = rows[:, CLASSES : CLASSES + 32].view(-1, 4, 8).softmax(-1) @ torch.arange(8.0) * stride
        centre_x = torch.arange(width).repeat(height) * stride
        centre_y = torch.arange(height).repeat_interleave(width) * stride
        left, top, right, bottom = distances.unbind(1)
        boxes = torch.stack((centre_x - left, centre_y - top, centre_x + right - 1, centre_y + bottom - 1), dim=1)
        return boxes, rows[:, :CLASSES].sigmoid()
