"""glip-photos as a whole: sizes of its maps, its weights, what it grounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from model.checkpoint import WeightsError
from model.glip import Glip

SPANS = [[[(0, 5)], [(15, 21)]], [[(0, 7)]]]
CAPTIONS = ["a dog with a red ball", "two men"]


@pytest.fixture(scope="module")
def photos() -> Glip:
    torch.set_num_threads(1)
    return Glip.from_variant("glip-photos", seed=2).eval()


@pytest.mark.parametrize(("height", "width"), [(224, 320), (32, 32), (250, 333)])
def test_five_maps_at_the_strides_of_the_anchors(photos: Glip, height: int, width: int) -> None:
    with torch.no_grad():
        maps = photos.backbone(torch.randn(2, 3, height, width))
    assert [tuple(x.shape) for x in maps] == [
        (2, 128, -(-height // stride), -(-width // stride)) for stride in (8, 16, 32, 64, 128)
    ]


def test_weights_are_loaded_strictly(photos: Glip) -> None:
    state = dict(photos.state_dict())
    again = Glip.from_official("glip-photos", {f"module.{name}": value for name, value in state.items()})
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
    lost = state.pop("backbone.body.stem.0.weight")
    with pytest.raises(WeightsError, match=r"1 missing: backbone\.body\.stem\.0\.weight"):
        Glip.from_official("glip-photos", state)
    with pytest.raises(WeightsError, match=r"1 of another shape: backbone\.body\.stem"):
        Glip.from_official("glip-photos", {**state, "backbone.body.stem.0.weight": lost[:3]})


def test_a_result_does_not_depend_on_its_neighbours(
    photos: Glip, images_made: Callable[[int, list[tuple[int, int]]], list[np.ndarray]]
) -> None:
    images = images_made(0, [(240, 320), (200, 300)])
    with torch.no_grad():
        photos.rpn.head.bias0.fill_(-1.0)
    together = photos.ground(images, CAPTIONS, SPANS, 0.1)
    assert len(together) == 2
    for number, found in enumerate(together):
        (alone,) = photos.ground(images[number : number + 1], CAPTIONS[number : number + 1], [SPANS[number]], 0.1)
        assert len(alone.boxes) > 5
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.boxes, alone.boxes, atol=0.05, rtol=0)
