"""GLIP: images and captions to boxes for the captions' phrases (Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model import inference
from model.backbone import Backbone
from model.checkpoint import load_official, packaged_weights, read_weights, write_weights
from model.head import Rpn
from model.images import preprocess, resize, resized_size, stack
from model.initial import initialise
from model.language import LanguageBackbone
from model.losses import head_losses
from model.outputs import Grounding, HeadOutput
from model.prompt import MAX_TOKENS, Span, caption_prompts, category_prompts, pad, truncated
from model.variants import NONE, Regularisation, Variant, get_variant

__all__ = ["Glip", "Grounding", "preprocess"]

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Glip(nn.Module):
    """The model. Modules carry the names of official checkpoints, so `state_dict()` is in the official layout."""

    def __init__(self, variant: Variant, regularisation: Regularisation = NONE) -> None:
        super().__init__()
        self.variant = variant
        self.precision = "fp32"  # or "bf16", "fp16": what the network computes in
        self.batch_size = 8  # images in a batch of `ground` and `detect`
        self.batches: list[list[int]] = []  # of the last such call: the images of each batch, as they were run
        self.backbone = Backbone(variant, regularisation)
        self.language_backbone = LanguageBackbone(variant.text, regularisation.text_dropout)
        self.rpn = Rpn(variant, regularisation)

    # -- making one ---------------------------------------------------------------------------------------------------

    @classmethod
    def from_variant(cls, name: str, seed: int = 0, regularisation: Regularisation = NONE) -> Glip:
        """Fresh weights, the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(get_variant(name), regularisation)
            initialise(model)
        return model

    @classmethod
    def from_official(cls, name: str, state: Mapping[str, Tensor], regularisation: Regularisation = NONE) -> Glip:
        """The variant with a state dict in the official key layout (with or without `module.`), copied, in eval mode.

        Raises WeightsError that names the first missing, unexpected or misshapen keys.
        """
        with torch.device("meta"):
            model = cls(get_variant(name), regularisation)
        model.to_empty(device="cpu")
        load_official(model, state)
        return model.eval()

    @classmethod
    def from_file(cls, name: str, path: str | Path, regularisation: Regularisation = NONE) -> Glip:
        """The variant with the weights of a `.safetensors` or `.pth` file, in eval mode."""
        return cls.from_official(name, read_weights(path), regularisation)

    @classmethod
    def pretrained(cls, name: str = "glip-nano") -> Glip:
        """The variant with the weights that ship in the package, in eval mode."""
        return cls.from_file(name, packaged_weights(name))

    def save(self, path: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes the weights as safetensors, in `dtype` where one is given."""
        write_weights(self.state_dict(), path, dtype)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    # -- the network --------------------------------------------------------------------------------------------------

    def head_outputs(self, pixels: Tensor, input_ids: Tensor, attention_mask: Tensor) -> list[HeadOutput]:
        """pixels (B, 3, H, W) as `preprocess` makes them, input_ids and attention_mask (B, 256) -> outputs of P3..P7.

        Tokens after the longest caption of the batch are cut first: they change nothing, so token_logits has L <= 256.
        """
        with self.autocast():
            return self.head_from(self.backbone(pixels), input_ids, attention_mask)

    forward = head_outputs

    def head_from(self, maps: list[Tensor], input_ids: Tensor, attention_mask: Tensor) -> list[HeadOutput]:
        """As `head_outputs`, from the backbone's maps [P3 .. P7], each (B, channels, h, w)."""
        length = int(attention_mask.any(0).nonzero().max()) + 1
        input_ids, attention_mask = input_ids[:, :length].long(), attention_mask[:, :length]
        states = self.language_backbone(input_ids, attention_mask)  # (B, L, hidden)
        return self.rpn.head(maps, states, attention_mask)

    def autocast(self) -> torch.autocast:
        """The context of the chosen precision."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    # -- what it is for -----------------------------------------------------------------------------------------------

    def ground(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[str],
        spans: Sequence[Sequence[Sequence[Span]]],
        score_floor: float = 0.05,
        resize_to: tuple[int, int] | str | None = "variant",
    ) -> list[Grounding]:
        """Boxes for the phrases of each image's caption, at or above score_floor.

        images: uint8 RGB arrays (H, W, 3) of any sizes; spans: per caption, a list of phrases, each a list of
        [start, end) character spans. Boxes are half-open, in the pixels of the given image. resize_to: (short, long)
        side, the variant's own by default, None for no resizing. Results do not depend on which images share the call.
        """
        prompts = [caption_prompts(caption, own) for caption, own in zip(captions, spans, strict=True)]
        return inference.run(self, images, prompts, score_floor, self._sides(resize_to))

    def detect(
        self,
        images: Sequence[np.ndarray],
        categories: Sequence[str],
        score_floor: float = 0.05,
        per_prompt: int | None = None,
        resize_to: tuple[int, int] | str | None = "variant",
    ) -> list[Grounding]:
        """Boxes of any number of categories; `phrase` is the index of the category.

        The prompt is split where it would not fit the text encoder, or after per_prompt names. Otherwise as `ground`.
        """
        prompts = category_prompts(categories, per_prompt)
        return inference.run(self, images, [prompts] * len(images), score_floor, self._sides(resize_to))

    def losses(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[str],
        spans: Sequence[Sequence[Sequence[Span]]],
        targets: Sequence[Any],
        resize_to: tuple[int, int] | str | None = "variant",
        average: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The weighted training losses of a batch: loss_dot_product_token, loss_reg, loss_centerness.

        images, captions, spans as for `ground`. targets: per image, `boxes` (N, 4), half-open in the pixels of the
        given image, and `phrase` (N,), as a mapping or as attributes. A phrase past the 256th token leaves its box
        without positive tokens. average: see `head_losses`.
        """
        sides = self._sides(resize_to)
        resized = [resize(image, resized_size(*image.shape[:2], *sides)) for image in images]
        ids, positions = zip(*(truncated(caption, own) for caption, own in zip(captions, spans, strict=True)))
        input_ids, attention_mask = pad(ids, self.device)
        outputs = self.head_outputs(stack(resized, self.device), input_ids, attention_mask)
        boxes, labels = [], []
        for image, small, own, target in zip(images, resized, positions, targets, strict=True):
            given, phrase = _target(target)
            boxes.append(to_legacy(given, image.shape[:2], small.shape[:2]).to(self.device))
            labels.append(token_labels(own, phrase).to(self.device))
        return head_losses(outputs, boxes, labels, attention_mask, average)

    def _sides(self, resize_to: tuple[int, int] | str | None) -> tuple[int | None, int | None]:
        if resize_to == "variant":
            return self.variant.short, self.variant.long
        return (None, None) if resize_to is None else resize_to


def _target(target: Any) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) float32 and phrases (N,) int64 of one image's target."""
    pair = (target["boxes"], target["phrase"]) if isinstance(target, Mapping) else (target.boxes, target.phrase)
    return torch.as_tensor(pair[0]).float().reshape(-1, 4), torch.as_tensor(pair[1]).long().reshape(-1)


def token_labels(positions: Sequence[Sequence[int]], phrase: Tensor) -> Tensor:
    """Token positions of each phrase, phrase (N,) of each box -> (N, 256) in 0/1."""
    rows = torch.zeros(len(positions), MAX_TOKENS)
    for row, own in zip(rows, positions):
        row[list(own)] = 1
    return rows[phrase] if len(positions) else rows.new_zeros(len(phrase), MAX_TOKENS)


def to_legacy(boxes: Tensor, size: tuple[int, int], resized: tuple[int, int]) -> Tensor:
    """Half-open boxes (N, 4) in an image of (H, W) -> inclusive corners in its resized (h, w)."""
    ratio = boxes.new_tensor([resized[1] / size[1], resized[0] / size[0]] * 2)
    return boxes * ratio - boxes.new_tensor([0, 0, 1, 1])
