"""Grounding DINO (Swin-T) of the transformers library with random weights: what a user would pick instead of GLIP."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from PIL import Image

from model.prompt import MAX_TOKENS, VOCABULARY
from model.scheduler import AHEAD, LOADERS

THRESHOLD = 0.25  # of boxes and of their words, as its documentation uses


def make(small: bool = False) -> tuple[Any, Any]:
    """Model, in eval mode, and its own processor with the published sizes; nothing comes from the hub.

    small: a network of the same kind, to rehearse with.

    The processor is the one that transformers takes by itself: torchvision's where that is installed, else Pillow's.
    """
    from transformers import (
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoProcessor,
    )
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        from transformers import GroundingDinoImageProcessor as ImageProcessor
    else:
        from transformers import GroundingDinoImageProcessorPil as ImageProcessor
    words = VOCABULARY.read_text(encoding="utf-8").rstrip("\n").split("\n")
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(words)}, model_max_length=MAX_TOKENS)
    torch.manual_seed(0)
    config = GroundingDinoConfig(**(small_sizes() if small else {}))
    return GroundingDinoForObjectDetection(config).eval(), GroundingDinoProcessor(ImageProcessor(), tokenizer)


def small_sizes() -> dict[str, Any]:
    """Of the smallest network of its kind."""
    from transformers import BertConfig, SwinConfig

    swin = {"embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 3, 4], "window_size": 4, "image_size": 64}
    bert = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return {
        **{"d_model": 64, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 8},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32},
        "backbone_config": SwinConfig(**swin, out_features=["stage2", "stage3", "stage4"]),
        "text_config": BertConfig(**bert),
    }


@torch.inference_mode()
def ground(
    model: Any,
    processor: Any,
    pairs: Sequence[tuple[bytes, str]],
    batch_size: int,
    dtype: torch.dtype | None,
    **sizes: Any,
) -> Iterator[int]:
    """From (JPEG, caption) to boxes in pixels of the photo, batch by batch in the order given; yields how many.

    The processor works ahead in threads, as many as ours has, so that it costs the device no time that it need not.
    sizes: passed on to the processor.
    """
    device = next(model.parameters()).device

    def prepare(batch: Sequence[tuple[bytes, str]]) -> tuple[Any, list[tuple[int, int]]]:
        photos = [Image.open(io.BytesIO(data)).convert("RGB") for data, _ in batch]
        texts = [caption.lower().rstrip(". ") + "." for _, caption in batch]
        inputs = processor(images=photos, text=texts, return_tensors="pt", padding=True, truncation=True, **sizes)
        return inputs, [(photo.height, photo.width) for photo in photos]

    coming: deque[Any] = deque()
    starts = iter(range(0, len(pairs), batch_size))
    with ThreadPoolExecutor(LOADERS if device.type == "cuda" else 1) as pool:
        while True:
            while len(coming) <= AHEAD and (start := next(starts, None)) is not None:
                coming.append(pool.submit(prepare, pairs[start : start + batch_size]))
            if not coming:
                return
            inputs, shapes = coming.popleft().result()
            inputs = inputs.to(device)
            with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                outputs = model(**inputs)
            found = processor.post_process_grounded_object_detection(
                outputs, inputs["input_ids"], threshold=THRESHOLD, text_threshold=THRESHOLD, target_sizes=shapes
            )
            for one in found:
                yield len(one["boxes"])
