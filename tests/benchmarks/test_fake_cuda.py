"""benchmarks/fake_cuda.py on the meta device, which every build of torch has: GLIP keeps to it and waits for nothing.

On torch's build for CUDA, fake CUDA tensors are checked, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.fake_cuda import check, run
from model import grounding, losses, selection
from model.losses import Positives, claims
from model.outputs import HeadOutput

PASSED = dict.fromkeys(("inference", "assignment", "losses", "step"), "passed")
DEVICES = ["meta", *(["cuda"] if torch.backends.cuda.is_built() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_the_network_keeps_to_its_device_and_waits_for_nothing(device: str) -> None:
    assert check("glip-nano", "fp32", device, 2, 64, 96) == PASSED


def test_a_tensor_that_is_left_on_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "send", lambda x, device: x)
    found = run("glip-nano", "fp32", "meta", (2, 64, 96), ("inference",))
    assert "model/selection.py" in found["inference"] and "device" in found["inference"]


def test_a_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(outputs: Sequence[HeadOutput]) -> Tensor:
        return torch.tensor([int(outputs[0].centerness.sum())] * 2)

    def all_of(boxes: Tensor, levels: Sequence[Tensor]) -> Any:
        best, box = claims(boxes, levels)
        return best[best > 0.5], box

    monkeypatch.setattr(grounding, "all_finite", counted)
    monkeypatch.setattr("benchmarks.fake_cuda.claims", all_of)
    found = run("glip-nano", "fp32", "meta", (2, 64, 96), ("inference", "assignment"))
    for name in ("inference", "assignment"):
        assert found[name].endswith("waits for the device")


def test_the_number_of_positive_anchors_is_what_a_batch_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made up in the check: without that, the assignment of a batch is where the host would wait."""

    def matched(_: Any, boxes: list[Tensor], levels: list[Tensor]) -> Positives:
        return losses.match(boxes, levels)

    monkeypatch.setattr("benchmarks.fake_cuda.Batch._matched", matched)
    found = run("glip-nano", "fp32", "meta", (2, 64, 96), ("assignment", "losses"))
    assert found["losses"].startswith("model/losses.py") and found["losses"].endswith("waits for the device")
    assert found["assignment"] == "passed"
