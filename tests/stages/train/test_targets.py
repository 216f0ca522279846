"""What examples are to the losses: boxes of several phrases that coincide are one region."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from model.glip import Glip
from stages.geometry import box_array
from stages.train.samples import WRONG, Example
from stages.train.targets import loss_target, shared_phrases
from tests.stages.train.conftest import small_training

CAPTION = "a man and the waiter with a cup"
MAN, WAITER, CUP = ((0, 5),), ((10, 20),), ((26, 31),)
REGION, NEAR, OTHER = [20.0, 20, 80, 90], [20.0, 20, 80, 92], [90.0, 30, 120, 70]


def example(
    boxes: list[list[float]], phrase: list[int], spans: Any = (MAN, WAITER, CUP), pseudo: bool = True
) -> Example:
    return Example(
        key="a",
        image=np.full((96, 128, 3), 90, np.uint8),
        caption=CAPTION,
        spans=spans,
        boxes=box_array(boxes),
        phrase=np.asarray(phrase, dtype=np.int64),
        scores=np.full(len(boxes), 0.8, np.float32),
        pseudo=pseudo,
    )


def losses(glip: Glip, own: Example, **options: Any) -> dict[str, float]:
    target = loss_target(own, small_training(**options).train)
    found = glip.losses([own.image], [own.caption], [own.spans], [target], resize_to=None, phrase_softmax=True)
    return {name: value.item() for name, value in found.items()}


@pytest.fixture(scope="module")
def glip() -> Glip:
    return Glip.from_variant("glip-nano", seed=0).eval()


def test_boxes_that_coincide_have_each_others_phrases() -> None:
    boxes = box_array([REGION, OTHER, NEAR, REGION])
    found = shared_phrases(boxes, np.array([0, 2, 1, 0]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 0]]
    half = box_array([REGION, [20, 20, 80, 82]])  # IoU 62/70 = 0.886
    assert shared_phrases(half, np.array([0, 1]), 2).tolist() == [[1, 0], [0, 1]]
    assert shared_phrases(box_array([[5, 5, 5, 5]] * 2), np.array([0, 1]), 2).tolist() == [[1, 0], [0, 1]]
    assert shared_phrases(box_array([]), np.zeros(0, np.int64), 0).shape == (0, 1)


def test_two_phrases_on_one_region_are_as_one_phrase_with_the_words_of_both(glip: Glip) -> None:
    two = losses(glip, example([REGION, REGION, OTHER], [0, 1, 2]))
    one = losses(glip, example([REGION, OTHER], [0, 1], (MAN + WAITER, CUP)))
    assert {**two, "loss_phrase_softmax": 0.0} == {**one, "loss_phrase_softmax": 0.0}
    assert losses(glip, example([REGION, REGION, OTHER], [1, 0, 2])) == pytest.approx(two)  # whichever comes first


def test_officially_the_first_phrase_has_every_anchor(glip: Glip) -> None:
    official = losses(glip, example([REGION, REGION, OTHER], [0, 1, 2]), shared_regions=False)
    alone = losses(glip, example([REGION, OTHER], [0, 2]), shared_regions=False)
    assert official == alone
    assert losses(glip, example([REGION, REGION, OTHER], [1, 0, 2]), shared_regions=False) != official


def test_gold_and_boxes_apart_are_as_published(glip: Glip) -> None:
    assert "shared" not in loss_target(example([REGION, REGION], [0, 1], pseudo=False), small_training().train)
    apart = example([REGION, OTHER], [0, 2])
    assert losses(glip, apart) == losses(glip, apart, shared_regions=False)


def test_the_contrast_knows_both_phrases_of_a_region(glip: Glip) -> None:
    """As two regions of one phrase each would be, with targets halved: here, by permuting what is named first."""
    from model.contrastive import RegionWordContrast

    contrast = RegionWordContrast(glip.variant.channels, glip.variant.text.hidden, 0)
    found = []
    for phrase, shared_regions in (([0, 1], True), ([1, 0], True), ([0, 1], False), ([1, 0], False)):
        own = example([REGION, REGION], phrase)
        target = loss_target(own, small_training(shared_regions=shared_regions).train)
        with torch.no_grad():
            batch = ([own.image], [own.caption], [own.spans], [target])
            found.append(glip.losses(*batch, resize_to=None, contrast=contrast)["loss_contrastive"].item())
    assert found[0] == pytest.approx(found[1]) and found[2] != pytest.approx(found[3])


def test_a_wrong_box_of_a_person_trains_against_its_phrase_there(glip: Glip) -> None:
    """The same image: a right box alone, and with a wrong one of another phrase, which adds to the alignment only."""
    right = replace(example([REGION], [0], pseudo=False), scores=np.ones(1, np.float32), partial=True)
    both = example([REGION, OTHER], [0, 2], pseudo=False)
    both = replace(both, scores=np.array([1, WRONG], np.float32), partial=True)
    one, two = losses(glip, right), losses(glip, both)
    assert two["loss_dot_product_token"] > one["loss_dot_product_token"]
    assert two["loss_reg"] == pytest.approx(one["loss_reg"])
    whole = losses(glip, replace(right, partial=False))
    assert one["loss_dot_product_token"] < whole["loss_dot_product_token"]  # elsewhere, nothing is known
