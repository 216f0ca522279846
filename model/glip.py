"""GLIP: images and captions to boxes for the captions' phrases (Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.anchors import level_sizes, pyramid_anchors
from model.checkpoint import load_official, packaged_weights, read_weights, write_weights
from model.contrastive import RegionWordContrast
from model.device import send
from model.grounding import GlipGrounder
from model.images import Sides, normalise, padded_size, preprocess, resize, resized_size, stack
from model.initial import initialise
from model.losses import head_losses, match, normalisers
from model.network import GlipNetwork
from model.outputs import Grounding
from model.prompt import pad, truncated
from model.scheduler import Request, Scheduler
from model.targets import batch_targets
from model.teacher import Span
from model.variants import NONE, Regularisation, Variant, get_variant

__all__ = ["Glip", "Grounding", "Request", "preprocess"]

ResizeTo = tuple[int, int] | Literal["variant"] | None  # (short, long) side, the variant's own, or no resizing


class Glip(GlipNetwork):
    """The network with what it is for: grounding, detection, and the losses that train it."""

    def __init__(self, variant: Variant, regularisation: Regularisation = NONE) -> None:
        super().__init__(variant, regularisation)
        self.batch_size = 8  # images in a batch of `ground`, `detect` and `stream`

    # Making one

    @classmethod
    def from_variant(cls, name: str, seed: int = 0, regularisation: Regularisation = NONE) -> Glip:
        """Fresh weights, the same for the same seed, in train mode."""
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
        with torch.device("meta"):  # no time for initial values that are overwritten
            model = cls(get_variant(name), regularisation)
        model.to_empty(device="cpu")
        load_official(model, state)
        return model.eval()

    @classmethod
    def from_file(cls, name: str, path: str | Path, regularisation: Regularisation = NONE) -> Glip:
        """The variant with the weights of a `.safetensors` or `.pth` file, in eval mode. Raises WeightsError."""
        return cls.from_official(name, read_weights(path), regularisation)

    @classmethod
    def pretrained(cls, name: str = "glip-nano") -> Glip:
        """The variant with the weights in the package, in eval mode. Raises FileNotFoundError where there are none."""
        return cls.from_file(name, packaged_weights(name))

    def save(self, path: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes the weights as safetensors, in `dtype` where one is given."""
        write_weights(self.state_dict(), path, dtype)

    # What it is for

    def ground(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[str],
        spans: Sequence[Sequence[Sequence[Span]]],
        score_floor: float = 0.05,
        resize_to: ResizeTo = "variant",
    ) -> list[Grounding]:
        """Boxes for the phrases of each image's caption, at or above score_floor.

        images: uint8 RGB arrays (H, W, 3) of any sizes; spans: per caption, a list of phrases, each a list of
        [start, end) character spans. Boxes are half-open, in the pixels of the given image. Results do not depend on
        which images share the call. resize_to: (short, long) side, None for no resizing.
        """
        with evaluating(self):
            return self._scheduler(resize_to).ground(images, captions, spans, score_floor)

    def detect(
        self,
        images: Sequence[np.ndarray],
        categories: Sequence[str],
        score_floor: float = 0.05,
        per_prompt: int | None = None,
        resize_to: ResizeTo = "variant",
    ) -> list[Grounding]:
        """Boxes of any number of categories; `phrase` is the index of the category.

        The prompt is split where it would not fit the text encoder, or after per_prompt names. Otherwise as `ground`.
        """
        with evaluating(self):
            return self._scheduler(resize_to).detect(images, categories, score_floor, per_prompt)

    def stream(
        self,
        requests: Iterable[Request],
        score_floor: float = 0.05,
        hold: int | None = None,
        resize_to: ResizeTo = "variant",
    ) -> Iterator[tuple[int, Grounding]]:
        """As `ground`, for any number of images in little memory; see `Scheduler.stream`."""
        with evaluating(self):
            yield from self._scheduler(resize_to).stream(requests, score_floor, hold)

    def _scheduler(self, resize_to: ResizeTo) -> Scheduler:
        return Scheduler(GlipGrounder(self, self._sides(resize_to)), self.batch_size)

    def losses(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[str],
        spans: Sequence[Sequence[Sequence[Span]]],
        targets: Sequence[Any],
        resize_to: ResizeTo = "variant",
        average: Callable[[Tensor], Tensor] | None = None,
        phrase_softmax: bool = False,
        contrast: RegionWordContrast | None = None,
        pad_to: tuple[int, int] = (0, 0),
    ) -> dict[str, Tensor]:
        """The weighted training losses of a batch: loss_dot_product_token, loss_reg, loss_centerness.

        images, captions, spans, resize_to as for `ground`. targets: per image a mapping with `boxes` (N, 4), half-open
        in the pixels of the given image, and `phrase` (N,); for pseudo boxes perhaps `weight` (N,), their share in the
        losses, `regression` (N,), whether they train the box regression, and `shared` (N, phrases) in 0/1, all phrases
        of each box; and `unknown`, indices of phrases that may or may not be in the image, whose tokens train nothing.
        `known`, with `boxes` (M, 4) and `phrase` (M,): a phrase trains inside of these alone, all other text nowhere.
        A phrase past the 256th token leaves its box without positive tokens. average: see `head_losses`. phrase_softmax
        adds `loss_phrase_softmax`, contrast `loss_contrastive`. pad_to: (h, w) that the padded pixels have at least,
        for a share of a batch.
        """
        sides = self._sides(resize_to)
        sizes = [resized_size(image.shape, sides) for image in images]
        resized = [resize(image, size) for image, size in zip(images, sizes, strict=True)]
        stacked = send(stack(resized, self.device), self.device)  # (B, H, W, 3)
        pixels = normalise(stacked, sizes)  # (B, 3, H, W)
        pixels = F.pad(pixels, (0, max(0, pad_to[1] - pixels.shape[3]), 0, max(0, pad_to[0] - pixels.shape[2])))
        ids, positions = zip(*(truncated(*own) for own in zip(captions, spans, strict=True)), strict=True)
        input_ids, attention_mask = pad(ids, self.device)
        wanted = batch_targets(targets, positions, [image.shape[:2] for image in images], sizes, self.device)
        # Before the network: how many anchors are positive is asked of a device that has nothing else to do yet.
        anchors = pyramid_anchors(level_sizes(pixels.shape[2], pixels.shape[3]), self.device)
        positives = match(wanted.boxes, anchors)
        with self.autocast():
            maps = self.backbone(pixels)
            states = self.language_backbone(input_ids.long(), attention_mask)
            outputs = self.rpn.head(maps, states, attention_mask)
        losses = head_losses(
            outputs,
            wanted.boxes,
            [own.labels for own in wanted.phrases],
            attention_mask * wanted.token_mask[:, : attention_mask.shape[1]],
            wanted.weights,
            wanted.regression,
            average,
            wanted.phrases if phrase_softmax else None,
            positives,
            wanted.known,
        )
        if contrast is not None:
            texts = [
                [" ".join(caption[start:end] for start, end in phrase) for phrase in own]
                for caption, own in zip(captions, spans, strict=True)
            ]
            losses["loss_contrastive"] = contrast(
                maps, states, positives, wanted.phrases, texts, wanted.weights, average
            )
        return losses

    def normalisers(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[str],
        spans: Sequence[Sequence[Sequence[Span]]],
        targets: Sequence[Any],
        resize_to: ResizeTo = "variant",
        pad_to: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """(2,): what `losses` divides by with the same arguments, before `average`. The network is not asked.

        For a batch that goes through the network in pieces: each piece's losses are divided by the sum over all.
        """
        sides = self._sides(resize_to)
        sizes = [resized_size(image.shape, sides) for image in images]
        positions = [truncated(*own)[1] for own in zip(captions, spans, strict=True)]
        wanted = batch_targets(targets, positions, [image.shape[:2] for image in images], sizes, self.device)
        height, width = padded_size((max(h for h, _ in sizes), max(w for _, w in sizes)))
        anchors = pyramid_anchors(level_sizes(max(height, pad_to[0]), max(width, pad_to[1])), self.device)
        return normalisers(wanted.boxes, wanted.regression, anchors, match(wanted.boxes, anchors))

    def _sides(self, resize_to: ResizeTo) -> Sides:
        if resize_to == "variant":
            return self.variant.short, self.variant.long
        return (None, None) if resize_to is None else resize_to


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in eval mode, and afterwards as it was."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
