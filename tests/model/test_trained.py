"""The weights in the package: what half precision does to real labels."""

from __future__ import annotations

import pytest
import torch

from model.checkpoint import packaged_weights
from model.geometry import pairwise_iou
from model.glip import Glip
from stages.images import decode_rgb
from stages.synthetic import draw_scene

SCENES = 40


@pytest.fixture(scope="module")
def trained() -> Glip:
    try:
        packaged_weights("glip-nano")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    torch.set_num_threads(1)
    return Glip.pretrained("glip-nano")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_the_labels(trained: Glip, precision: str) -> None:
    """At least 99% of the boxes above 0.5 stay (IoU > 0.9, same phrase), with scores less than 0.02 away."""
    scenes = [draw_scene("eval", 3, number) for number in range(SCENES)]
    images = [decode_rgb(scene.jpeg, 10**7) for scene in scenes]
    captions, spans = [scene.caption for scene in scenes], [[[span] for span in scene.spans] for scene in scenes]
    full = trained.ground(images, captions, spans, 0.45)
    trained.precision = precision
    half = trained.ground(images, captions, spans, 0.45)
    trained.precision = "fp32"
    kept = total = 0
    for one, other in zip(full, half, strict=True):
        high = one.scores > 0.5
        near = pairwise_iou(one.boxes[high], other.boxes) > 0.9
        near &= (one.phrase[high, None] == other.phrase) & ((one.scores[high, None] - other.scores).abs() < 0.02)
        total += len(near)
        kept += int(near.any(1).sum())
    assert total > SCENES
    assert kept >= 0.99 * total
