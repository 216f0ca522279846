"""What the detectors of transformers have in common, and what each family of them does in its own way.

A family is one file: a class that derives from `Detector`, listed in `FAMILIES` of transformers.py by the `model_type`
of its checkpoints. It turns texts into prompts and says what the network predicts for them; the rest is the same for
all. Labels that a processor of transformers would decode from tokens play no part: a phrase is its index.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from model.checkpoint import WeightsError
from model.hub import read_json
from model.images import Size
from model.pretrained import library, open_network
from model.prompt import clean_category, encodable
from model.teacher import NO_TOKENS, OVER_LIMIT, Span, Work
from model.teachers.pixels import Pixels, image_settings, sides

BOX_HEADS = re.compile(r"(.*[._])?(bbox_embed|bbox_head|box_head)(\.\d+)?")  # modules, by their names
KEPT = 20_000  # texts whose embeddings are remembered
NETWORK = "AutoModelForZeroShotObjectDetection"  # the class in transformers
FIRST_STRIDE = 8  # of the finest of a network's maps, pixels; each further one has twice that


class Prediction(NamedTuple):
    """What a network predicts for b images and the phrases of a prompt of each, K at most. Q queries or patches."""

    boxes: Tensor  # (b, Q, 4) centre x, centre y, width, height; 1 is the extent of the image (`Pixels.extent`)
    scores: Tensor  # (b, Q, K) from 0 to 1; beyond the phrases of a prompt, anything


class Detector(ABC):
    """A family of checkpoints. `images`: defaults for what its checkpoints do not say of their images."""

    images: ClassVar[Mapping[str, Any]]
    squared: ClassVar[type[Pixels] | None] = None  # how images are prepared, where the family says that and not a size

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.config = read_json(folder / "config.json")
        self.device = device
        self.tokenizer = open_tokenizer(folder)
        self.model = open_network(folder, NETWORK).to(device)
        compute_boxes_exactly(self.model)

    @classmethod
    def pixels(cls, folder: Path, short: int | None, long: int | None) -> Pixels:
        """How images are prepared, with other sides where these are given. Raises WeightsError."""
        settings = image_settings(folder, cls.images)
        kind, *usual = sides(settings)
        kind = cls.squared or kind
        if kind.square:
            short, long = short or long, long or short
        mean, std = tuple(settings["image_mean"]), tuple(settings["image_std"])
        factor = settings.get("rescale_factor", 1 / 255)
        return kind(short or usual[0], long or usual[1], settings["resample"], mean, std, factor)

    @abstractmethod
    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Any]:
        """As a teacher's."""

    @abstractmethod
    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Any]:
        """As a teacher's."""

    def bucket(self, prompts: Sequence[Any]) -> Hashable:
        """Beside the size of their images, what the prompts of a batch must have in common."""
        return None

    def fits(self, size: Size) -> bool:
        """Whether a prepared image (h, w) is large enough for the network."""
        return True

    def encode(self, pixels: Tensor) -> Any:
        """What is computed once for a batch of images (B, 3, h, w), whatever their prompts."""
        return pixels

    @abstractmethod
    def predict(self, images: Any, rows: list[int], prompts: Sequence[Any]) -> Prediction:
        """For some images of a batch, by their rows, and a prompt for each. `images`: of `encode`."""


class Phrases(NamedTuple):
    """A prompt of a detector that reads phrases one by one, each in a text of its own."""

    phrases: list[int]  # indices of the caller's phrases
    ids: list[tuple[int, ...]]  # of each of these, its tokens, special ones included


def enough_positions(config: Any, size: Size) -> bool:
    """Whether the maps of a prepared image (h, w) have as many positions as a network that takes its queries from them
    must have: it fails where there are fewer."""
    strides = [FIRST_STRIDE << level for level in range(config.num_feature_levels)]
    positions = sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)
    return bool(positions >= config.num_queries)


def phrase_texts(caption: str, spans: Sequence[Sequence[Span]]) -> list[str]:
    """The text of each phrase; one of several spans is joined by spaces."""
    return [" ".join(caption[start:end] for start, end in own) for own in spans]


def category_texts(categories: Sequence[str]) -> list[str]:
    """Names as detection prompts carry them, `_` and parentheses removed."""
    return [clean_category(name) for name in categories]


def read_phrases(
    texts: Sequence[str], encode: Callable[[str], Encoding], most: int
) -> tuple[dict[int, tuple[int, ...]], list[tuple[int, str]]]:
    """The tokens of each phrase, two special ones included, and the phrases that have none or more than `most`."""
    found: dict[int, tuple[int, ...]] = {}
    dropped: list[tuple[int, str]] = []
    for phrase, text in enumerate(texts):
        ids = tuple(encode(text).ids)
        if 2 < len(ids) <= most:
            found[phrase] = ids
        else:
            dropped.append((phrase, NO_TOKENS if len(ids) <= 2 else OVER_LIMIT))
    return found, dropped


def remembered(embed: Callable[[tuple[int, ...]], Tensor]) -> Callable[[tuple[int, ...]], Tensor]:
    """Of texts by their tokens, as many as memory may hold.

    Each is embedded alone: embeddings that were computed together would differ in their last bits with the company, and
    labels with what the worker has seen before.
    """
    return lru_cache(maxsize=KEPT)(embed)


def open_tokenizer(folder: Path) -> Callable[[str], Encoding]:
    """Encodes a text, however long, with special tokens around it. One that stands in the text itself is plain text.

    Raises WeightsError.
    """
    try:
        opened = library(folder).AutoTokenizer.from_pretrained(folder, local_files_only=True)
        tokenizer: Tokenizer = opened.backend_tokenizer
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder}: the tokenizer cannot be opened ({error})") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return lambda text: tokenizer.encode(encodable(text))


def compute_boxes_exactly(model: nn.Module) -> None:
    """What comes after the last layers is computed in fp32 at every precision: bf16 would round boxes to 1 / 256."""
    for name, module in model.named_modules():
        if BOX_HEADS.fullmatch(name) and not isinstance(module, nn.ModuleList):
            module.forward = partial(_in_fp32, module.forward)  # type: ignore[method-assign]


def _in_fp32(forward: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        return forward(features.float())
