"""CLIP's features of phrases and of crops on both sides of its projections, as GLIGEN's training data has them.

A crop is the box itself, stretched to the square that the network takes: CLIP's own preprocessing would cut off its
ends. Needs the package transformers, and a checkpoint in its layout, e.g. of openai/clip-vit-large-patch14.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from model.device import forbid_tf32, resolve_device
from model.hub import HubError, fetch, read_json
from model.pretrained import library, open_network

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's training images
STD = (0.26862954, 0.26130258, 0.27577711)

Corners = tuple[float, float, float, float]


class Features(NamedTuple):
    """Of N phrases or crops, float32."""

    before: NDArray[np.float32]  # (N, width of the tower): its pooled output
    after: NDArray[np.float32]  # (N, D): projected, of norm 1


class ClipFeatures:
    """A CLIP on the GPU where there is one, else on the CPU. Raises HubError for a folder that holds none."""

    def __init__(self, folder: str) -> None:
        checkpoint = fetch(folder).folder
        if read_json(checkpoint / "config.json").get("model_type") != "clip":
            raise HubError(f"{folder}: a checkpoint of another model than CLIP")
        forbid_tf32()
        self.device = torch.device(resolve_device("auto"))
        self.model: Any = open_network(checkpoint, "CLIPModel").to(self.device)
        try:
            self.tokenizer: Any = library(checkpoint).AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        except (OSError, ValueError) as error:
            raise HubError(f"{folder}: the tokenizer cannot be opened ({error})".replace("\n", " ")) from error
        self.side: int = self.model.config.vision_config.image_size

    @torch.no_grad()
    def of_texts(self, texts: Sequence[str]) -> Features:
        """Longer texts than CLIP reads are cut off."""
        length = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
        ids, mask = tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device)  # (N, L)
        pooled = self.model.text_model(input_ids=ids, attention_mask=mask).pooler_output  # (N, width)
        return features(pooled, self.model.text_projection(pooled))

    @torch.no_grad()
    def of_crops(self, image: Image.Image, boxes: Sequence[Corners]) -> Features:
        """Boxes are x1, y1, x2, y2 in pixels of the RGB image; each is widened to whole pixels."""
        pixels = torch.stack([self._crop(image, box) for box in boxes]).to(self.device)  # (N, 3, side, side)
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output  # (N, width)
        return features(pooled, self.model.visual_projection(pooled))

    def _crop(self, image: Image.Image, box: Corners) -> Tensor:
        x1, y1, x2, y2 = box
        whole = (math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2))
        crop = image.crop(whole).resize((self.side, self.side), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1) / 255.0  # (3, side, side)
        return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def features(pooled: Tensor, projected: Tensor) -> Features:
    return Features(pooled.float().cpu().numpy(), F.normalize(projected.float(), dim=-1).cpu().numpy())
