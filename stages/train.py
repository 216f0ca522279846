"""shards (+ gold) -> student: grounded pre-training with the losses of `Glip.losses`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stages.label import resolve_device, weights_sha256
from stages.stage import Input, RunIO, UserError

if TYPE_CHECKING:
    from model.glip import Glip
    from stages.training.loader import BatchMaker
    from stages.training.sets import SampleSet

FOLDER = "student"
WEIGHTS = f"{FOLDER}/weights.safetensors"
SPEED_ONLY = {"device", "workers", "checkpoint_every", "keep_checkpoints", "log_every"}


class NothingToTrainOn(RuntimeError):
    """No samples: the stage fails with one line, and what came before stands."""


class TrainStage:
    name: ClassVar[str] = "train"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["job"]] = "job"
    inputs: ClassVar[tuple[Input, ...]] = (Input("shards", optional=True),)
    outputs: ClassVar[tuple[str, ...]] = (FOLDER,)

    def __init__(self, config: Any) -> None:
        self.whole = config
        self.config = config.train

    @classmethod
    def resolve(cls, config: Any) -> dict[str, Any]:
        from model.variants import VARIANTS

        if config.train.variant not in VARIANTS:
            raise UserError(
                f"train.variant: no variant {config.train.variant!r}; there are {', '.join(sorted(VARIANTS))}"
            )
        return {"device": resolve_device("auto") if config.train.device == "auto" else config.train.device}

    @classmethod
    def settings(cls, config: Any) -> dict[str, Any]:
        train = config.train
        kept = {name: value for name, value in train.model_dump(mode="json").items() if name not in SPEED_ONLY}
        kept["device"] = train.device.split(":")[0]
        kept["init"] = initial_weights(config)
        return kept

    def run_job(self, io: RunIO) -> dict[str, Any]:
        import torch

        resolve_device(self.config.device)
        torch.set_num_threads(self.config.threads)
        return train(io, self.whole)


def initial_weights(config: Any) -> str | None:
    """sha256 of the weights that training starts from; null for random ones."""
    train_config = config.train
    if train_config.init is None:
        return None
    if train_config.init == "teacher":
        return weights_sha256(config.label.teacher, config.label.weights)
    return weights_sha256(train_config.variant, train_config.init)


def train(io: RunIO, config: Any, rank: int = 0, world: int = 1) -> dict[str, Any]:
    """Train one worker's share; the first worker writes the checkpoints, the weights and the metrics.

    Returns the last metrics, the number of samples seen and the sets that were trained on.
    """
    from safetensors.torch import save

    from stages.training.checkpoint import checkpoints
    from stages.training.loop import Ranks, Trainer, metrics_lines

    sets, maker = make_batches(io, config)
    glip = start_model(config)
    crops = name_crops(io, glip, sets, config) if config.train.crop_steps and not checkpoints(io, FOLDER) else None
    trainer = Trainer(glip, maker, config.train, io, FOLDER, Ranks(rank, world))

    def report(step: int, entry: dict[str, float]) -> None:
        io.progress(step, config.train.steps, f"loss {entry['loss']:.3f}, {entry['samples_per_second']:.1f} samples/s")

    glip = trainer.run(report)
    if rank == 0:
        with io.create(WEIGHTS) as stream:
            stream.write(save({name: value.contiguous() for name, value in glip.state_dict().items()}))
        with io.create(f"{FOLDER}/metrics.jsonl") as stream:
            stream.write(metrics_lines(trainer.metrics))
    return {
        "steps": config.train.steps,
        "samples_seen": config.train.steps * config.train.batch_size,
        "samples_skipped": trainer.skipped,
        "sets": {name: len(samples) for name, samples in sets.items()},
        "loss": trainer.metrics[-1]["loss"] if trainer.metrics else None,
        "crops_named_right": crops,
    }


def name_crops(io: RunIO, glip: Glip, sets: dict[str, SampleSet], config: Any) -> float:
    """Start the backbone on crops of the first set that has categories; the share named right at the end."""
    from stages.training.crops import pretrain_backbone

    settings = config.train
    gold = next((samples for samples in sets.values() if samples.vocabulary()), None)
    if gold is None:
        raise UserError("train.crop_steps: no gold set has categories to name")

    def report(step: int, right: float) -> None:
        io.progress(step, settings.crop_steps, f"crops, {right:.0%} named right")

    glip.to(settings.device)
    return pretrain_backbone(
        glip, gold, settings.crop_steps, settings.crop_lr, settings.seed, config.ingest.max_pixels, report
    )


def start_model(config: Any) -> Glip:
    """The student before its first step."""
    from model.glip import Glip

    variant, init = config.train.variant, config.train.init
    if init is None:
        return Glip.from_variant(variant, seed=config.train.seed)
    if init != "teacher":
        return Glip.from_file(variant, init)
    if config.label.teacher != variant:
        raise UserError(f"train.init: the teacher is a {config.label.teacher}, the student a {variant}")
    return Glip.from_file(variant, config.label.weights) if config.label.weights else Glip.pretrained(variant)


def make_batches(io: RunIO, config: Any) -> tuple[dict[str, SampleSet], BatchMaker]:
    """The sets to train on, by name, and the maker of their mixed batches. Raises NothingToTrainOn."""
    from stages.training.loader import BatchMaker
    from stages.training.order import MixedOrder

    sets, weights, detection = open_sets(io, config)
    if not sets:
        raise NothingToTrainOn(
            "train: there is nothing to train on: the shards hold no samples (no box passed the filter) and train.gold "
            "is empty; lower filter.min_score or name a gold set"
        )
    values = list(sets.values())
    order = MixedOrder(
        sizes=[len(samples) for samples in values],
        weights=weights,
        seed=config.train.seed,
        shuffle=lambda number, epoch: values[number].order(config.train.seed, number, epoch),
        shape=lambda number, index: values[number].shape(index),
        batch_size=config.train.batch_size,
    )
    return sets, BatchMaker(values, detection, order, config.train, config.ingest.max_pixels)


def open_sets(io: RunIO, config: Any) -> tuple[dict[str, SampleSet], list[float], list[float]]:
    """The sets that are not empty, with their weights and their shares of detection prompts."""
    from stages.training.sets import ShardSet

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
        if len(samples):
            sets[f"gold {number}: {gold.source}"] = samples
            weights.append(gold.weight)
            detection.append(gold.detection)
    return sets, weights, detection


def open_gold(io: RunIO, gold: Any) -> SampleSet:
    """The set that a `train.gold` entry names. Raises UserError where something is missing."""
    from stages.training.sets import CocoSet, MdetrSet, RunGoldSet, SceneSet, ShardSet

    kind = gold.format if gold.format != "auto" else guess_format(gold.source)
    if kind == "scenes":
        if gold.count is None:
            raise UserError("train.gold: scenes have no end; say how many with `count`")
        return SceneSet(gold.split, gold.seed, gold.count)
    if kind == "run":
        return RunGoldSet(io)
    if kind == "shards":
        return ShardSet(io, gold.source, pseudo=False)
    if gold.images is None:
        raise UserError(f"train.gold: {gold.source} needs `images`, the folder of its pictures")
    return CocoSet(io, gold.source, gold.images) if kind == "coco" else MdetrSet(io, gold.source, gold.images)


def guess_format(source: str) -> str:
    if source == "scenes":
        return "scenes"
    if source == "run":
        return "run"
    if source.endswith(".json"):
        raise UserError(f"train.gold: say whether {source} is `format: coco` or `format: mdetr`")
    return "shards"
