"""shards (+ gold) -> student: grounded pre-training with the losses of `Glip.losses`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from schemas.marks import device_type
from stages.label.teacher import resolve_device
from stages.stage import Input, Needs, Output, RankedJobStage, RunIO, UserError
from stages.train.gold import (
    NothingToTrainOn,
    check_readable,
    gold_sha256,
    open_gold,
    unused_boxes,
    with_absolute_paths,
)
from stages.train.start import resolve_start, start_digest, start_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from model.glip import Glip
    from schemas.config import Config
    from stages.train.loader import BatchMaker
    from stages.train.metrics import Entry
    from stages.train.sets import SampleSet

FOLDER = "student"
WEIGHTS = f"{FOLDER}/weights.safetensors"


class TrainStage(RankedJobStage):
    name: ClassVar[str] = "train"
    version: ClassVar[int] = 5
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("shards", need="if_present"),
        Input("gold", need="if_present"),  # for the gold set `run`, with what follows
        Input("pairs", ("key", "caption", "sha256"), need="if_present"),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output(FOLDER, scope="run"),)
    depends_on: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(self, config: Config) -> None:
        self.whole = config
        self.config = config.train

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        from model.variants import VARIANTS

        if config.train.variant not in VARIANTS:
            raise UserError(
                f"train.variant: no variant {config.train.variant!r}; there are {', '.join(sorted(VARIANTS))}"
            )
        if config.train.accumulate > 1 and config.train.contrastive:
            raise UserError("train.contrastive compares a whole share of the batch; it needs train.accumulate: 1")
        return {
            "device": resolve_device("auto") if config.train.device == "auto" else config.train.device,
            "gold": tuple(with_absolute_paths(gold) for gold in config.train.gold),
            **resolve_start(config),
        }

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        gold = [gold_sha256(gold.source) for gold in config.train.gold]
        return {"init": start_digest(config), "gold_sha256": gold}

    @classmethod
    def written_by_people(cls, config: Config) -> tuple[str, ...]:
        judged = any("reviews" in (gold.source, gold.format) for gold in config.train.gold)
        return ("reviews",) if judged else ()

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(gpu=device_type(config.train.device) == "cuda", ranks=config.train.workers)

    def forecast(self, io: RunIO) -> list[str]:
        from stages.train.forecast import forecast

        try:
            sets, maker = make_batches(io, self.whole)
        except NothingToTrainOn as error:
            return [f"samples   none yet: {error}"]
        return forecast(io, FOLDER, with_steps(self.whole, maker), sets, maker)

    def run_rank(self, io: RunIO, rank: int, world: int) -> dict[str, Any]:
        """One of `train.workers` processes that train together; the first one's result is the job's."""
        import torch

        resolve_device(self.config.device)
        torch.set_num_threads(self.config.threads)
        return train(io, self.whole, rank, world)


def train(io: RunIO, config: Config, rank: int = 0, world: int = 1) -> dict[str, Any]:
    """Train one rank's share; the first rank writes the checkpoints, the weights and the metrics.

    With more than one rank, torch's process group is there already. Returns the last loss, the number of samples seen
    and the sets that were trained on. Raises NothingToTrainOn, TooManySkipped and NonFiniteLoss.
    """
    from model.device import forbid_tf32
    from stages.train.checkpoint import checkpoints
    from stages.train.loop import Trainer
    from stages.train.ranks import Ranks

    forbid_tf32()
    ranks = Ranks(rank, world)
    with ranks.first_alone():  # which builds the columns of annotation files
        sets, maker = make_batches(io, config)
    config = with_steps(config, maker)
    check_readable(sets, config.ingest.max_pixels)
    glip, taken = start_model(config)
    begins = not checkpoints(io, FOLDER)
    crops = name_crops(io, glip, sets, config) if config.train.crop_steps and begins else None
    trainer = Trainer(glip, maker, config.train, io, FOLDER, ranks)
    if begins:
        trainer.crops_named_right = crops

    def report(step: int, entry: dict[str, float | None]) -> None:
        io.progress(step, config.train.steps, progress_line(entry))

    trainer.run(report)
    entries = trainer.metrics.entries
    return {
        "steps": config.train.steps,
        "samples_seen": config.train.steps * config.train.batch_size,
        "samples_skipped": trainer.skips.count,
        "batches_left_out": trainer.bad.count,
        "bad_batches": trainer.bad.named,
        "unused": {**unused_boxes(sets), **trainer.skips.unused(), **trainer.bad.unused()},
        "sets": {name: len(samples) for name, samples in sets.items()},
        "loss": entries[-1]["loss"] if entries else None,
        "start": taken,
        "crops_named_right": trainer.crops_named_right,
        "event_files": trainer.metrics.event_files,
    }


def with_steps(config: Config, maker: BatchMaker) -> Config:
    """The config with the number of steps that `train.epochs` comes to; the batch that an epoch leaves is dropped."""
    settings = config.train
    if settings.epochs is None:
        return config
    steps = max(1, int(settings.epochs * maker.order.epoch_size / settings.batch_size))
    return config.model_copy(update={"train": settings.model_copy(update={"steps": steps})})


def progress_line(entry: Entry) -> str:
    skipped = entry["skipped_share"] or 0.0
    said = f", {skipped:.2%} of the samples skipped" if skipped else ""
    loss = "none, a batch left out" if entry["loss"] is None else f"{entry['loss']:.3f}"
    return f"loss {loss}, {entry['samples_per_second']:.1f} samples/s{said}"


def name_crops(io: RunIO, glip: Glip, sets: dict[str, SampleSet], config: Config) -> float:
    """Start the backbone on crops of the first set that has categories; the share named right at the end."""
    from stages.train.crops import pretrain_backbone

    settings = config.train
    gold = next((samples for samples in sets.values() if samples.vocabulary()), None)
    if gold is None:
        raise UserError("train.crop_steps: no gold set has categories to name")

    def report(step: int, right: float) -> None:
        io.progress(step, settings.crop_steps, f"crops, {right:.0%} named right")

    glip.to(settings.device)
    return pretrain_backbone(
        glip,
        gold,
        settings.crop_steps,
        settings.crop_lr,
        settings.seed,
        config.ingest.max_pixels,
        report,
        settings.max_skipped,
    )


def make_batches(io: RunIO, config: Config) -> tuple[dict[str, SampleSet], BatchMaker]:
    """The sets to train on, by name, and the maker of their mixed batches. Raises NothingToTrainOn and UserError."""
    from model.variants import get_variant
    from stages.train.balance import repeats
    from stages.train.loader import BatchMaker
    from stages.train.order import MixedOrder

    sets, weights, detection = open_sets(io, config)
    if not sets:
        raise NothingToTrainOn(
            "train: there is nothing to train on: the shards hold no samples (no box passed the filter) and train.gold "
            "is empty; lower filter.min_score or name a gold set"
        )
    values = list(sets.values())
    factors = [factors_of(samples, config.train.repeat_below) for samples in values]  # per set (n,)
    seed = config.train.seed
    order = MixedOrder(
        sizes=[len(samples) for samples in values],
        weights=weights,
        seed=seed,
        shuffle=lambda number, epoch: values[number].order(
            repeats(factors[number], seed, number, epoch), seed, number, epoch
        ),
        shape=lambda number, index: values[number].shape(index),
        batch_size=config.train.batch_size,
    )
    variant = get_variant(config.train.variant)
    sides = (variant.short, variant.long)
    return sets, BatchMaker(values, detection, order, config.train, config.ingest.max_pixels, sides)


def factors_of(samples: SampleSet, below: float) -> NDArray[np.float64]:
    """(n,): how often each sample comes in an epoch of its set."""
    import numpy as np

    from stages.train.balance import repeat_factors

    if not below:
        return np.ones(len(samples))
    return repeat_factors([samples.names(index) for index in range(len(samples))], below)


def open_sets(io: RunIO, config: Config) -> tuple[dict[str, SampleSet], list[float], list[float]]:
    """The sets, with their weights and their shares of detection prompts.

    Shards may hold nothing, and are then no set; a gold set that comes out empty is a UserError.
    """
    from stages.train.shards import ShardSet

    sets: dict[str, SampleSet] = {}
    weights, detection = [], []
    if config.train.pseudo and "shards/index.json" in io.files("shards"):
        shards = ShardSet(io, min_score=config.train.min_score)
        if len(shards):
            sets["pseudo"] = shards
            weights.append(1.0)
            detection.append(0.0)
    for number, gold in enumerate(config.train.gold):
        samples = open_gold(io, gold)
        if not len(samples):
            raise UserError(
                f"train.gold: {gold.source} holds no image with a box to train on (crowds and boxes of a pixel do not"
                " count); leave it out, or name another"
            )
        sets[f"gold {number}: {gold.source}"] = samples
        weights.append(gold.weight)
        detection.append(gold.detection)
    return sets, weights, detection
