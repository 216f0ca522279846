"""Batches for `Glip.ground`, `detect` and `stream`: images of equal padded shape together, every prompt of each.

While the device works on one step, threads load and resize the images of the next batches, another one draws the
samples to come, and the host selects the boxes of the step before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from model.device import send
from model.images import Sides, Size, normalise, padded_size, resize, resized_size, stack
from model.language import LIMIT
from model.outputs import Grounding, HeadOutput
from model.postprocess import OFFICIAL, Candidates, Settings, rank, select
from model.prompt import Prompt, pad

if TYPE_CHECKING:
    from model.glip import Glip

NON_FINITE = "non_finite_scores"
OUT_OF_MEMORY = "out_of_memory"
NO_IMAGE = "no_picture"
LOADERS = 8  # threads that load and resize images for a GPU
AHEAD = 2  # batches whose images are loaded, or being loaded, while one runs
CHUNK = 64  # samples drawn ahead
SHORT = 32  # tokens; longer texts are batched by the next power of two, so that few tokens are padding

T = TypeVar("T")
Prompts = tuple[list[Prompt], list[tuple[int, str]]]  # of one image, and the phrases dropped


class Sample(NamedTuple):
    """An image, to be loaded when its batch is near, and what is looked for in it."""

    size: Size  # (H, W) of the image
    load: Callable[[], np.ndarray | None]  # uint8 RGB (H, W, 3); None where it turns out that there is none
    prompts: Prompts


@dataclass(eq=False)
class Pending:
    """A sample whose result is not out yet."""

    number: int  # place among the samples
    sample: Sample
    size: Size  # (h, w) once resized
    image: Future[np.ndarray | None] | None = None  # resized
    parts: dict[int, Grounding] = field(default_factory=dict)  # by turn
    failed: str | None = None

    @property
    def prompts(self) -> list[Prompt]:
        return self.sample.prompts[0]

    def bucket(self) -> tuple[Size, int] | None:
        """Only images of equal padded shape share a batch, so that none sees padding because of another; and texts of
        like length, so that little of it is padding. Where nothing is looked for, no batch is run."""
        if not self.prompts:
            return None
        tokens = len(self.prompts[0].ids)
        return padded_size(self.size), max(SHORT, 1 << (tokens - 1).bit_length())

    def load(self) -> np.ndarray | None:
        """The image (h, w, 3)."""
        image = self.sample.load()
        if image is not None and image.shape[:2] != self.sample.size:
            raise ValueError(f"an image of {image.shape[:2]} where {self.sample.size} was announced")
        return None if image is None else resize(image, self.size)


class Step(NamedTuple):
    """The same turn (first prompt, second prompt, ...) of some images of a batch."""

    turn: int
    images: list[Pending]
    candidates: Candidates  # on the host once `arrived`
    finite: Tensor  # (B,) whether all predictions for the image are finite; as candidates
    arrived: torch.cuda.Event | None
    finished: list[Pending]  # the whole batch, when this is its last step


class Grounder:
    """One pass over samples."""

    def __init__(self, model: Glip, score_floor: float, sides: Sides) -> None:
        self.model, self.sides = model, sides
        threshold = min(OFFICIAL.threshold, score_floor**2)
        self.settings = Settings(threshold, score_floor=score_floor, limits_per_phrase=True)
        self.finished: deque[Pending] = deque()  # nothing more is to come for these

    def run(self, samples: Iterable[Sample], hold: int) -> Iterator[tuple[int, Grounding]]:
        """Each sample's number and result, as they come. One waits for at most `hold` later ones to fill its batch."""
        training = self.model.training
        self.model.eval()
        self.model.batches, self.model.halved = [], 0
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(LOADERS if self._on_gpu else 1) as loaders:
            try:
                drawn = enumerate(drawn_ahead(samples, reader))
                pending = (Pending(number, one, resized_size(one.size, self.sides)) for number, one in drawn)
                batches = bucketed(pending, Pending.bucket, self.model.batch_size, hold)
                yield from self._results(loading(batches, loaders))
            finally:
                loaders.shutdown(wait=False, cancel_futures=True)
                self.model.train(training)

    @property
    def _on_gpu(self) -> bool:
        return self.model.device.type == "cuda"

    @torch.inference_mode()
    def _results(self, batches: Iterator[list[Pending]]) -> Iterator[tuple[int, Grounding]]:
        before: Step | None = None
        for step in self._steps(batches):
            if before is not None:
                self._collect(before)
                yield from self._ready()
            before = step
        if before is not None:
            self._collect(before)
        yield from self._ready()

    def _ready(self) -> Iterator[tuple[int, Grounding]]:
        while self.finished:
            one = self.finished.popleft()
            yield one.number, merge(one)

    def _finish(self, one: Pending, failed: str | None = None) -> None:
        one.failed = one.failed or failed
        self.finished.append(one)

    def _steps(self, batches: Iterator[list[Pending]]) -> Iterator[Step]:
        """Every step of every batch. A batch that does not fit into memory is halved until it does."""
        for batch in batches:
            ready = self._with_image(batch)
            left = deque([ready] if ready else [])
            while left:
                part = left.popleft()
                try:
                    yield from self._launch(part)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                else:
                    self.model.batches.append([one.number for one in part])
                    continue
                self._make_room()
                if len(part) == 1:
                    self._finish(part[0], OUT_OF_MEMORY)
                else:
                    left.extendleft((part[len(part) // 2 :], part[: len(part) // 2]))

    def _make_room(self) -> None:
        self.model.halved += 1
        if self._on_gpu:
            torch.cuda.empty_cache()

    def _with_image(self, batch: list[Pending]) -> list[Pending]:
        """Those of a batch that there is something to do for."""
        left = []
        for one in batch:
            if one.image.result() is None:
                self._finish(one, NO_IMAGE)
            elif one.prompts:
                left.append(one)
            else:
                self._finish(one)
        return left

    def _launch(self, batch: list[Pending]) -> Iterator[Step]:
        """The backbone sees each image once, the head once for every prompt."""
        model = self.model
        turns = max(len(one.prompts) for one in batch)
        pixels = send(stack([one.image.result() for one in batch]), model.device)  # (B, H, W, 3)
        with model.autocast():
            maps = model.backbone(normalise(pixels, [one.size for one in batch]))  # P3 .. P7
        for turn in range(turns):
            rows = [row for row, one in enumerate(batch) if turn < len(one.prompts)]
            own = maps if len(rows) == len(batch) else [x[rows] for x in maps]
            prompts = [batch[row].prompts[turn] for row in rows]
            with model.autocast():
                outputs = model.head_from(own, *pad([prompt.ids for prompt in prompts], model.device))
            candidates = rank(outputs, [prompt.tokens for prompt in prompts], self.settings)
            *found, finite = (x.to("cpu", non_blocking=True) for x in (*candidates, all_finite(outputs)))
            arrived = torch.cuda.Event() if self._on_gpu else None
            if arrived is not None:
                arrived.record()
            finished = batch if turn == turns - 1 else []
            yield Step(turn, [batch[row] for row in rows], Candidates(*found), finite, arrived, finished)

    def _collect(self, step: Step) -> None:
        if step.arrived is not None:
            step.arrived.synchronize()
        found = select(step.candidates, [one.size for one in step.images], self.settings)
        for one, boxes, finite in zip(step.images, found, step.finite.tolist(), strict=True):
            boxes.phrase = torch.tensor(one.prompts[step.turn].phrases)[boxes.phrase]
            one.parts[step.turn] = boxes
            if not finite:
                one.failed = NON_FINITE
        for one in step.finished:
            self._finish(one)


def drawn_ahead(samples: Iterable[Sample], reader: ThreadPoolExecutor) -> Iterator[Sample]:
    """The samples; while some are used, a thread draws the next."""
    rest = iter(samples)
    coming = reader.submit(lambda: list(islice(rest, CHUNK)))
    while found := coming.result():
        coming = reader.submit(lambda: list(islice(rest, CHUNK)))
        yield from found


def bucketed(items: Iterable[T], bucket: Callable[[T], Hashable], size: int, hold: int) -> Iterator[list[T]]:
    """Batches of items of one bucket each. What has seen `hold` later items come goes out with what its bucket has."""
    open_: dict[Hashable, tuple[int, list[T]]] = {}  # when its first item came, and its items; oldest first
    for number, item in enumerate(items):
        key = bucket(item)
        _, own = open_.setdefault(key, (number, []))
        own.append(item)
        if len(own) == size:
            yield open_.pop(key)[1]
        oldest = next(iter(open_), None)
        if oldest in open_ and number - open_[oldest][0] >= hold:
            yield open_.pop(oldest)[1]
    for _, own in open_.values():
        yield own


def loading(batches: Iterable[list[Pending]], loaders: ThreadPoolExecutor) -> Iterator[list[Pending]]:
    """The batches, each with its images on the way for AHEAD batches before it comes."""
    ahead: deque[list[Pending]] = deque()
    for batch in batches:
        for one in batch:
            one.image = loaders.submit(one.load)
        ahead.append(batch)
        if len(ahead) > AHEAD:
            yield ahead.popleft()
    yield from ahead


def merge(one: Pending) -> Grounding:
    """The boxes of a sample's prompts as one result: half-open, in the pixels of the given image, best first."""
    dropped, parts = one.sample.prompts[1], list(one.parts.values())
    if one.failed or not parts:
        return Grounding.empty(dropped, one.failed)
    boxes = torch.cat([part.boxes for part in parts])
    real = (boxes[:, 2:] > boxes[:, :2]).all(1)
    scores = torch.cat([part.scores for part in parts])[real]
    phrase = torch.cat([part.phrase for part in parts])[real]
    boxes = to_half_open(boxes[real], one.sample.size, one.size)
    order = scores.argsort(descending=True, stable=True)
    return Grounding(boxes[order], scores[order], phrase[order], list(dropped))


def all_finite(outputs: Sequence[HeadOutput]) -> Tensor:
    """(B,) whether all predictions for an image are finite. A logit at its clamp was infinite, or as good as that."""
    checks = [
        check.flatten(1).all(1)
        for out in outputs
        for check in (out.token_logits.abs() < LIMIT, out.box_regression.isfinite(), out.centerness.isfinite())
    ]
    return torch.stack(checks).all(0)


def is_out_of_memory(error: BaseException) -> bool:
    """There is a class for it, but the CPU allocator, cuBLAS and CUDA's own calls only have words."""
    words = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
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
