"""CLIP's features of phrases and crops on both sides of its projections, as GLIGEN's training data has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.device import send
from model.hub import HubError, fetch
from model.similarity.network import FAMILIES, Similarity, family_of
from model.similarity.pixels import Pixels

Corners = tuple[float, float, float, float]


class Features(NamedTuple):
    """Of N phrases or crops, float32."""

    before: NDArray[np.float32]  # (N, width of the tower): its pooled output
    after: NDArray[np.float32]  # (N, D): projected, of length 1


class Towers:
    """The two towers of a CLIP, on the GPU where there is one."""

    def __init__(self, folder: str) -> None:
        """Raises HubError for a folder that holds no CLIP."""
        checkpoint = fetch(folder).folder
        if family_of(checkpoint) is not FAMILIES["clip"]:
            raise HubError(f"{folder}: a model of another type than CLIP, whose embeddings are wanted")
        self._model = Similarity(checkpoint, device="auto")

    @torch.inference_mode()
    def of_texts(self, texts: Sequence[str]) -> Features:
        """Longer texts than CLIP reads are cut off."""
        model, network = self._model, self._model.network
        options = {"padding": True, "truncation": True, "max_length": model.longest, "return_tensors": "pt"}
        tokens = model.tokenizer(list(texts), **options)
        inputs = {name: send(tokens[name], model.device) for name in ("input_ids", "attention_mask")}  # (N, L)
        pooled = network.text_model(**inputs).pooler_output  # (N, width)
        return features(pooled, network.text_projection(pooled))

    @torch.inference_mode()
    def of_crops(self, image: Pixels, boxes: Sequence[Corners]) -> Features:
        """Boxes are x1, y1, x2, y2 in pixels of the image (H, W, 3), widened to whole ones. A crop is the box itself,
        stretched to the square that the network reads."""
        model, network = self._model, self._model.network
        crops = [model.pixels.crop(image[rows_and_columns(box)]) for box in boxes]
        pooled = network.vision_model(**model.pixels.batch(crops, model.device)).pooler_output  # (N, width)
        return features(pooled, network.visual_projection(pooled))


def rows_and_columns(box: Corners) -> tuple[slice, slice]:
    x1, y1, x2, y2 = box
    return slice(math.floor(y1), math.ceil(y2)), slice(math.floor(x1), math.ceil(x2))


def features(pooled: Tensor, projected: Tensor) -> Features:
    unit = torch.nn.functional.normalize(projected.float(), dim=-1)
    return Features(pooled.float().cpu().numpy(), unit.cpu().numpy())
