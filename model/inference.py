"""Batches for `Glip.ground` and `Glip.detect`: images of equal padded shape together, every prompt of each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from model.images import padded_size, resize, resized_size, stack
from model.outputs import Grounding, HeadOutput
from model.postprocess import OFFICIAL, Settings, postprocess
from model.prompt import Prompt, pad

if TYPE_CHECKING:
    from model.glip import Glip

NON_FINITE = "non_finite_scores"
OUT_OF_MEMORY = "out_of_memory"

Prompts = tuple[list[Prompt], list[tuple[int, str]]]  # of one image, and the phrases dropped


def run(
    model: Glip,
    images: Sequence[np.ndarray],
    prompts: Sequence[Prompts],
    score_floor: float,
    sides: tuple[int | None, int | None],
) -> list[Grounding]:
    """One Grounding per image, in order. See `Glip.ground`."""
    settings = Settings(min(OFFICIAL.threshold, score_floor**2), score_floor=score_floor, limits_per_phrase=True)
    results = [Grounding.empty(dropped) for _, dropped in prompts]
    model.batches = []
    pending = plan(images, prompts, sides, model.batch_size)
    training = model.training
    model.eval()
    try:
        while pending:
            batch = pending.pop(0)
            try:
                found = run_batch(model, [images[i] for i in batch], [prompts[i] for i in batch], settings, sides)
            except (torch.OutOfMemoryError, MemoryError):
                found = None
            if found is None and len(batch) > 1:  # halve the batch and go on
                middle = len(batch) // 2
                pending[:0] = [batch[:middle], batch[middle:]]
                continue
            model.batches.append(batch)
            for i, one in zip(batch, found or [Grounding.empty(prompts[batch[0]][1], OUT_OF_MEMORY)]):
                results[i] = one
    finally:
        model.train(training)
    return results


def plan(
    images: Sequence[np.ndarray], prompts: Sequence[Prompts], sides: tuple[int | None, int | None], batch_size: int
) -> list[list[int]]:
    """Batches of image indices. Only images of equal padded shape share one, so that none sees another's padding."""
    shapes: dict[tuple[int, int], list[int]] = {}
    for index, (image, (own, _)) in enumerate(zip(images, prompts, strict=True)):
        if own:
            shapes.setdefault(padded_size(*resized_size(*image.shape[:2], *sides)), []).append(index)
    return [same[i : i + batch_size] for same in shapes.values() for i in range(0, len(same), batch_size)]


@torch.inference_mode()
def run_batch(
    model: Glip,
    images: Sequence[np.ndarray],
    prompts: Sequence[Prompts],
    settings: Settings,
    sides: tuple[int | None, int | None],
) -> list[Grounding]:
    """Every prompt of every image of one batch; the backbone sees each image once."""
    resized = [resize(image, resized_size(*image.shape[:2], *sides)) for image in images]
    parts: list[list[Grounding]] = [[] for _ in images]
    with model.autocast():
        maps = model.backbone(stack(resized, model.device))
        for turn in range(max(len(own) for own, _ in prompts)):
            rows = [row for row, (own, _) in enumerate(prompts) if turn < len(own)]
            now = [prompts[row][0][turn] for row in rows]
            outputs = model.head_from(
                [x[rows] if len(rows) < len(x) else x for x in maps], *pad([prompt.ids for prompt in now], model.device)
            )
            sizes = [resized[row].shape[:2] for row in rows]
            found = postprocess(outputs, sizes, [prompt.tokens for prompt in now], settings)
            finite = all_finite(outputs, [len(prompt.ids) for prompt in now])
            for row, prompt, one, good in zip(rows, now, found, finite):
                one.phrase = torch.tensor(prompt.phrases)[one.phrase]
                one.failed = None if good else NON_FINITE
                parts[row].append(one)
    return [
        merge(own, dropped, image.shape[:2], small.shape[:2])
        for own, (_, dropped), image, small in zip(parts, prompts, images, resized)
    ]


def all_finite(outputs: Sequence[HeadOutput], lengths: Sequence[int]) -> list[bool]:
    """Of each image: are all of its predictions finite, but for padding tokens."""
    good = []
    for row, length in enumerate(lengths):
        values = [
            x
            for out in outputs
            for x in (out.token_logits[row, :, :length], out.box_regression[row], out.centerness[row])
        ]
        good.append(torch.stack([x.isfinite().all() for x in values]).all())
    return torch.stack(good).tolist()


def merge(
    parts: Sequence[Grounding], dropped: list[tuple[int, str]], size: tuple[int, int], resized: tuple[int, int]
) -> Grounding:
    """The boxes of an image's prompts as one result: half-open, in the pixels of the given image, best score first."""
    failed = next((part.failed for part in parts if part.failed), None)
    if failed:
        return Grounding.empty(dropped, failed)
    boxes, scores, phrase = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("boxes", "scores", "phrase")
    )
    boxes, real = half_open(boxes, size, resized)
    scores, phrase = scores[real], phrase[real]
    order = scores.argsort(descending=True, stable=True)
    return Grounding(boxes[order], scores[order], phrase[order], list(dropped))


def half_open(boxes: Tensor, size: tuple[int, int], resized: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Legacy boxes (N, 4) in the resized (h, w) -> half-open ones in the given (H, W), and which of the N are not empty."""
    real = (boxes[:, 2:] > boxes[:, :2]).all(1)
    ratio = boxes.new_tensor([size[1] / resized[1], size[0] / resized[0]] * 2)
    boxes = (boxes[real] + boxes.new_tensor([0, 0, 1, 1])) * ratio
    return boxes.clamp(min=0).minimum(boxes.new_tensor([size[1], size[0]] * 2)), real
