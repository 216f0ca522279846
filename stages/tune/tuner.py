"""Tuning with early stopping: epochs over a few images, each followed by AP on the validation images.

The settings are those of GLIP's fine-tuning, as its README has them: AdamW, a linear warm-up, a rate that falls to a
tenth where the validation AP does not rise, an end where it stays below the best, and the weights of the best epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from stages.stage import RunIO, UserError
from stages.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from stages.train.loader import prefetch
from stages.train.optimizer import make_optimizer, rate_factor, set_rates
from stages.tune.shots import copies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.glip import Glip
    from model.prompt import CategoryList
    from schemas.config import TuneConfig

CLIP = 1.0  # global L2 norm of the gradient
FACTOR = 0.1  # of the rate, where the AP does not rise
BETTER = 1.0001  # times the best AP: what counts as a rise
LOADERS = 2
KEEP_EVERY = 300.0  # seconds between two checkpoints: few shots need less, and large weights take a while to write
RATES = {"full": (1e-4, 1e-5, 0.05), "linear": (1e-4, 1e-4, 0.05), "prompt": (0.05, 0.05, 0.25)}  # lr, of text, decay


@dataclass(frozen=True)
class Shot:
    """One image to learn from. `pixels` reads it."""

    pixels: Callable[[], NDArray[np.uint8]]  # (H, W, 3) RGB
    boxes: NDArray[np.float32]  # (N, 4) half-open pixels
    category: NDArray[np.int64]  # (N,)

    def load(self, mirrored: bool) -> tuple[NDArray[np.uint8], dict[str, Tensor]]:
        """The image and what `Glip.losses` takes for it. The prompt stays, also where it names a side, as published."""
        pixels, boxes = self.pixels(), self.boxes
        if mirrored:
            pixels, boxes = np.ascontiguousarray(pixels[:, ::-1]), boxes.copy()
            boxes[:, [0, 2]] = pixels.shape[1] - self.boxes[:, [2, 0]]
        return pixels, {"boxes": torch.from_numpy(boxes), "phrase": torch.from_numpy(self.category)}


@dataclass
class Patience:
    """When the rate falls and when training ends, by the validation AP of each epoch."""

    lower_after: int  # epochs without a rise
    stop_after: int  # epochs below the best
    best: float = 0.0
    below: int = 0  # epochs since the best
    risen: float = 0.0  # the AP that the next rise is measured from
    flat: int = 0  # epochs since then, or since the rate fell
    factor: float = 1.0  # of the rate

    @classmethod
    def published(cls, shots: int | str) -> Patience:
        return cls(2, 4) if shots == "all" else cls(3, 8)

    def see(self, ap: float, warm: bool) -> bool:
        """Takes note of an epoch; whether it is the best one. The rate does not fall before it has risen (`warm`)."""
        if warm:
            self.flat += 1
            if ap > self.risen * BETTER:
                self.risen, self.flat = ap, 0
            elif self.flat > self.lower_after:
                self.factor, self.flat = self.factor * FACTOR, 0
        if ap < self.best:
            self.below += 1
            return False
        self.best, self.below = ap, 0
        return True

    @property
    def over(self) -> bool:
        return self.below >= self.stop_after


@dataclass
class Result:
    """The tensors of the best epoch, and the validation AP of each: that of the base model first."""

    tensors: dict[str, Tensor]
    aps: list[float]
    losses: list[float] = field(default_factory=list)  # mean of each epoch
    best_epoch: int = 0


class Checkpoints:
    """What an interrupted tuning goes on from: the epoch that was kept last, in a file beside the result."""

    def __init__(self, io: RunIO, folder: str) -> None:
        self.io, self.folder = io, folder
        self.last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        found = checkpoints(self.io, self.folder)
        return load_checkpoint(self.io, found[-1]) if found else None

    def save(self, epoch: int, state: Callable[[], dict[str, Any]]) -> None:
        """Where enough time has passed since the last one."""
        if time.monotonic() - self.last >= KEEP_EVERY:
            save_checkpoint(self.io, self.folder, epoch, state(), keep=1)
            self.last = time.monotonic()

    def clear(self) -> None:
        for path in checkpoints(self.io, self.folder):
            self.io.delete(path)


def tune(
    glip: Glip,
    names: Sequence[str],
    listed: CategoryList,
    shots: Sequence[Shot],
    validate: Callable[[], float],
    config: TuneConfig,
    sides: tuple[int, int],
    progress: Callable[[int, float], None],
    kept: Checkpoints,
) -> Result:
    """Trains the parameters of these names; all others have no gradient. validate: AP in percent, of glip as it is.

    sides: (short, long) of the images. Raises UserError where the loss is no number.
    """
    trainer = Trainer(glip, listed, shots, config, sides)

    def taken() -> dict[str, Tensor]:
        return {name: glip.get_parameter(name).detach().cpu().clone() for name in names}

    def state() -> dict[str, Any]:
        return {"epoch": epoch, "patience": asdict(patience), "result": vars(result), "trainer": trainer.state_dict()}

    found = kept.load()
    if found is None:
        first, patience, result = 1, Patience.published(config.shots), Result(taken(), [validate()])
    else:
        first, patience, result = found["epoch"] + 1, Patience(**found["patience"]), Result(**found["result"])
        trainer.load_state_dict(found["trainer"])
    for epoch in range(first, config.epochs + 1):
        result.losses.append(trainer.epoch(epoch, patience.factor))
        result.aps.append(validate())
        if patience.see(result.aps[-1], trainer.step >= config.warmup):
            result.tensors, result.best_epoch = taken(), epoch
        progress(epoch, result.aps[-1])
        if patience.over:
            break
        kept.save(epoch, state)
    return result


class Trainer:
    """The steps of an epoch."""

    def __init__(
        self, glip: Glip, listed: CategoryList, shots: Sequence[Shot], config: TuneConfig, sides: tuple[int, int]
    ) -> None:
        self.glip, self.listed, self.shots, self.config, self.sides = glip, listed, shots, config, sides
        rate, text_rate, decay = RATES[config.method]
        rate = rate if config.lr is None else config.lr
        text_rate = (text_rate if config.method == "full" else rate) if config.text_lr is None else config.text_lr
        decay = decay if config.weight_decay is None else config.weight_decay
        self.optimizer = make_optimizer(glip, rate, text_rate, decay)
        self.parameters = [parameter for parameter in glip.parameters() if parameter.requires_grad]
        self.step = 0

    def epoch(self, epoch: int, factor: float) -> float:
        """One pass over the images, in an order of its own; the mean loss. factor: of the learning rate."""
        orders = batches(len(self.shots), copies(self.config.shots), self.config, epoch)
        self.glip.train()
        losses = [
            self._train(loaded, factor) for loaded in prefetch(lambda i: self._load(orders[i]), 0, len(orders), LOADERS)
        ]
        self.glip.eval()
        return float(np.mean(losses))

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on; its order and dropouts follow from the seed, the epoch and the step."""
        values = [parameter.detach() for parameter in self.parameters]
        return {"step": self.step, "parameters": values, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def _load(self, batch: list[tuple[int, bool]]) -> list[tuple[NDArray[np.uint8], dict[str, Tensor]]]:
        return [self.shots[index].load(mirrored) for index, mirrored in batch]

    def _train(self, batch: list[tuple[NDArray[np.uint8], dict[str, Tensor]]], factor: float) -> float:
        images, targets = zip(*batch, strict=True)
        seed = self.config.seed * 1_000_003 + self.step
        torch.manual_seed(seed)  # of the dropouts
        short, long = self.sides
        if self.config.scales:
            short = self.config.scales[seed % len(self.config.scales)]
        set_rates(self.optimizer, factor * rate_factor(self.step, 0, self.config.warmup, "constant"))
        count = len(images)
        losses = self.glip.losses(
            images, [self.listed.caption] * count, [self.listed.spans] * count, targets, resize_to=(short, long)
        )
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            raise UserError(f"tune: the loss of step {self.step} is {float(loss.detach())}; lower tune.lr")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())


def batches(count: int, copies: int, config: TuneConfig, epoch: int) -> list[list[tuple[int, bool]]]:
    """Of an epoch: indices of images, each as often as `copies`, shuffled, and which of them are mirrored.

    The last batch may be smaller.
    """
    rng = np.random.default_rng([config.seed, epoch])
    order = rng.permutation(np.repeat(np.arange(count), copies))
    drawn = list(zip(order.tolist(), (rng.random(len(order)) < config.flip).tolist(), strict=True))
    return [drawn[at : at + config.batch_size] for at in range(0, len(drawn), config.batch_size)]
