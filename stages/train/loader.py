"""Batches for one worker: read, decoded and augmented in background threads, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from model.images import Size, padded_size, resized_size
from stages.stage import RowError
from stages.train import transforms
from stages.train.order import Draw, MixedOrder
from stages.train.samples import Example, TrainingSample
from stages.train.sets import SampleSet
from stages.train.shards import ShardSet
from stages.train.wording import rename

if TYPE_CHECKING:
    from schemas.config import TrainConfig

AHEAD = 2  # batches that lie ready, beside those that the threads are at


@dataclass(frozen=True)
class Batch:
    step: int
    examples: list[Example]
    skipped: list[tuple[str, RowError]]  # samples that could not be read or decoded
    pad_to: Size  # (h, w) of the whole batch's pixels, whoever has the largest image of it

    def pieces(self, count: int) -> list[Batch]:
        """The examples in `count` parts, some of which may be empty."""
        return [replace(self, examples=self.examples[start::count]) for start in range(count)]


class BatchMaker:
    """Turns the draws of a step into examples. Randomness comes from (seed, position), so any step can be remade."""

    def __init__(
        self,
        sets: list[SampleSet],
        detection: list[float],
        order: MixedOrder,
        config: TrainConfig,
        max_pixels: int,
        sides: tuple[int, int],
    ) -> None:
        self.sets, self.detection, self.order, self.config, self.max_pixels = sets, detection, order, config, max_pixels
        self.sides = sides  # (short, long) that the variant was made for
        self.vocabularies = [samples.vocabulary() for samples in sets]
        self._ordering = threading.Lock()  # the order keeps its epoch and its window; sets are read by many threads

    def make(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The share of worker `rank` of the batch of `step`."""
        sides = self._sides(step)
        with self._ordering:
            draws = self.order.batch(step)
        shapes = [self.sets[draw.set].shape(draw.index) for draw in draws]
        examples, skipped = [], []
        for draw in draws[rank::world]:
            try:
                examples.append(self._example(draw, sides))
            except RowError as error:
                skipped.append((f"set {draw.set}, sample {draw.index}", error))
        sizes = [resized_size(shape, sides) for shape in shapes]
        return Batch(step, examples, skipped, padded_size((max(h for h, _ in sizes), max(w for _, w in sizes))))

    def scales(self) -> list[tuple[int, int]]:
        """(short, long) sides that images may have."""
        (short, long), scales = self.sides, self.config.scales
        return [(drawn, self.config.long or round(drawn * long / short)) for drawn in scales or (short,)]

    def _sides(self, step: int) -> tuple[int, int]:
        """(short, long) side of the images of a step, drawn from `scales` where there are any."""
        scales = self.scales()
        if len(scales) == 1:
            return scales[0]
        return scales[int(np.random.default_rng([self.config.seed, 5, step]).integers(len(scales)))]

    def _example(self, draw: Draw, sides: tuple[int, int]) -> Example:
        rng = np.random.default_rng([self.config.seed, 3, draw.position])
        sample = self._with_text(self.sets[draw.set].sample(draw.index), draw, rng)
        mirrored = rng.random() < self.config.flip
        try:
            return transforms.decode(sample, self.max_pixels, sides, mirrored)
        except RowError as error:
            raise RowError(error.reason, f"{sample.key}: {error.detail}") from error

    def _with_text(self, sample: TrainingSample, draw: Draw, rng: np.random.Generator) -> TrainingSample:
        vocabulary = self.vocabularies[draw.set]
        if vocabulary and sample.objects and (not sample.caption or rng.random() < self.detection[draw.set]):
            return transforms.detection_prompt(sample, vocabulary, self.config.negative_categories, rng)
        samples = self.sets[draw.set]
        if isinstance(samples, ShardSet) and samples.pseudo and rng.random() < self.config.phrase_prompts:
            phrases = samples.phrases_near(draw.index)
            return transforms.phrase_prompt(sample, phrases, self.config.negative_categories, rng)
        own = sample.caption
        if self.config.word_substitution and not sample.pseudo:
            sample = rename(sample, self.config.word_substitution, rng)
        if own and rng.random() < self.config.negative_captions:
            near = samples.captions_near(draw.index)
            count = transforms.how_many_captions(self.config.max_negative_captions, rng)
            others = [near[int(i)] for i in rng.integers(0, len(near), count)]
            return transforms.pack_captions(sample, [text for text in others if text != own], rng)
        return sample


def prefetch(make: Callable[[int], Batch], start: int, stop: int, threads: int = 1) -> Iterator[Batch]:
    """Batches of steps [start, stop), in order, made in advance by some threads."""
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="loader") as pool:
        pending: deque[Future[Batch]] = deque()
        step = start
        while step < stop or pending:
            while step < stop and len(pending) < AHEAD + threads:
                pending.append(pool.submit(make, step))
                step += 1
            yield pending.popleft().result()
