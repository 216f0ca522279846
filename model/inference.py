"""Batches for `Glip.ground` and `Glip.detect`: images of equal padded shape together, every prompt of each image.

While the device works on one step, the host selects the boxes of the step before and resizes the images of the next
batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.images import Sides, Size, normalise, padded_size, resize, resized_size, stack
from model.outputs import Grounding
from model.postprocess import OFFICIAL, Candidates, Settings, rank, select
from model.prompt import Prompt, pad

if TYPE_CHECKING:
    from model.glip import Glip

NON_FINITE = "non_finite_scores"
OUT_OF_MEMORY = "out_of_memory"
RESIZERS = 8  # threads that resize images for a GPU

Prompts = tuple[list[Prompt], list[tuple[int, str]]]  # of one image, and the phrases dropped


class Step(NamedTuple):
    """The same turn (first prompt, second prompt, ...) of some images of a batch."""

    turn: int
    images: list[int]  # indices into the call's images
    candidates: Candidates  # on the host once `arrived`
    finite: Tensor  # (B,) whether all predictions for the image are finite; as candidates
    arrived: torch.cuda.Event | None


class Grounder:
    """One call of `ground` or `detect`."""

    def __init__(
        self, model: Glip, images: Sequence[np.ndarray], prompts: Sequence[Prompts], score_floor: float, sides: Sides
    ) -> None:
        self.model, self.images, self.prompts = model, images, prompts
        threshold = min(OFFICIAL.threshold, score_floor**2)
        self.settings = Settings(threshold, score_floor=score_floor, limits_per_phrase=True)
        self.sizes = [resized_size(image.shape, sides) for image in images]
        self.parts: list[dict[int, Grounding]] = [{} for _ in images]  # of each image, by turn
        self.failed: dict[int, str] = {}
        self.resized: dict[int, Future[np.ndarray]] = {}
        self.pool = ThreadPoolExecutor(RESIZERS if model.device.type == "cuda" else 1)

    def run(self) -> list[Grounding]:
        """One Grounding per image, in order."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode(), self.pool:
                before: Step | None = None
                for step in self._steps():
                    if before is not None:
                        self._collect(before)
                    before = step
                if before is not None:
                    self._collect(before)
        finally:
            self.model.train(training)
        return [self._merge(image) for image in range(len(self.images))]

    def _steps(self) -> Iterator[Step]:
        """Every step of every batch. A batch that does not fit into memory is halved until it does."""
        pending = deque(plan(self.sizes, self.prompts, self.model.batch_size))
        self.model.batches = []
        while pending:
            batch = pending.popleft()
            self._resize(batch)
            self._resize(pending[0] if pending else [])
            try:
                yield from self._launch(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                halves = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            else:
                self.model.batches.append(batch)
                continue
            if self.model.device.type == "cuda":
                torch.cuda.empty_cache()
            if len(batch) == 1:
                self.failed[batch[0]] = OUT_OF_MEMORY
            else:
                pending.extendleft(reversed(halves))

    def _resize(self, batch: Sequence[int]) -> None:
        for image in batch:
            if image not in self.resized:
                self.resized[image] = self.pool.submit(resize, self.images[image], self.sizes[image])

    def _launch(self, batch: list[int]) -> Iterator[Step]:
        """The backbone sees each image once, the head once for every prompt."""
        model = self.model
        resized = stack([self.resized.pop(image).result() for image in batch])  # (B, H, W, 3)
        if model.device.type == "cuda":
            resized = resized.pin_memory().to(model.device, non_blocking=True)
        with model.autocast():
            maps = model.backbone(normalise(resized, [self.sizes[image] for image in batch]))  # P3 .. P7
        for turn in range(max(len(self.prompts[image][0]) for image in batch)):
            rows = [row for row, image in enumerate(batch) if turn < len(self.prompts[image][0])]
            own = maps if len(rows) == len(batch) else [x[rows] for x in maps]
            prompts = [self.prompts[batch[row]][0][turn] for row in rows]
            with model.autocast():
                outputs = model.head_from(own, *pad([prompt.ids for prompt in prompts], model.device))
            candidates = rank(outputs, [prompt.tokens for prompt in prompts], self.settings)
            finite = torch.stack([x.isfinite().flatten(1).all(1) for out in outputs for x in out]).all(0)  # (B,)
            *found, finite = (x.to("cpu", non_blocking=True) for x in (*candidates, finite))
            arrived = torch.cuda.Event() if model.device.type == "cuda" else None
            if arrived is not None:
                arrived.record()
            yield Step(turn, [batch[row] for row in rows], Candidates(*found), finite, arrived)

    def _collect(self, step: Step) -> None:
        if step.arrived is not None:
            step.arrived.synchronize()
        found = select(step.candidates, [self.sizes[image] for image in step.images], self.settings)
        for image, one, finite in zip(step.images, found, step.finite.tolist(), strict=True):
            one.phrase = torch.tensor(self.prompts[image][0][step.turn].phrases)[one.phrase]
            self.parts[image][step.turn] = one
            if not finite:
                self.failed[image] = NON_FINITE

    def _merge(self, image: int) -> Grounding:
        """The boxes of an image's prompts as one result: half-open, in the pixels of the given image, best first."""
        dropped, parts = self.prompts[image][1], list(self.parts[image].values())
        if image in self.failed or not parts:
            return Grounding.empty(dropped, self.failed.get(image))
        boxes = torch.cat([part.boxes for part in parts])
        real = (boxes[:, 2:] > boxes[:, :2]).all(1)
        scores = torch.cat([part.scores for part in parts])[real]
        phrase = torch.cat([part.phrase for part in parts])[real]
        height, width = self.images[image].shape[:2]
        boxes = to_half_open(boxes[real], (height, width), self.sizes[image])
        order = scores.argsort(descending=True, stable=True)
        return Grounding(boxes[order], scores[order], phrase[order], list(dropped))


def plan(sizes: Sequence[Size], prompts: Sequence[Prompts], batch_size: int) -> list[list[int]]:
    """Batches of the images that have a prompt, as indices.

    Only images of equal padded shape share one, so that none sees padding because of another; among these, captions of
    like length come together, so that little text is padding.
    """
    shapes: dict[Size, list[int]] = {}
    for image, (size, (own, _)) in enumerate(zip(sizes, prompts, strict=True)):
        if own:
            shapes.setdefault(padded_size(size), []).append(image)
    batches = []
    for same in shapes.values():
        same.sort(key=lambda image: len(prompts[image][0][0].ids))
        batches += [same[start : start + batch_size] for start in range(0, len(same), batch_size)]
    return batches


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class for it; the CPU allocator and cuBLAS only have words."""
    words = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def to_half_open(boxes: Tensor, size: Size, resized: Size) -> Tensor:
    """Legacy boxes (N, 4) in the resized (h, w) -> half-open ones in the given (H, W), clipped to it."""
    ratio = boxes.new_tensor([size[1] / resized[1], size[0] / resized[0]] * 2)
    boxes = (boxes + boxes.new_tensor([0, 0, 1, 1])) * ratio
    return boxes.clamp(min=0).minimum(boxes.new_tensor([size[1], size[0]] * 2))


def to_legacy(boxes: Tensor, size: Size, resized: Size) -> Tensor:
    """Half-open boxes (N, 4) in an image of (H, W) -> inclusive corners in its resized (h, w)."""
    ratio = boxes.new_tensor([resized[1] / size[1], resized[0] / size[0]] * 2)
    return boxes * ratio - boxes.new_tensor([0, 0, 1, 1])
