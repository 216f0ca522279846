"""The scheduler alone, with a teacher that is no network: an image's grey level says what is in it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from model.images import Size
from model.outputs import Grounding
from model.scheduler import AHEAD, HOLD, NO_IMAGE, OUT_OF_MEMORY, Request, Scheduler, bucketed
from model.teacher import NO_TOKENS, NON_FINITE, Image, Query, Span, Turn, Work

SIZE = (4, 6)


class Word(NamedTuple):
    """A prompt: one word. The score of its box is the image's level and the word's length, in hundredths."""

    phrases: list[int]
    text: str


class Plain:
    """One prompt a word, one turn a prompt. `events` tells what happened in which order."""

    device = torch.device("cpu")

    def __init__(self, most: int = 1000) -> None:
        self.most = most  # images that fit into memory
        self.events: list[tuple[Any, ...]] = []
        self.threads: set[str] = set()

    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Word]:
        return self.category_work([caption[start:end] for ((start, end),) in spans])

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Word]:
        prompts = [Word([number], text) for number, text in enumerate(categories) if text]
        return Work(prompts, [(number, NO_TOKENS) for number, text in enumerate(categories) if not text])

    def bucket(self, size: Size, prompts: Sequence[Word]) -> Hashable:
        return size

    def prepare(self, image: Image) -> int:
        self.threads.add(threading.current_thread().name)
        return int(image[0, 0, 0])

    def ground(self, batch: Sequence[Query], score_floor: float) -> Iterator[Turn]:
        levels = [query.image for query in batch]
        for turn in range(max(len(query.prompts) for query in batch)):
            if len(batch) > self.most and turn == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.events.append(("begun", turn, levels))
            words = [query.prompts[turn] if turn < len(query.prompts) else None for query in batch]
            yield partial(self.collected, turn, levels, words)

    def collected(self, turn: int, levels: list[int], words: list[Word | None]) -> list[Grounding]:
        self.events.append(("collected", turn, levels))
        return [Grounding.empty() if word is None else self.answer(level, word) for level, word in zip(levels, words)]

    def answer(self, level: int, word: Word) -> Grounding:
        score = float("nan") if word.text == "nan" else (level + len(word.text)) / 100
        box = [[0.0, 0.0, float(level), float(len(word.text))]]
        return Grounding(torch.tensor(box), torch.tensor([score]), torch.tensor(word.phrases))


def image(level: int, size: Size = SIZE) -> Image:
    return np.full((*size, 3), level, dtype=np.uint8)


def rows(found: Grounding) -> list[tuple[int, float]]:
    return [(phrase, round(score * 100)) for phrase, score in zip(found.phrase.tolist(), found.scores.tolist())]


def test_turns_are_merged_best_first_and_equal_scores_in_the_order_of_the_turns() -> None:
    runs = Scheduler(Plain(), batch_size=3)
    found = runs.detect([image(10), image(20)], ["ab", "", "abcd", "ba", "a"])
    assert [rows(one) for one in found] == [
        [(2, 14), (0, 12), (3, 12), (4, 11)],
        [(2, 24), (0, 22), (3, 22), (4, 21)],
    ]
    assert [one.dropped for one in found] == [[(1, NO_TOKENS)]] * 2 and [one.failed for one in found] == [None] * 2
    assert found[0].boxes.tolist()[0] == [0, 0, 10, 4]


def test_images_with_fewer_prompts_than_their_neighbours_are_unharmed() -> None:
    captions, spans = ["ab abc", "a", ""], [[[(0, 2)], [(3, 6)]], [[(0, 1)]], []]
    found = Scheduler(Plain(), 3).ground([image(1), image(2), image(3)], captions, spans)
    assert [rows(one) for one in found] == [[(1, 4), (0, 3)], [(0, 3)], []]


def test_the_next_turn_is_under_way_while_one_is_collected() -> None:
    teacher = Plain()
    Scheduler(teacher, batch_size=1).detect([image(1), image(2)], ["a", "b"])
    assert teacher.events == [
        ("begun", 0, [1]),
        ("begun", 1, [1]),
        ("collected", 0, [1]),
        ("begun", 0, [2]),
        ("collected", 1, [1]),
        ("begun", 1, [2]),
        ("collected", 0, [2]),
        ("collected", 1, [2]),
    ]


def test_images_are_prepared_in_another_thread_and_not_long_before_they_are_needed() -> None:
    teacher, drawn, found = Plain(), [], 0

    def load(number: int) -> Image:
        drawn.append(number)
        return image(number)

    work = teacher.category_work(["a"])
    samples = (Request(SIZE, partial(load, number), work) for number in range(60))
    runs = Scheduler(teacher, batch_size=2)
    for number, one in runs.stream(samples):
        assert rows(one) == [(0, number + 1)]
        found += 1
        assert len(drawn) - found <= 2 * (AHEAD + 2)
    assert found == 60 and len(runs.batches) == 30
    assert threading.current_thread().name not in teacher.threads and teacher.threads


def test_memory_that_runs_out_in_a_later_turn_halves_the_batch() -> None:
    teacher = Plain(most=2)
    runs = Scheduler(teacher, batch_size=8)
    found = runs.detect([image(level) for level in range(5)], ["a", "ab"])
    assert [rows(one) for one in found] == [[(1, level + 2), (0, level + 1)] for level in range(5)]
    assert runs.batches == [[0, 1], [2], [3, 4]] and runs.halved == 2
    assert runs.notes(["p", "q", "r", "s", "t"]) == {"batches": [["p", "q"], ["r"], ["s", "t"]]}
    found = runs.detect([image(0)], ["a", "ab"])
    assert (runs.batches, runs.halved, runs.notes(["p"])) == ([[0]], 0, {}) and len(found[0].boxes) == 2


def test_an_image_that_does_not_fit_alone_fails_and_no_other() -> None:
    runs = Scheduler(Plain(most=0), batch_size=8)
    found = runs.ground([image(1), image(2)], ["a b", "a"], [[[(0, 1)], [(2, 3)]], [[(0, 1)]]])
    assert [one.failed for one in found] == [OUT_OF_MEMORY, None] and not len(found[0].boxes)
    assert rows(found[1]) == [(0, 3)] and runs.batches == [[1]]


def test_numbers_that_are_not_finite_fail_their_image() -> None:
    found = Scheduler(Plain(), 4).ground([image(1), image(2)], ["a nan", "a"], [[[(0, 1)], [(2, 5)]], [[(0, 1)]]])
    assert [one.failed for one in found] == [NON_FINITE, None]
    assert not len(found[0].boxes) and rows(found[1]) == [(0, 3)]


def test_an_image_that_is_not_there_fails_without_being_asked_for() -> None:
    teacher = Plain()
    work = teacher.category_work(["a"])
    samples = [Request(SIZE, lambda: None, work), Request(SIZE, lambda: image(5), work)]
    found = dict(Scheduler(teacher, 2).stream(samples))
    assert found[0].failed == NO_IMAGE and rows(found[1]) == [(0, 6)]
    assert teacher.events == [("begun", 0, [5]), ("collected", 0, [5])]


def test_a_teacher_that_has_nothing_to_do_for_a_batch_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Plain()
    monkeypatch.setattr(teacher, "ground", lambda batch, score_floor: iter(()))
    found = Scheduler(teacher, 2).detect([image(1), image(2), image(3)], ["a"])
    assert [(len(one.boxes), one.failed) for one in found] == [(0, None)] * 3


def test_errors_of_a_teacher_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Plain()

    def broken(value: Image) -> Any:
        raise KeyError("a programming error")

    monkeypatch.setattr(teacher, "prepare", broken)
    with pytest.raises(KeyError, match="a programming error"):
        Scheduler(teacher).detect([image(1)], ["a"])


def test_one_answer_for_each_image_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Plain()
    monkeypatch.setattr(teacher, "ground", lambda batch, score_floor: iter([lambda: [Grounding.empty()]]))
    with pytest.raises(ValueError, match="shorter"):
        Scheduler(teacher, 2).detect([image(1), image(2)], ["a"])


def test_sizes_keep_images_apart_and_a_pass_holds_a_batch_back_for_a_while() -> None:
    teacher = Plain()
    work = teacher.category_work(["a"])
    sizes = [(2, 2), *[(3, 3)] * (4 * HOLD), (2, 2)]
    samples = [Request(size, partial(image, 7, size), work) for size in sizes]
    runs = Scheduler(teacher, 2)
    assert len(dict(runs.stream(samples))) == len(sizes)
    alone = [batch for batch in runs.batches if len(batch) == 1]
    assert alone == [[0], [len(sizes) - 1]]  # 2 x HOLD later ones have come, so the first waits no longer
    assert len(dict(runs.stream(samples, hold=len(sizes)))) == len(sizes)
    assert [0, len(sizes) - 1] in runs.batches


@pytest.mark.parametrize("hold", [0, 3, 50, 10_000])
def test_buckets_fill_within_the_time_that_an_item_may_wait(hold: int) -> None:
    random = np.random.default_rng(0)
    items = [(number, int(kind)) for number, kind in enumerate(random.geometric(0.3, 400))]
    newest = -1

    def drawn() -> Iterator[tuple[int, int]]:
        nonlocal newest
        for newest, item in enumerate(items):  # noqa: B007 - how far the items have been drawn
            yield item

    seen, short = [], 0
    for batch in bucketed(drawn(), lambda item: item[1], 4, hold):
        assert len({kind for _, kind in batch}) == 1 and len(batch) <= 4
        assert newest - batch[0][0] <= hold or newest == len(items) - 1
        assert len(batch) == 4 or newest - batch[0][0] == hold or newest == len(items) - 1
        seen += batch
        short += len(batch) < 4
    assert sorted(seen) == items
    kinds = {kind for _, kind in items}
    assert short > len(kinds) if hold < 50 else short <= 2 * len(kinds)
