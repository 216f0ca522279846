"""What is particular to OWL-ViT and OWLv2: phrases that do not know of each other, and no padding that wins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from model.scheduler import Scheduler
from model.teacher import OVER_LIMIT
from model.teachers.owl import OwlVit, Patches
from tests.model.teachers.conftest import Folder, Open

both = pytest.mark.parametrize("family", ["owlvit", "owlv2"])
LIMIT = 16  # tokens; a letter is one


def detector_of(open_family: Open, family: str) -> OwlVit:
    detector = open_family(family).detector
    assert isinstance(detector, OwlVit)
    return detector


def library_scores(teacher: Any) -> torch.Tensor:
    """(1, P, 2) logits of an image of noise: of "dog", and of the empty text that fills up beside an image with two."""
    detector = teacher.detector
    empty, dog = (list(detector.tokenizer(text).ids) for text in ("", "dog"))
    assert len(empty) == 2  # BOS and EOS: no token of it is 0, by which the library would know it
    ids = torch.tensor([dog + empty[-1:] * (LIMIT - len(dog)), empty + empty[-1:] * (LIMIT - 2)])
    mask = torch.tensor([[1] * len(dog) + [0] * (LIMIT - len(dog)), [1, 1] + [0] * (LIMIT - 2)])
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        logits: torch.Tensor = detector.model(input_ids=ids, pixel_values=pixels, attention_mask=mask).logits
    return logits


@both
def test_a_phrase_beyond_the_limit_is_reported(family: str, open_family: Open) -> None:
    """The library fails on it."""
    detector = detector_of(open_family, family)
    fits, long = "a" * (LIMIT - 2), "a" * (LIMIT - 1)
    caption = f"{fits} {long}"
    work = detector.caption_work(caption, [[(0, len(fits))], [(len(fits) + 1, len(caption))]])
    assert [list(prompt.phrases) for prompt in work.prompts] == [[0]] and list(work.dropped) == [(1, OVER_LIMIT)]
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        detector._embed(tuple(detector.tokenizer(long).ids))


@both
def test_a_phrase_scores_the_same_whatever_else_is_asked(
    family: str, open_family: Open, images: list[np.ndarray]
) -> None:
    scheduler = Scheduler(open_family(family))
    (alone,), (among,) = (scheduler.detect(images[:1], names, 0.2) for names in (["dog"], ["cat", "dog", "cow"]))
    own = among.phrase == 1
    assert len(alone.scores) > 0
    torch.testing.assert_close(among.boxes[own], alone.boxes)
    torch.testing.assert_close(among.scores[own], alone.scores, atol=1e-6, rtol=0)


@both
def test_images_with_fewer_phrases_have_no_others(family: str, open_family: Open, images: list[np.ndarray]) -> None:
    """The library fills up with empty texts, which its mask does not hide and which may score highest."""
    scheduler = Scheduler(open_family(family))
    captions, spans = ["a dog", "a cat, a cow and a bird"], [[[(0, 5)]], [[(0, 5)], [(7, 12)], [(17, 23)]]]
    assert library_scores(open_family(family)).argmax(2).eq(1).any()  # an empty text is the best of some patch
    one, three = scheduler.ground(images[:2], captions, spans, 0.0)
    assert scheduler.batches == [[0, 1]]
    assert set(one.phrase.tolist()) == {0} and set(three.phrase.tolist()) == {0, 1, 2}


@both
def test_a_phrase_is_embedded_once(family: str, open_family: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = detector_of(open_family, family)
    ids = tuple(detector.tokenizer("a very old cow"[:14]).ids)
    first = detector.embedding(ids)
    assert detector.embedding(ids) is first and float(first.norm()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(detector._embed(ids), first)


@both
def test_images_are_encoded_without_text(family: str, open_family: Open) -> None:
    detector = detector_of(open_family, family)
    with torch.inference_mode():
        found = detector.encode(torch.randn(2, 3, 64, 64))
    assert isinstance(found, Patches) and found.features.shape[:2] == (2, 64) and found.boxes.shape == (2, 64, 4)


def test_a_box_may_not_lie_in_what_was_added(folder_of: Folder, open_family: Open) -> None:
    """OWLv2 pads to a square: boxes are cut at the image, and those beyond it are none."""
    image = np.random.default_rng(0).integers(0, 256, (30, 90, 3), dtype=np.uint8)
    (found,) = Scheduler(open_family("owlv2")).detect([image], ["dog"], 0.0)
    assert len(found.scores) > 0
    assert float(found.boxes[:, 3].max()) <= 30 and bool((found.boxes[:, 3] > found.boxes[:, 1]).all())
