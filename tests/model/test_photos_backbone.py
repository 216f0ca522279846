"""The backbone of glip-photos: sizes of its maps, its layers, and what a whole model of it gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.checkpoint import WeightsError
from model.glip import Glip
from model.shufflenet import shuffle

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


def test_channels_of_two_branches_alternate() -> None:
    first, second = torch.arange(3.0).view(1, 3, 1, 1), torch.arange(10.0, 13.0).view(1, 3, 1, 1)
    assert shuffle(first, second).flatten().tolist() == [0, 10, 1, 11, 2, 12]


def test_half_of_the_channels_pass_a_block(photos: Glip) -> None:
    block = photos.backbone.body.stages[0][1]
    x = torch.randn(1, 176, 6, 6)
    with torch.no_grad():
        y = block(x)
    assert torch.equal(y[:, ::2], x[:, :88])
    assert not torch.equal(y[:, 1::2], x[:, 88:])


def test_a_ghost_block_is_its_convolutions(photos: Glip) -> None:
    """Written out once more with torch's functions."""
    block = photos.backbone.fpn.top_down[0]
    x = torch.randn(1, 256, 5, 7)

    def conv(layer: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2, groups=layer.groups)

    with torch.no_grad():
        half = F.leaky_relu(conv(block.ghost1.primary, x), 0.1)
        inner = torch.cat((half, F.leaky_relu(conv(block.ghost1.cheap, half), 0.1)), dim=1)
        half = conv(block.ghost2.primary, inner)
        expected = torch.cat((half, conv(block.ghost2.cheap, half)), dim=1)
        expected += conv(block.shortcut[1], conv(block.shortcut[0], x))
        torch.testing.assert_close(block(x), expected)


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
    for number, found in enumerate(together):
        (alone,) = photos.ground(images[number : number + 1], CAPTIONS[number : number + 1], [SPANS[number]], 0.1)
        assert len(alone.boxes) > 5
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.boxes, alone.boxes, atol=0.05, rtol=0)
