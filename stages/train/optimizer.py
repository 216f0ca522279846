"""AdamW with GLIP's parameter groups, the learning-rate schedule, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

BIAS_LR_FACTOR = 2.0  # official: biases at twice the rate, without weight decay
STEP_MILESTONES = (0.67, 0.89)  # shares of the training at which "step" divides the rate by ten
DECAY_BEFORE = 0.667  # of the way to each milestone: there the weight decay is divided by ten


def make_optimizer(
    model: nn.Module, lr: float, text_lr: float, weight_decay: float, backbone_lr: float | None = None
) -> torch.optim.AdamW:
    """One group per (rate, decay): language backbone at `text_lr`, visual one at `backbone_lr`, the rest at `lr`.

    Names with `bias` at twice the rate, undecayed. Parameters without a gradient are in no group.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = lr
        if "language_backbone" in name:
            rate = text_lr
        elif "backbone." in name and backbone_lr is not None:
            rate = backbone_lr
        bias = "bias" in name
        key = (rate * BIAS_LR_FACTOR if bias else rate, 0.0 if bias else weight_decay)
        groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ]
    )


def freeze(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Takes the gradient from all parameters whose names begin with one of the prefixes. Raises ValueError for none."""
    for prefix in prefixes:
        found = [parameter for name, parameter in model.named_parameters() if name.startswith(prefix)]
        if not found:
            raise ValueError(f"train.frozen: no parameter's name begins with {prefix!r}")
        for parameter in found:
            parameter.requires_grad_(False)


def rate_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """What the base rates are multiplied by at `step` of `steps`: linear warm-up from 0.001, then the schedule."""
    if step < warmup:
        return 0.001 + (1.0 - 0.001) * step / warmup
    if schedule == "cosine":
        progress = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    if schedule == "step":
        return 0.1 ** sum(step >= share * steps for share in STEP_MILESTONES)
    return 1.0


def decay_factor(step: int, steps: int, schedule: str) -> float:
    """What the weight decay is multiplied by at `step` of `steps`: 1, or GLIP-L's steps."""
    if schedule == "step":
        return 0.1 ** sum(step >= DECAY_BEFORE * share * steps for share in STEP_MILESTONES)
    return 1.0


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def set_weight_decay(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Of the groups that have any; it is never 0 where it was not 0 before."""
    for group in optimizer.param_groups:
        if group["weight_decay"]:
            group["weight_decay"] = weight_decay


class Ema:
    """A moving average of every floating-point weight; starts faster than `decay`, so that short trainings have one."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        for name, value in model.state_dict().items():
            mine = self.weights[name]
            if mine.dtype.is_floating_point:
                mine.lerp_(value.detach().to(mine.dtype), 1.0 - decay)
            else:
                mine.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return self.weights

    def load_state_dict(self, weights: dict[str, Tensor]) -> None:
        for name, value in weights.items():
            self.weights[name].copy_(value)
