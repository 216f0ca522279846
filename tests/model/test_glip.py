"""The order in which a training batch reaches the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model import glip as module
from model import losses
from model import targets as batches
from model.glip import Glip


def test_all_that_is_waited_for_comes_before_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The assignment asks the device how many anchors are positive: behind the network, it would wait for that, too."""
    model = Glip.from_variant("glip-nano").eval()
    events: list[str] = []

    def noted(name: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            events.append(name)
            return function(*args, **options)

        return call

    monkeypatch.setattr(module, "match", noted("match", losses.match))
    monkeypatch.setattr(model.backbone, "forward", noted("network", model.backbone.forward))
    monkeypatch.setattr(module, "head_losses", noted("losses", losses.head_losses))
    monkeypatch.setattr(Tensor, "nonzero", noted("wait", Tensor.nonzero))
    image = np.zeros((64, 96, 3), np.uint8)
    target = {"boxes": [[4, 4, 40, 40], [10, 20, 70, 50]], "phrase": [0, 0]}
    model.losses([image] * 2, ["a dog"] * 2, [[[(0, 5)]]] * 2, [target] * 2, resize_to=None)
    assert events == ["match", "wait", "network", "losses"]  # waited for once, however many images


def test_images_and_targets_cross_as_send_sends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is pinned, and without a wait; an ordinary copy waits for all that the device was given before."""
    model = Glip.from_variant("glip-nano").eval()
    sent: list[tuple[int, ...]] = []

    def send(x: Tensor, device: torch.device) -> Tensor:
        sent.append(tuple(x.shape))
        return x.to(device)

    for place in (module, batches):
        monkeypatch.setattr(place, "send", send)
    image = np.zeros((64, 96, 3), np.uint8)
    target = {"boxes": [[4, 4, 40, 40]], "phrase": [0], "shared": torch.ones(1, 1)}
    model.losses([image], ["a dog"], [[[(0, 5)]]], [target], resize_to=None)
    images, targets = [(1, 64, 96, 3)], [(1, 4), (1, 256), (1,), (1, 1), (1,), (1,), (1, 256)]
    assert sorted(sent) == sorted(images + targets)
