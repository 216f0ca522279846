"""The steps of grounded pre-training."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.glip import Glip
from stages.stage import RunIO
from stages.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from stages.training.loader import Batch, BatchMaker, prefetch
from stages.training.optimizer import Ema, make_optimizer, rate_factor, set_rates


class NonFiniteLoss(RuntimeError):
    """The loss is not a number; the message names the step and the keys of its samples."""


@dataclass(frozen=True)
class Ranks:
    """This worker's place among the data-parallel ones."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def average(self, value: Tensor) -> Tensor:
        """The mean over all workers."""
        if self.world > 1:
            value = value.clone()
            torch.distributed.all_reduce(value)
            value /= self.world
        return value


class Trainer:
    """Trains `glip` on the batches of `maker`, from the newest checkpoint of `folder` on if there is one."""

    def __init__(self, glip: Glip, maker: BatchMaker, config: Any, io: RunIO, folder: str, ranks: Ranks) -> None:
        self.glip, self.maker, self.config, self.io, self.folder, self.ranks = glip, maker, config, io, folder, ranks
        self.device = torch.device(config.device)
        self.glip.to(self.device).train()
        self.glip.precision = config.precision
        if config.checkpointing:
            self.glip.use_checkpointing()
        self.optimizer = make_optimizer(glip, config.lr, config.text_lr, config.weight_decay)
        self.ema = Ema(glip, config.ema) if config.ema else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.step = 0
        self.metrics: list[dict[str, float]] = []
        self.skipped = 0
        self._resume()

    def run(self, progress: Callable[[int, dict[str, float]], None]) -> Glip:
        """All steps that are left. Returns the model with the averaged weights, in eval mode."""
        config, ranks = self.config, self.ranks
        started, waited, seen = time.monotonic(), 0.0, 0
        batches = prefetch(lambda step: self.maker.make(step, ranks.rank, ranks.world), self.step, config.steps)
        while self.step < config.steps:
            before = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - before
            losses = self._train_step(batch)
            seen += len(batch.examples) * ranks.world
            self.skipped += len(batch.skipped)
            self.step += 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                elapsed = time.monotonic() - started
                self._log(losses, seen / elapsed, waited / elapsed, progress)
                started, waited, seen = time.monotonic(), 0.0, 0
            if ranks.first and (self.step % config.checkpoint_every == 0 and self.step < config.steps):
                self._save()
        if self.ema:
            self.glip.load_state_dict(self.ema.state_dict())
        return self.glip.eval()

    def _train_step(self, batch: Batch) -> dict[str, float]:
        config = self.config
        torch.manual_seed((config.seed * 1_000_003 + batch.step) * 64 + self.ranks.rank)  # of the dropouts
        set_rates(self.optimizer, rate_factor(batch.step, config.steps, config.warmup, config.schedule))
        losses = self.glip.losses(
            [example.image for example in batch.examples],
            [example.caption for example in batch.examples],
            [example.spans for example in batch.examples],
            [loss_target(example, config) for example in batch.examples],
            resize_to=self._sides(batch.step),
            average=self.ranks.average,
            phrase_softmax=config.phrase_softmax > 0,
        )
        if config.phrase_softmax:
            losses["loss_phrase_softmax"] = losses["loss_phrase_softmax"] * config.phrase_softmax
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            keys = ", ".join(example.key for example in batch.examples)
            raise NonFiniteLoss(f"step {batch.step}: the loss is {loss.item()}; samples of the batch: {keys}")
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.glip.parameters(), config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            self.ema.update(self.glip, batch.step)
        values = {name: float(value.detach()) for name, value in losses.items()}
        return {"loss": float(loss.detach()), **values, "gradient_norm": float(norm)}

    def _sides(self, step: int) -> tuple[int, int]:
        """(short, long) side of the pictures of a step, drawn from `scales` where there are any."""
        variant, scales = self.glip.variant, self.config.scales
        if not scales:
            return variant.short, variant.long
        short = scales[int(np.random.default_rng([self.config.seed, 5, step]).integers(len(scales)))]
        return short, round(short * variant.long / variant.short)

    def _average_gradients(self) -> None:
        """Losses are divided by counts averaged over workers, so the mean gradient is that of the whole batch."""
        if self.ranks.world == 1:
            return
        gradients = []
        for parameter in self.glip.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:  # took no part in this worker's share
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        flat = self.ranks.average(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, mean in zip(
            gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))

    def _log(
        self, losses: dict[str, float], rate: float, waiting: float, progress: Callable[[int, dict[str, float]], None]
    ) -> None:
        entry = {
            "step": float(self.step),
            "samples_seen": float(self.step * self.config.batch_size),
            **losses,
            "lr": self.optimizer.param_groups[0]["lr"],
            "samples_per_second": rate,
            "data_wait_share": waiting,
            "memory_bytes": float(peak_memory(self.device)),
        }
        self.metrics.append(entry)
        if self.ranks.first:
            progress(self.step, entry)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "model": self.glip.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "metrics": self.metrics,
            "skipped": self.skipped,
        }
        save_checkpoint(self.io, self.folder, self.step, state, self.config.keep_checkpoints)

    def _resume(self) -> None:
        found = checkpoints(self.io, self.folder)
        if not found:
            return
        state = load_checkpoint(self.io, found[-1])
        self.glip.load_state_dict(state["model"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.metrics, self.skipped = state["step"], state["metrics"], state["skipped"]


def loss_target(example: Any, config: Any) -> dict[str, Any]:
    """What `Glip.losses` takes for one picture: boxes, phrases, weights, and whether they train the regression."""
    boxes = torch.from_numpy(example.boxes)  # (N, 4)
    target = {"boxes": boxes, "phrase": torch.from_numpy(example.phrase)}  # (N,)
    if example.pseudo and config.score_weighting:
        target["weight"] = torch.from_numpy(example.scores)  # (N,)
    if example.pseudo and not config.pseudo_regression:
        target["regression"] = torch.zeros(len(boxes), dtype=torch.bool)  # (N,)
    return target


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device, or of this process where there is none."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def metrics_lines(metrics: list[dict[str, float]]) -> bytes:
    """metrics.jsonl. Raises ValueError for a number that JSON has no word for."""
    for entry in metrics:
        for name, value in entry.items():
            if not math.isfinite(value):
                raise ValueError(f"metric {name} at step {entry['step']:.0f} is {value}")
    return "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in metrics).encode()
