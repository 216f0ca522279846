"""Batches of any teacher: images of one bucket together, loaded ahead, every prompt of each.

While the device works on one turn, threads load and prepare the images of the next batches, another one draws the
requests to come, and the host selects the boxes of the turn before. A batch that does not fit into memory is halved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from model.images import Size
from model.outputs import Grounding
from model.teacher import NON_FINITE, Grounder, Image, Query, Span, Turn, Work

OUT_OF_MEMORY = "out_of_memory"
NO_IMAGE = "no_image"
LOADERS = 8  # threads that load and prepare images for a GPU
AHEAD = 2  # batches whose images are loaded, or being loaded, while one runs
CHUNK = 64  # requests drawn ahead
HOLD = 128  # batches of images that an image waits for, at most, until its own batch is full

T = TypeVar("T")


class Request(NamedTuple):
    """An image, to be loaded when its batch is near, and what is looked for in it."""

    size: Size  # (H, W) of the image
    load: Callable[[], Image | None]  # uint8 RGB (H, W, 3); None where it turns out that there is none
    work: Work[Any]


@dataclass(eq=False)
class Pending:
    """A request whose result is not out yet."""

    number: int  # place among the requests
    request: Request
    image: Future[Any] | None = None  # as the teacher prepared it; None where there is none
    found: dict[int, Grounding] = field(default_factory=dict)  # by turn
    failed: str | None = None


class Step(NamedTuple):
    """A turn of a batch, under way."""

    turn: int
    batch: list[Pending]
    collect: Turn


class Scheduler:
    """Runs a teacher, in one pass after the other. `batches` and `halved` tell of the last one."""

    def __init__(self, teacher: Grounder, batch_size: int = 8) -> None:
        self.teacher = teacher
        self.batch_size = batch_size
        self.batches: list[list[int]] = []  # the numbers of the requests of each batch, as they were run
        self.halved = 0  # how often memory ran out
        self._ready: deque[Pending] = deque()  # nothing more is to come for these, once all turns are collected

    def ground(
        self,
        images: Sequence[Image],
        captions: Sequence[str],
        spans: Sequence[Sequence[Sequence[Span]]],
        score_floor: float = 0.05,
    ) -> list[Grounding]:
        """Boxes for the phrases of each image's caption, at or above score_floor, best first.

        images: uint8 RGB arrays (H, W, 3) of any sizes; spans: per caption, a list of phrases, each a list of
        [start, end) character spans. Boxes are half-open, in the pixels of the given image. Results do not depend on
        which images share the call.
        """
        works = [self.teacher.caption_work(caption, own) for caption, own in zip(captions, spans, strict=True)]
        return self._run(images, works, score_floor)

    def detect(
        self,
        images: Sequence[Image],
        categories: Sequence[str],
        score_floor: float = 0.05,
        per_prompt: int | None = None,
    ) -> list[Grounding]:
        """Boxes of any number of categories; `phrase` is the index of the category. Otherwise as `ground`.

        per_prompt: at most so many names in a prompt, for teachers that are asked for several at once.
        """
        work = self.teacher.category_work(categories, per_prompt)
        return self._run(images, [work] * len(images), score_floor)

    def stream(
        self, requests: Iterable[Request], score_floor: float = 0.05, hold: int | None = None
    ) -> Iterator[tuple[int, Grounding]]:
        """As `ground`, for any number of images in little memory: each request's number and result, as they come.

        A request waits for at most `hold` later ones until its batch is full, by default HOLD batches' worth. Its image
        is loaded, in a thread, when the batch is near, and given up when the result is out; requests are drawn in a
        thread, some ahead.
        """
        self.batches, self.halved = [], 0
        self._ready.clear()
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(LOADERS if self._on_gpu else 1) as loaders:
            try:
                pending = (Pending(number, one) for number, one in enumerate(drawn_ahead(requests, reader)))
                wait = HOLD * self.batch_size if hold is None else hold
                batches = bucketed(pending, self._bucket, self.batch_size, wait)
                yield from self._results(self._loading(batches, loaders), score_floor)
            finally:
                loaders.shutdown(wait=False, cancel_futures=True)

    def notes(self, names: Sequence[str]) -> dict[str, Any]:
        """For a commit record: where memory ran out in the last pass, its batches as they were run, to repeat them.

        names: of the requests, in their order.
        """
        return {"batches": [[names[number] for number in batch] for batch in self.batches]} if self.halved else {}

    def _run(self, images: Sequence[Image], works: Sequence[Work[Any]], score_floor: float) -> list[Grounding]:
        requests = [
            Request((image.shape[0], image.shape[1]), partial(np.asarray, image), work)
            for image, work in zip(images, works, strict=True)
        ]
        found = dict(self.stream(requests, score_floor, len(requests)))
        return [found[number] for number in range(len(requests))]

    @property
    def _on_gpu(self) -> bool:
        return self.teacher.device.type == "cuda"

    def _bucket(self, one: Pending) -> Hashable:
        """Where nothing is looked for, no batch is run."""
        work = one.request.work
        return self.teacher.bucket(one.request.size, work.prompts) if work.prompts else None

    def _loading(self, batches: Iterable[list[Pending]], loaders: ThreadPoolExecutor) -> Iterator[list[Pending]]:
        """The batches, each with its images on the way for AHEAD batches before it comes."""
        ahead: deque[list[Pending]] = deque()
        for batch in batches:
            for one in batch:
                one.image = loaders.submit(self._load, one.request)
            ahead.append(batch)
            if len(ahead) > AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _load(self, request: Request) -> Any:
        image = request.load()
        if image is not None and image.shape[:2] != request.size:
            raise ValueError(f"an image of {image.shape[:2]} where {request.size} was announced")
        return None if image is None else self.teacher.prepare(image)

    @torch.inference_mode()
    def _results(self, batches: Iterator[list[Pending]], score_floor: float) -> Iterator[tuple[int, Grounding]]:
        before: Step | None = None
        for step in self._steps(batches, score_floor):
            if before is not None:
                collect(before)
                yield from self._finished()
            before = step
        if before is not None:
            collect(before)
        yield from self._finished()

    def _finished(self) -> Iterator[tuple[int, Grounding]]:
        while self._ready:
            one = self._ready.popleft()
            yield one.number, merge(one)

    def _finish(self, one: Pending, failed: str | None = None) -> None:
        one.failed = failed
        self._ready.append(one)

    def _steps(self, batches: Iterator[list[Pending]], score_floor: float) -> Iterator[Step]:
        """Every turn of every batch. A batch that does not fit into memory is halved until it does."""
        for batch in batches:
            asked = self._asked(batch)
            left = deque([asked] if asked else [])
            while left:
                part = left.popleft()
                queries = [Query(image_of(one), one.request.size, one.request.work.prompts) for one in part]
                try:
                    for turn, found in enumerate(self.teacher.ground(queries, score_floor)):
                        yield Step(turn, part, found)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                else:
                    self.batches.append([one.number for one in part])
                    self._ready.extend(part)
                    continue
                self._make_room()
                if len(part) == 1:
                    self._finish(part[0], OUT_OF_MEMORY)
                else:
                    left.extendleft((part[len(part) // 2 :], part[: len(part) // 2]))

    def _make_room(self) -> None:
        self.halved += 1
        if self._on_gpu:
            torch.cuda.empty_cache()

    def _asked(self, batch: list[Pending]) -> list[Pending]:
        """Those of a batch that there is something to do for; the others are finished."""
        left = []
        for one in batch:
            if image_of(one) is None:
                self._finish(one, NO_IMAGE)
            elif one.request.work.prompts:
                left.append(one)
            else:
                self._finish(one)
        return left


def image_of(one: Pending) -> Any:
    """The prepared image, once it is loaded."""
    assert one.image is not None
    return one.image.result()


def collect(step: Step) -> None:
    """Waits for a turn and keeps what was found for each image of the batch."""
    for one, found in zip(step.batch, step.collect(), strict=True):
        finite = bool(found.boxes.isfinite().all()) and bool(found.scores.isfinite().all())
        one.found[step.turn] = found if finite else Grounding.empty(failed=NON_FINITE)


def merge(one: Pending) -> Grounding:
    """What was found in all turns for a request, as one result, best first."""
    dropped = one.request.work.dropped
    parts = [one.found[turn] for turn in sorted(one.found)]
    failed = one.failed or next((part.failed for part in parts if part.failed), None)
    if failed or not parts:
        return Grounding.empty(dropped, failed)
    boxes = torch.cat([part.boxes for part in parts])
    scores = torch.cat([part.scores for part in parts])
    phrase = torch.cat([part.phrase for part in parts])
    order = scores.argsort(descending=True, stable=True)
    return Grounding(boxes[order], scores[order], phrase[order], list(dropped))


def drawn_ahead(requests: Iterable[Request], reader: ThreadPoolExecutor) -> Iterator[Request]:
    """The requests; while some are used, a thread draws the next."""
    rest = iter(requests)
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


def is_out_of_memory(error: BaseException) -> bool:
    """There is a class for it, but the CPU allocator, cuBLAS and CUDA's own calls only have words."""
    words = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)
