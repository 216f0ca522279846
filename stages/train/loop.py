"""The steps of grounded pre-training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from model.contrastive import RegionWordContrast
from model.deform_choice import settle
from model.device import to_host
from model.glip import Glip
from stages.geometry import box_array
from stages.stage import RunIO
from stages.train.bad_batches import BadBatches
from stages.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint, save_weights
from stages.train.flops import FlopMeter, peak_flops
from stages.train.loader import Batch, BatchMaker, prefetch
from stages.train.metrics import Clock, Entry, Metrics, finite, peak_memory
from stages.train.optimizer import Ema, decay_factor, freeze, make_optimizer, rate_factor, set_rates, set_weight_decay
from stages.train.ranks import Ranks
from stages.train.samples import Example
from stages.train.skips import Skips, TooManySkipped, word
from stages.train.targets import loss_target

if TYPE_CHECKING:
    from schemas.config import TrainConfig

Report = Callable[[int, Entry], None]


BLANK = Example(
    key="",
    image=np.zeros((32, 32, 3), dtype=np.uint8),
    caption="nothing",
    spans=(),
    boxes=box_array([]),
    phrase=np.zeros(0, dtype=np.int64),
    scores=np.zeros(0, dtype=np.float32),
    pseudo=False,
)


class Student(nn.Module):
    """What is trained: the model, and what training alone needs. Its forward pass gives the losses of a batch."""

    def __init__(self, glip: Glip, config: TrainConfig) -> None:
        super().__init__()
        self.glip, self.config = glip, config
        variant = glip.variant
        self.contrast = (
            RegionWordContrast(variant.channels, variant.text.hidden, config.seed) if config.contrastive else None
        )

    def forward(self, batch: Batch, average: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """The weighted losses. A share without samples gives zeros with a graph, so that no rank waits for it."""
        config = self.config
        losses = self.glip.losses(
            **self._inputs(batch),
            average=average,
            phrase_softmax=config.phrase_softmax > 0,
            contrast=self.contrast,
        )
        weights = {"loss_phrase_softmax": config.phrase_softmax, "loss_contrastive": config.contrastive}
        real = float(bool(batch.examples))
        return {name: loss * (weights.get(name, 1.0) * real) for name, loss in losses.items()}

    def normalisers(self, pieces: Sequence[Batch]) -> Tensor:
        """(2,): what the losses of the pieces of a share are divided by, before `average`."""
        found = [self.glip.normalisers(**self._inputs(piece)) for piece in pieces if piece.examples]
        return torch.stack(found).sum(0) if found else torch.zeros(2, device=self.glip.device)

    def _inputs(self, batch: Batch) -> dict[str, Any]:
        examples = batch.examples or [BLANK]
        return {
            "images": [example.image for example in examples],
            "captions": [example.caption for example in examples],
            "spans": [example.spans for example in examples],
            "targets": [loss_target(example, self.config) for example in examples],
            "resize_to": None,  # the loader has done it
            "pad_to": batch.pad_to,
        }


class Trainer:
    """Trains `glip` on the batches of `maker`, from the newest checkpoint of `folder` on if there is one."""

    def __init__(
        self, glip: Glip, maker: BatchMaker, config: TrainConfig, io: RunIO, folder: str, ranks: Ranks
    ) -> None:
        self.glip, self.maker, self.config, self.io, self.folder, self.ranks = glip, maker, config, io, folder, ranks
        self.device = torch.device(config.device)
        self.student = Student(glip, config).to(self.device).train()
        glip.precision = config.precision
        settle(glip, config.deform)
        if config.checkpointing:
            glip.use_checkpointing()
        freeze(glip, config.frozen)
        self.optimizer = make_optimizer(
            self.student, config.lr, config.text_lr, config.weight_decay, config.backbone_lr
        )
        self.ema = Ema(glip, config.ema) if config.ema else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.metrics = Metrics(io, folder)
        self.step = 0
        self.skips = Skips(config.max_skipped)
        self.bad = BadBatches(config.max_skipped)
        self.crops_named_right: float | None = None  # the share, at the end of the crop pre-training
        self.best: float | None = None  # lowest mean loss between two checkpoints
        self.recent: list[float] = []  # losses since the last checkpoint
        self._resume()
        self.flops, self.peak = FlopMeter(glip), peak_flops(self.device, config.precision)
        self.parallel = ranks.wrap(self.student)

    def run(self, progress: Report) -> Glip:
        """All steps that are left. Returns the model with the averaged weights, in eval mode."""
        config, ranks = self.config, self.ranks
        make = partial(self.maker.make, rank=ranks.rank, world=ranks.world)
        batches = prefetch(make, self.step, config.steps, config.loaders)
        clock = Clock()
        while self.step < config.steps:
            with clock.waiting():
                batch = next(batches)
            figures = self._train_step(batch)
            if figures is not None:
                self.recent.append(figures["loss"])
            self.step += 1
            clock.steps += 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                self._log(figures or {"loss": math.nan}, clock, progress)
                clock = Clock()
            if self.step % config.checkpoint_every == 0 and self.step < config.steps and ranks.first:
                self._checkpoint()
        if ranks.first:
            self._keep_if_best()
            save_weights(self.io, f"{self.folder}/weights.safetensors", self._weights())
            self.metrics.write(self.step)
        self.glip.load_state_dict(self._weights())
        return self.glip.eval()

    def _train_step(self, batch: Batch) -> dict[str, float] | None:
        """The figures of the step; None for a batch that is left out, and that no weight has seen.

        Raises NonFiniteLoss and TooManySkipped, on every rank.
        """
        config = self.config
        torch.manual_seed((config.seed * 1_000_003 + batch.step) * 64 + self.ranks.rank)  # of the dropouts
        set_rates(self.optimizer, rate_factor(batch.step, config.steps, config.warmup, config.schedule))
        decay = decay_factor(batch.step, config.steps, config.weight_decay_schedule)
        set_weight_decay(self.optimizer, config.weight_decay * decay)
        losses, arriving = self._add_gradients(batch)
        figures = self._figures(batch, losses, arriving)
        if not math.isfinite(figures["loss"]):
            mine = not bool(torch.stack(list(losses.values())).isfinite().all())
            self._leave_out(batch, f"the loss is {figures['loss']}", mine)
            return None
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), config.clip)
        if not self.scaler.is_enabled() and not torch.isfinite(norm):  # with a scaler, such a step is left out
            self._leave_out(batch, f"the norm of the gradient is {norm:g}", True)
            return None
        self.bad.good()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            self.ema.update(self.glip, batch.step)
        return {**figures, "gradient_norm": float(norm)}

    def _add_gradients(self, batch: Batch) -> tuple[dict[str, Tensor], Callable[[], list[Tensor]]]:
        """The gradients of the share, piece by piece; its losses, and the figures of the whole batch on their way."""
        pieces = batch.pieces(self.config.accumulate)
        divisors = self.ranks.average(self.student.normalisers(pieces)) if len(pieces) > 1 else None

        def average(value: Tensor) -> Tensor:
            return self.ranks.average(value) if divisors is None else divisors  # of the whole batch

        self.optimizer.zero_grad(set_to_none=True)
        total: dict[str, Tensor] = {}
        for number, piece in enumerate(pieces, start=1):
            with self.ranks.collecting(self.parallel, more=number < len(pieces)):
                losses = self.parallel(piece, average)
                total = {name: loss.detach() + total.get(name, 0.0) for name, loss in losses.items()}
                if number == len(pieces):
                    arriving = self._begin_figures(batch, total)
                self.scaler.scale(torch.stack(list(losses.values())).sum()).backward()
        return total, arriving

    def _begin_figures(self, batch: Batch, losses: dict[str, Tensor]) -> Callable[[], list[Tensor]]:
        """The losses of the whole batch, over all ranks, on their way to the host.

        A GPU has the backward pass to do before anyone waits for them.
        """
        loss = torch.stack(list(losses.values())).sum()
        local = torch.stack([loss, *losses.values(), loss.new_full((), float(len(batch.skipped)))])
        return to_host([self.ranks.average(local)])

    def _figures(
        self, batch: Batch, losses: dict[str, Tensor], arriving: Callable[[], list[Tensor]]
    ) -> dict[str, float]:
        (arrived,) = arriving()
        total, *parts, skipped = arrived.tolist()
        self._count_skipped(batch, round(skipped * self.ranks.world))
        return {"loss": total, **dict(zip(losses, parts, strict=True))}

    def _count_skipped(self, batch: Batch, skipped: int) -> None:
        """`skipped` samples of the whole batch, over all ranks."""
        if not skipped:
            return
        self.skips.add(self.ranks.gather([word(place, error) for place, error in batch.skipped]))
        if skipped == self.config.batch_size:
            raise TooManySkipped(
                f"step {batch.step}: no sample of the batch could be used: {'; '.join(self.skips.first)}"
            )
        self.skips.check((batch.step + 1) * self.config.batch_size)

    def _leave_out(self, batch: Batch, what: str, mine: bool) -> None:
        """Names the samples of all ranks whose share is to blame; every rank has to come here."""
        keys = self.ranks.gather([example.key for example in batch.examples] if mine else [])
        self.bad.add(batch.step, f"{what}; samples of the batch: {', '.join(keys)}")

    def _log(self, figures: dict[str, float], clock: Clock, progress: Report) -> None:
        config, seconds = self.config, clock.seconds
        factor = rate_factor(self.step - 1, config.steps, config.warmup, config.schedule)
        flops = self.flops.take()
        entry: Entry = {
            "step": self.step,
            "samples_seen": self.step * config.batch_size,
            "batches_left_out": self.bad.count,
            "skipped_share": self.skips.count / (self.step * config.batch_size),
            **{name: finite(value) for name, value in figures.items()},  # fp16 may overflow a gradient: none
            "lr": config.lr * factor,
            "text_lr": config.text_lr * factor,
            "samples_per_second": clock.steps * config.batch_size / seconds,
            "data_wait_share": clock.waited / seconds,
            "memory_bytes": peak_memory(self.device),
            "mfu": flops / seconds / self.peak if self.peak else None,
        }
        self.metrics.add(entry)
        if self.ranks.first:
            progress(self.step, entry)

    def _checkpoint(self) -> None:
        self._keep_if_best()
        self.metrics.write(self.step)
        state = {
            "step": self.step,
            "student": self.student.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "metrics": self.metrics.entries,
            "skips": self.skips.state_dict(),
            "bad": self.bad.state_dict(),
            "crops_named_right": self.crops_named_right,
            "best": self.best,
        }
        save_checkpoint(self.io, self.folder, self.step, state, self.config.keep_checkpoints)

    def _keep_if_best(self) -> None:
        """best.safetensors: the weights after the stretch between two checkpoints with the lowest mean loss.

        A stretch in which too many samples were skipped is none of them: its losses are of what was left.
        """
        mean = float(np.mean(self.recent)) if self.recent else math.inf
        whole = self.skips.end_stretch(len(self.recent) * self.config.batch_size)
        if whole and (self.best is None or mean < self.best):
            self.best = mean
            save_weights(self.io, f"{self.folder}/best.safetensors", self._weights())
        self.recent = []

    def _weights(self) -> dict[str, Tensor]:
        return self.ema.state_dict() if self.ema else self.glip.state_dict()

    def _resume(self) -> None:
        found = checkpoints(self.io, self.folder)
        if found:
            state = load_checkpoint(self.io, found[-1])
            self.student.load_state_dict(state["student"])
            if self.ema:
                self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            self.step, self.best = state["step"], state["best"]
            self.skips.load_state_dict(state["skips"])
            self.bad.load_state_dict(state["bad"])
            self.crops_named_right = state["crops_named_right"]
        if self.ranks.first:
            self.metrics.resume(self.step, state["metrics"] if found else [])
