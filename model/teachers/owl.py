"""OWL-ViT and OWLv2: each phrase is a text of its own, and each patch of the image a box.

The score of a patch is the sigmoid of its similarity with the phrase, shifted and scaled as the patch predicts
(Minderer et al. 2022, 2023). Patches see no text, so that a phrase's scores depend on no other phrase.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from model.device import send
from model.teacher import Span, Work
from model.teachers.detector import (
    Detector,
    Phrases,
    Prediction,
    category_texts,
    phrase_texts,
    read_phrases,
    remembered,
)
from model.teachers.pixels import CLIP, Squared


class Patches(NamedTuple):
    """What the network knows of B images before it reads a phrase."""

    features: Tensor  # (B, P, D)
    boxes: Tensor  # (B, P, 4)


class OwlVit(Detector):
    images: ClassVar = {**CLIP, "size": {"height": 768, "width": 768}, "resample": 3}
    base: ClassVar = "owlvit"  # the name of the model below the heads

    def __init__(self, folder: Path, device: torch.device) -> None:
        super().__init__(folder, device)
        self.most = int(self.model.config.text_config.max_position_embeddings)  # tokens of a phrase
        self.embedding = remembered(self._embed)

    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Phrases]:
        return self._work(phrase_texts(caption, spans))

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Phrases]:
        return self._work(category_texts(categories), per_prompt)

    def _work(self, texts: Sequence[str], per_prompt: int | None = None) -> Work[Phrases]:
        found, dropped = read_phrases(texts, self.tokenizer, self.most)
        phrases, ids = list(found), list(found.values())
        step = per_prompt or max(1, len(phrases))
        starts = range(0, len(phrases), step)
        return Work([Phrases(phrases[start : start + step], ids[start : start + step]) for start in starts], dropped)

    def encode(self, pixels: Tensor) -> Patches:
        """Position embeddings are interpolated where images have another size than the network was trained with."""
        other = pixels.shape[2] != self.model.config.vision_config.image_size
        grid, _ = self.model.image_embedder(pixel_values=pixels, interpolate_pos_encoding=other)  # (B, h, w, D)
        features = grid.flatten(1, 2)
        return Patches(features, self.model.box_predictor(features, grid, interpolate_pos_encoding=other))

    def predict(self, images: Patches, rows: list[int], prompts: Sequence[Phrases]) -> Prediction:
        most = max(len(prompt.ids) for prompt in prompts)
        own = [[self.embedding(ids) for ids in prompt.ids] for prompt in prompts]
        phrases = torch.stack([torch.stack([*of, *of[:1] * (most - len(of))]) for of in own])  # (b, K, D)
        index = send(torch.tensor(rows), self.device)
        logits, _ = self.model.class_predictor(images.features[index], phrases)  # (b, P, K)
        return Prediction(images.boxes[index], logits.float().sigmoid())

    def _embed(self, ids: tuple[int, ...]) -> Tensor:
        """(D,) of one phrase, normalised."""
        tokens = send(torch.tensor([ids]), self.device)
        features = getattr(self.model, self.base).get_text_features(tokens, torch.ones_like(tokens)).pooler_output[0]
        embedding: Tensor = features / features.norm()
        return embedding


class Owlv2(OwlVit):
    images: ClassVar = {**CLIP, "size": {"height": 960, "width": 960}, "resample": 2}
    base: ClassVar = "owlv2"
    squared: ClassVar = Squared
