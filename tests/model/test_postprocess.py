"""From head outputs to boxes, against the definition in plain Python: no recording of the official code is needed."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch

from model.head import OFFICIAL, HeadOutput, postprocess
from model.postprocess import Settings
from tests.model.boxes import Box, iou

SIZES = [(20, 24), (10, 12), (5, 6), (3, 3), (2, 2)]  # maps of P3 .. P7 for a padded image of 160 x 192
IMAGES = [(160, 192), (121, 141)]  # (h, w) of the resized images: the second one is smaller than its padding
TOKENS, UNREAD = 7, 6  # the last token belongs to no phrase
PHRASES = [[[1], [2, 3], [], [4, 5, 1]], [[3]]]  # tokens of every phrase, by image


class Found(NamedTuple):
    box: Box
    score: float
    phrase: int


def outputs_of(seed: int) -> list[HeadOutput]:
    """Spread so that all thresholds and limits have something to do."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    made = []
    for h, w in SIZES:
        logits = random(2, h * w, TOKENS) * 2 - 2
        logits[:, :, UNREAD] = float("nan")
        logits[0, 0, 1] = float("nan")  # not above any threshold
        made.append(HeadOutput(logits, random(2, 4, h, w), random(2, 1, h, w)))
    return made


def by_hand(outputs: list[HeadOutput], image: int, settings: Settings) -> list[Found]:
    """One image, position by position: candidates, limit of the level, boxes, NMS, limit of the image."""
    height, width = IMAGES[image]
    found = []
    for output, (rows, columns), stride in zip(outputs, SIZES, (8, 16, 32, 64, 128), strict=True):
        level = []
        for place in range(rows * columns):
            y, x = divmod(place, columns)
            center = sigmoid(float(output.centerness[image, 0, y, x]))
            for phrase, tokens in enumerate(PHRASES[image]):
                each = [sigmoid(float(output.token_logits[image, place, t])) for t in tokens]
                if each and sum(each) / len(each) > settings.threshold:
                    delta = output.box_regression[image, :, y, x].tolist()
                    box = clipped(decoded(delta, x * stride, y * stride, stride), height, width)
                    level.append(Found(box, math.sqrt(sum(each) / len(each) * center), phrase))
        found += best(level, settings.per_level, settings.limits_per_phrase)
    found = suppressed([one for one in found if one.score >= settings.score_floor], settings.nms_iou)
    return best(found, settings.limit, settings.limits_per_phrase)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def decoded(delta: list[float], left: int, top: int, stride: int) -> Box:
    """The anchor is a square of 8 strides around the middle of its cell; widths count both corners."""
    size = 8 * stride
    x, y = (start + (stride - 1) / 2 + d / 10 * size for start, d in zip((left, top), delta[:2], strict=True))
    w, h = (size * math.exp(min(d / 5, math.log(1000 / 16))) for d in delta[2:])
    return x - (w - 1) / 2, y - (h - 1) / 2, x + (w - 1) / 2, y + (h - 1) / 2


def clipped(box: Box, height: int, width: int) -> Box:
    x1, x2 = (min(max(x, 0.0), width - 1.0) for x in (box[0], box[2]))
    y1, y2 = (min(max(y, 0.0), height - 1.0) for y in (box[1], box[3]))
    return x1, y1, x2, y2


def best(found: list[Found], limit: int, per_phrase: bool) -> list[Found]:
    """The best so many, of all phrases together or of each; best first."""
    ordered = sorted(found, key=lambda one: -one.score)
    if not per_phrase:
        return ordered[:limit]
    own = {phrase: [one for one in ordered if one.phrase == phrase][:limit] for phrase in {x.phrase for x in found}}
    return sorted((one for some in own.values() for one in some), key=lambda one: -one.score)


def suppressed(found: list[Found], most: float) -> list[Found]:
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: -one.score):
        if all(one.phrase != other.phrase or iou(one.box, other.box) <= most for other in kept):
            kept.append(one)
    return kept


CASES = {
    "official": OFFICIAL,
    "high threshold": Settings(threshold=0.3, limit=1000),  # on the mean, before centerness
    "few candidates": Settings(per_level=30),
    "few boxes": Settings(limit=25),
    "ground": Settings(threshold=0.01, score_floor=0.1, limits_per_phrase=True),
    "ground, few": Settings(threshold=0.01, per_level=12, limit=6, score_floor=0.3, limits_per_phrase=True),
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_boxes_are_those_of_the_definition(settings: Settings) -> None:
    outputs = outputs_of(0)
    found = postprocess(outputs, IMAGES, PHRASES, settings)
    assert len(found) == len(IMAGES)
    for image, one in enumerate(found):
        expected = by_hand(outputs, image, settings)
        assert len(expected) > 5
        assert one.phrase.tolist() == [own.phrase for own in expected]
        torch.testing.assert_close(one.scores, torch.tensor([own.score for own in expected]))
        torch.testing.assert_close(one.boxes, torch.tensor([own.box for own in expected]), rtol=0, atol=1e-3)


def test_every_setting_of_the_cases_changes_the_result() -> None:
    """Or the cases would not show that it is obeyed."""
    outputs = outputs_of(0)

    def count(**changed: float) -> int:
        return len(by_hand(outputs, 0, Settings(**{"limit": 10**6, **changed})))

    everything = count()
    assert everything > 100 >= len(by_hand(outputs, 0, OFFICIAL))
    for changed in ({"threshold": 0.2}, {"per_level": 30}, {"nms_iou": 0.4}, {"score_floor": 0.3}):
        assert count(**changed) < everything < count(nms_iou=1.0)
    flat = [own for own in by_hand(outputs, 1, OFFICIAL) if own.box[0] == own.box[2] or own.box[1] == own.box[3]]
    assert flat  # boxes over the padding end without a width, and count


def test_ties_at_the_limit_stay() -> None:
    outputs = [HeadOutput(x.token_logits * 0, x.box_regression, x.centerness * 0) for x in outputs_of(1)]
    for output in outputs:
        output.token_logits.nan_to_num_(0.0)
    (one, _) = postprocess(outputs, IMAGES, PHRASES, Settings(limit=3))
    assert len(one.scores) > 3 and one.scores.unique().numel() == 1


def test_no_phrase_no_box() -> None:
    for settings in (OFFICIAL, Settings(limits_per_phrase=True)):
        found = postprocess(outputs_of(2), IMAGES, [[], [[]]], settings)
        assert [one.boxes.shape for one in found] == [(0, 4), (0, 4)]
        assert [len(one.scores) == len(one.phrase) == 0 for one in found] == [True, True]
