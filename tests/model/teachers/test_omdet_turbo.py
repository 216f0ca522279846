"""What is particular to OmDet-Turbo: tasks that fit their limit, and no padding among the phrases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.scheduler import Scheduler
from model.teacher import OVER_LIMIT
from model.teachers.omdet_turbo import MOST, OmDetTurbo
from tests.model.teachers.conftest import Open


@pytest.fixture
def detector(open_family: Open) -> OmDetTurbo:
    found = open_family("omdet-turbo").detector
    assert isinstance(found, OmDetTurbo)
    return found


def test_the_task_names_all_phrases(detector: OmDetTurbo) -> None:
    (prompt,) = detector.caption_work("A dog, and a cat", [[(0, 5)], [(11, 16)]]).prompts
    assert prompt.task == tuple(detector.tokenizer("Detect A dog, a cat.").ids)
    assert prompt.ids == [tuple(detector.tokenizer(text).ids) for text in ("a dog", "a cat")]


def test_more_phrases_than_a_task_can_name_are_several_prompts(detector: OmDetTurbo) -> None:
    """The library cuts such a task, and searches for phrases that it does not name."""
    names = [f"object {letter}" for letter in "abcdefghijkl"]
    work = detector.category_work(names)
    assert not work.dropped and len(work.prompts) > 1
    assert [phrase for prompt in work.prompts for phrase in prompt.phrases] == list(range(len(names)))
    assert all(len(prompt.task) <= MOST for prompt in work.prompts)
    for prompt in work.prompts:
        assert prompt.task == tuple(detector.tokenizer(f"Detect {', '.join(names[i] for i in prompt.phrases)}.").ids)


def test_a_phrase_whose_own_task_is_too_long_is_reported(detector: OmDetTurbo) -> None:
    room = MOST - len(detector.tokenizer("Detect .").ids)
    names = ["a" * (room + 1), "dog", "a" * room, ""]
    work = detector.category_work(names)
    assert list(work.dropped) == [(0, OVER_LIMIT), (3, "phrase_without_tokens")]
    assert [list(prompt.phrases) for prompt in work.prompts] == [[1], [2]]


def test_phrases_of_another_image_do_not_compete(open_family: Open, images: list[np.ndarray]) -> None:
    """The library fills up with zeros, whose probability of 0.5 moves the choice of queries."""
    scheduler = Scheduler(open_family("omdet-turbo"))
    captions = ["a dog", "a cat, a cow and a bird. a tree"]
    spans = [[[(0, 5)]], [[(0, 5)], [(7, 12)], [(17, 23)], [(25, 31)]]]
    together = scheduler.ground(images[:2], captions, spans, 0.1)
    assert scheduler.batches == [[0, 1]]
    for number, found in enumerate(together):
        (alone,) = scheduler.ground(images[number : number + 1], captions[number : number + 1], spans[number:][:1], 0.1)
        assert len(found.scores) == len(alone.scores) > 0
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-2)


def scores(
    detector: OmDetTurbo, maps: list[torch.Tensor], phrases: torch.Tensor, tasks: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """(Q,) of the first phrase."""
    logits: torch.Tensor = detector.model.decoder(maps, phrases, tasks, mask, return_dict=True).decoder_classes[-1]
    return logits[0, :, 0].sigmoid()


def test_zeros_among_the_phrases_would_move_the_queries(detector: OmDetTurbo) -> None:
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    (prompt,) = detector.category_work(["dog"]).prompts
    with torch.inference_mode():
        maps = detector.encode(pixels)
        tasks, mask = detector._tasks([prompt.task])
        phrase = detector.embedding(prompt.ids[0])[None, None]  # (K, b, D)
        fillers = {"ours": phrase, "theirs": torch.zeros_like(phrase)}
        found = {
            name: scores(detector, maps, torch.cat([phrase, other]), tasks, mask) for name, other in fillers.items()
        }
        alone = scores(detector, maps, phrase, tasks, mask)
    torch.testing.assert_close(found["ours"], alone, atol=1e-5, rtol=0)
    assert float((found["theirs"] - alone).abs().max()) > 1e-3


def test_the_librarys_own_caches_are_not_used(open_family: Open, images: list[np.ndarray]) -> None:
    """They keep what was embedded in company, so that results would depend on what came before."""
    teacher = open_family("omdet-turbo")
    Scheduler(teacher).detect(images[:1], ["dog", "cat"], 0.2)
    assert teacher.detector.model.language_cache_class.current_load == 0
    assert teacher.detector.model.language_cache_prompt.current_load == 0
