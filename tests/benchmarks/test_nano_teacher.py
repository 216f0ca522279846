"""The recorded figures of the packaged teacher, checked again on a smaller sample."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks.nano_teacher import measure
from benchmarks.record import ROOT
from model.checkpoint import packaged_weights, sha256
from model.scheduler import Scheduler
from model.teachers import open_teacher
from schemas.config import LabelConfig

RECORDED = ROOT / "benchmarks" / "results" / "nano_teacher.json"
SAMPLE = 80


@pytest.mark.slow
def test_a_smaller_sample_agrees_with_the_recorded_figures() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded["weights_sha256"] == sha256(packaged_weights("glip-nano"))
    teacher = Scheduler(open_teacher(LabelConfig(teacher="glip-nano", device="cpu")))
    found = measure(teacher, SAMPLE, seed=recorded["seed"] + 1)["extracted"]["seen"]["at"]
    wanted = recorded["extracted"]["seen"]["at"]
    for figure, of in (("precision", found["boxes"]), ("recall", found["gold"])):
        error = math.sqrt(wanted[figure] * (1 - wanted[figure]) / of)  # boxes of one image are not independent: 4 of it
        assert abs(found[figure] - wanted[figure]) <= 4 * error + 0.02, figure


def test_the_weights_are_small_enough_to_ship() -> None:
    assert packaged_weights("glip-nano").stat().st_size <= 15 * 2**20
