"""Grounding DINO and MM-Grounding-DINO, which LLMDet is built as: the caption is the prompt, and a phrase is a span.

Grounding DINO (Liu et al. 2023) reads text in blocks that end with a full stop or a question mark; a token attends to
those of its own block. The score of a phrase is the mean probability of its tokens, as in the authors' demo for given
phrases (`inference_on_a_image.py`) and in mmdetection, where LLMDet was made.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from tokenizers import Encoding
from torch import Tensor, nn

from model.checkpoint import WeightsError
from model.images import Size
from model.postprocess import phrase_weights
from model.prompt import Prompt, Reader, caption_prompts, category_prompts, pad
from model.teacher import Span, Work
from model.teachers.detector import Detector, Prediction, enough_positions
from model.teachers.pixels import IMAGENET

STOP = 1012  # "." in BERT's vocabulary, one of four tokens that the model knows by their numbers
SHORT = 32  # tokens; longer texts are batched by the next power of two


class GroundingDino(Detector):
    images: ClassVar = {**IMAGENET, "size": {"shortest_edge": 800, "longest_edge": 1333}, "resample": 2}

    def __init__(self, folder: Path, device: torch.device) -> None:
        super().__init__(folder, device)
        if (stop := self.tokenizer(".").ids[1:-1]) != [STOP]:
            raise WeightsError(f"{folder}: a full stop is {stop} in its vocabulary; Grounding DINO knows it as {STOP}")
        self.reader = Reader(self._read, self.model.config.max_text_len, end=(STOP,))
        backbone = self.model.model.backbone
        backbone.conv_encoder = Remembering(backbone.conv_encoder)

    def _read(self, text: str) -> Encoding:
        return self.tokenizer(lower(text))

    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Prompt]:
        """The caption ends with a full stop of our own. Without a delimiter, the model would lose the attention within
        the last block, but only where the text is not padded."""
        return caption_prompts(caption, spans, self.reader)

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Prompt]:
        return category_prompts(categories, per_prompt, self.reader)

    def bucket(self, prompts: Sequence[Prompt]) -> Hashable:
        return max(SHORT, 1 << (len(prompts[0].ids) - 1).bit_length())

    def fits(self, size: Size) -> bool:
        return enough_positions(self.model.config, size)

    def predict(self, images: Tensor, rows: list[int], prompts: Sequence[Prompt]) -> Prediction:
        pixels = images if len(rows) == len(images) else images[rows]
        ids, mask = pad([prompt.ids for prompt in prompts], self.device)
        found = self.model(
            pixel_values=pixels,
            pixel_mask=torch.ones_like(pixels[:, 0], dtype=torch.long),  # all images of a batch have one size
            input_ids=ids,
            token_type_ids=torch.zeros_like(ids),
            attention_mask=mask,
        )
        weights = phrase_weights([prompt.tokens for prompt in prompts], ids.shape[1]).to(self.device)  # (b, L, K)
        tokens = found.logits[..., : ids.shape[1]].float().sigmoid()  # (b, Q, L)
        with torch.autocast(self.device.type, enabled=False):
            return Prediction(found.pred_boxes, tokens @ weights)


class Remembering(nn.Module):
    """A visual backbone that sees the images of a batch once, however many prompts are to come."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self._of: Tensor | None = None
        self._maps: Any = None

    def forward(self, pixels: Tensor, mask: Tensor) -> Any:
        if self._of is not pixels:
            self._of, self._maps = pixels, self.backbone(pixels, mask)
        return self._maps


def lower(text: str) -> str:
    """Lower case, each character where it was: one whose lower case is longer stays."""
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)
