"""Operations of a training step, and the peak of a device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.glip import Glip
from stages.train.flops import COUNTED, FlopMeter, measured_peak, peak_flops
from stages.train.loop import Student
from stages.train.ranks import Ranks
from stages.train.stage import make_batches
from tests.stages.train.conftest import RunDisk, small_training


@pytest.mark.slow
def test_the_meter_counts_what_a_step_costs(sharded: Path) -> None:
    """Against torch's counter around the losses and their gradients, for a shape that the meter has not measured."""
    _, maker = make_batches(RunDisk(sharded), small_training())
    glip = Glip.from_variant("glip-nano").train()
    meter, student = FlopMeter(glip), Student(glip, small_training().train)
    student(maker.make(0), Ranks().average)
    assert meter.take() > 0
    with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
        losses = student(maker.make(1), Ranks().average)
        forward = counter.get_total_flops()
        torch.stack(list(losses.values())).sum().backward()
    found = meter.take()
    assert found == pytest.approx(3 * forward, rel=0.02)
    assert found == pytest.approx(counter.get_total_flops(), rel=0.05)  # the pixels themselves need no gradient
    assert meter.take() == 0.0


def test_the_peak_of_a_cpu_is_measured_and_that_of_an_unknown_device_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 1e8 < measured_peak(torch.float32, size=256) < 1e14
    names = iter(["NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA A10G", "Somebody's next one"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: next(names))
    found = [peak_flops(torch.device("cuda"), precision) for precision in ("bf16", "fp32", "fp16", "bf16")]
    assert found == [989e12, 51e12, 70e12, None]
