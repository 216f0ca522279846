"""What a detector of transformers finds for the phrases of one image: the library's own processors and forward, and
rules that are written down here a second time. No batches, no prompts of ours, no code of model/teachers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

IOU, LIMIT = 0.6, 100  # of NMS, and boxes of a phrase
Found = list[tuple[int, float, list[float]]]  # phrase, score, box; by phrase, then best first


def found_by_library(
    family: str, folder: Path, image: np.ndarray, texts: list[str], caption: str, floor: float
) -> Found:
    """`texts`: the phrases; those of Grounding DINO stand in the caption, each once."""
    import transformers

    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        if "grounding-dino" in family:
            boxes, scores = by_grounding_dino(model, tokenizer, folder, image, texts, caption)
        elif family == "omdet-turbo":
            boxes, scores = by_omdet(model, tokenizer, image, texts)
        else:
            boxes, scores = by_owl(model, tokenizer, folder, family, image, texts)
    height, width = image.shape[:2]
    extent = (max(height, width),) * 2 if family == "owlv2" else (height, width)
    return chosen(boxes, scores, (height, width), extent, floor)


def by_grounding_dino(
    model: Any, tokenizer: Any, folder: Path, image: np.ndarray, texts: list[str], caption: str
) -> tuple[Tensor, Tensor]:
    from transformers import GroundingDinoImageProcessorPil

    inputs = GroundingDinoImageProcessorPil.from_pretrained(folder)(images=Image.fromarray(image), return_tensors="pt")
    read = tokenizer(caption.lower() + " .", return_offsets_mapping=True, return_tensors="pt")
    offsets = read.pop("offset_mapping")[0].tolist()
    tokens = model(**inputs, **read).logits[0].sigmoid()  # (Q, L)
    scores = []
    for text in texts:
        start = caption.index(text)
        own = [i for i, (a, b) in enumerate(offsets) if a < b and start <= a and b <= start + len(text)]
        scores.append(tokens[:, own].mean(dim=1))
    return model(**inputs, **read).pred_boxes[0], torch.stack(scores, dim=1)


def by_owl(
    model: Any, tokenizer: Any, folder: Path, family: str, image: np.ndarray, texts: list[str]
) -> tuple[Tensor, Tensor]:
    import transformers

    kind = transformers.Owlv2ImageProcessorPil if family == "owlv2" else transformers.OwlViTImageProcessorPil
    inputs = kind.from_pretrained(folder)(images=Image.fromarray(image), return_tensors="pt")
    read = tokenizer(texts, padding="max_length", max_length=16, return_tensors="pt")
    found = model(**inputs, input_ids=read["input_ids"], attention_mask=read["attention_mask"])
    return found.pred_boxes[0], found.logits[0].sigmoid()


def by_omdet(model: Any, tokenizer: Any, image: np.ndarray, texts: list[str]) -> tuple[Tensor, Tensor]:
    side = 64
    resized = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)) / 255
    pixels = torch.tensor((resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).float().permute(2, 0, 1)[None]
    options = {"padding": "max_length", "max_length": 77, "truncation": True, "return_tensors": "pt"}
    classes, task = tokenizer(texts, **options), tokenizer([f"Detect {', '.join(texts)}."], **options)
    found = model(
        pixel_values=pixels,
        classes_input_ids=classes["input_ids"],
        classes_attention_mask=classes["attention_mask"],
        tasks_input_ids=task["input_ids"],
        tasks_attention_mask=task["attention_mask"],
        classes_structure=torch.tensor([len(texts)]),
    )
    return found.decoder_coord_logits[0], found.decoder_class_logits[0].sigmoid()


def chosen(boxes: Tensor, scores: Tensor, size: tuple[int, int], extent: tuple[int, int], floor: float) -> Found:
    """Above the floor, not empty, and after NMS, of each phrase."""
    found: Found = []
    for phrase in range(scores.shape[1]):
        kept: list[list[float]] = []
        for query in sorted(range(len(boxes)), key=lambda query: -float(scores[query, phrase])):
            x, y, width, height = boxes[query].tolist()
            box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            box = [min(max(value * extent[1 - i % 2], 0), size[1 - i % 2]) for i, value in enumerate(box)]
            score = float(scores[query, phrase])
            if score < floor or box[2] <= box[0] or box[3] <= box[1] or len(kept) == LIMIT:
                continue
            if all(iou(box, other) <= IOU for other in kept):
                kept.append(box)
                found.append((phrase, score, box))
    return found


def iou(box: list[float], other: list[float]) -> float:
    width = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (box, other))
    return width * height / (areas - width * height)
