"""Parameter groups, schedules and the moving average, against the numbers of the published settings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.train.optimizer import (
    Ema,
    decay_factor,
    freeze,
    make_optimizer,
    rate_factor,
    set_rates,
    set_weight_decay,
)


class Toy(nn.Module):
    """Names as in GLIP: the text encoder, biases of every spelling, norms, and what is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.language_backbone = nn.Linear(2, 2)
        self.head = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(2)
        self.bias0 = nn.Parameter(torch.zeros(1))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)


def test_groups_are_the_published_ones() -> None:
    toy = Toy()
    optimizer = make_optimizer(toy, lr=1e-4, text_lr=1e-5, weight_decay=0.05)
    names = {id(value): name for name, value in toy.named_parameters()}
    found = {
        names[id(value)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for value in group["params"]
    }
    assert found == {
        "language_backbone.weight": (1e-5, 0.05),
        "language_backbone.bias": (2e-5, 0.0),
        "head.weight": (1e-4, 0.05),
        "head.bias": (2e-4, 0.0),
        "norm.weight": (1e-4, 0.05),
        "norm.bias": (2e-4, 0.0),
        "bias0": (2e-4, 0.0),
        "relative_position_bias_table": (2e-4, 0.0),
    }
    set_rates(optimizer, 0.1)
    set_rates(optimizer, 0.5)  # of the base rates, not of the last ones
    assert {group["lr"] for group in optimizer.param_groups} == {5e-5, 1e-4, 5e-6, 1e-5}


def test_the_visual_backbone_has_a_rate_of_its_own() -> None:
    both = nn.ModuleDict({"backbone": nn.Linear(2, 2), "language_backbone": nn.Linear(2, 2), "rpn": nn.Linear(2, 2)})
    wrapped = nn.ModuleDict({"glip": both})  # as the trainer holds it
    optimizer = make_optimizer(wrapped, lr=1e-3, text_lr=1e-4, weight_decay=0.0, backbone_lr=1e-5)
    names = {id(value): name for name, value in both.named_parameters()}
    rates = {names[id(value)]: group["lr"] for group in optimizer.param_groups for value in group["params"]}
    assert {name: rate for name, rate in rates.items() if name.endswith("weight")} == {
        "backbone.weight": 1e-5,
        "language_backbone.weight": 1e-4,
        "rpn.weight": 1e-3,
    }


def test_what_is_frozen_is_in_no_group() -> None:
    toy = Toy()
    freeze(toy, ["language_backbone.", "norm.bias"])
    optimizer = make_optimizer(toy, lr=1e-4, text_lr=1e-5, weight_decay=0.05)
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert count == len(list(toy.parameters())) - 1 - 3
    assert not toy.norm.bias.requires_grad and toy.norm.weight.requires_grad
    with pytest.raises(ValueError, match=r"train\.frozen: no parameter's name begins with 'back'"):
        freeze(toy, ["back"])


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        ("step", 0, 0.001),
        ("step", 50, 0.5005),
        ("step", 100, 1.0),
        ("step", 669, 1.0),
        ("step", 670, 0.1),
        ("step", 890, 0.01),
        ("cosine", 100, 1.0),
        ("cosine", 550, 0.5),
        ("cosine", 1000, 0.0),
        ("constant", 999, 1.0),
    ],
)
def test_rates_over_a_thousand_steps(schedule: str, step: int, factor: float) -> None:
    assert rate_factor(step, 1000, 100, schedule) == pytest.approx(factor, abs=1e-9)


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        ("constant", 999, 1.0),
        ("step", 446, 1.0),
        ("step", 447, 0.1),  # 0.667 x 0.67 x 1000 = 446.9
        ("step", 593, 0.1),
        ("step", 594, 0.01),  # 0.667 x 0.89 x 1000 = 593.6
    ],
)
def test_weight_decay_over_a_thousand_steps(schedule: str, step: int, factor: float) -> None:
    assert decay_factor(step, 1000, schedule) == pytest.approx(factor, abs=1e-9)


def test_biases_stay_without_weight_decay() -> None:
    optimizer = make_optimizer(Toy(), lr=1e-4, text_lr=1e-5, weight_decay=0.01)
    before = [group["weight_decay"] for group in optimizer.param_groups]
    set_weight_decay(optimizer, 0.001)
    set_weight_decay(optimizer, 0.0001)
    after = [group["weight_decay"] for group in optimizer.param_groups]
    assert set(before) == {0.0, 0.01} and after == [0.0001 if decay else 0.0 for decay in before]


def test_the_moving_average_by_hand() -> None:
    """Decay (1 + step) / (10 + step) until that passes 0.5, so that the first weights are soon forgotten."""
    toy = nn.Linear(1, 1, bias=False)
    toy.weight.data.fill_(1.0)
    ema = Ema(toy, 0.5)
    expected = 1.0
    for step, value in enumerate((3.0, -1.0, 4.0, 8.0, 2.0, 6.0, 1.0, 0.0, 5.0, 9.0)):
        toy.weight.data.fill_(value)
        ema.update(toy, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert ema.state_dict()["weight"].item() == pytest.approx(expected, rel=1e-6)
    assert decay == 0.5 and toy.weight.item() == 9.0
