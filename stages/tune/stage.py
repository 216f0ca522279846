"""a model + a few examples -> tuned weights: full tuning, linear probing, prompt tuning (GLIP, section 5.3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from schemas.marks import device_type
from stages.ingest.sources import absolute
from stages.label.several import first_of
from stages.label.teacher import describe, resolve_device
from stages.stage import JobStage, Needs, Output, RunIO, UserError

if TYPE_CHECKING:
    from model.glip import Glip
    from model.prompt import CategoryList
    from schemas.config import Config, LabelConfig
    from stages.tune.data import Pictures
    from stages.tune.tuner import Result

FOLDER = "tuned"
WEIGHTS = f"{FOLDER}/tuned.safetensors"
HISTORY = f"{FOLDER}/history.json"


class TuneStage(JobStage):
    name: ClassVar[str] = "tune"
    version: ClassVar[int] = 1
    outputs: ClassVar[tuple[Output, ...]] = (Output(FOLDER, scope="run"),)
    depends_on: ClassVar[tuple[str, ...]] = ("tune", "label.short", "label.long")

    def __init__(self, config: Config) -> None:
        self.whole = config
        self.config = config.tune

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return config.tune.data is not None

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        tune = config.tune
        if tune.data is not None:
            tuned_variant(first_of(config.label), config.ingest.source)
        if config.label.tuned is not None:
            raise UserError("label.tuned: tuning starts from the weights themselves; run it with label.tuned: null")
        paths = ("data", "images", "val", "val_images")
        found: dict[str, Any] = {name: absolute(path) for name in paths if (path := getattr(tune, name))}
        return {**found, "device": resolve_device("auto") if tune.device == "auto" else tune.device}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        sets = {name: annotations_sha256(path) for name in ("data", "val") if (path := getattr(config.tune, name))}
        return {"base": describe(config).weights, "annotations": sets}

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(gpu=device_type(config.tune.device) == "cuda")

    def run_job(self, io: RunIO) -> dict[str, Any]:
        import torch

        from model.device import forbid_tf32
        from model.tuning import Tuned, choose_trained
        from stages.tune.tuner import Checkpoints

        resolve_device(self.config.device)
        torch.set_num_threads(self.config.threads)
        forbid_tf32()
        if self.config.data is None:
            raise UserError("tune.data: name a COCO instances JSON with the examples, or a folder of ODinW")
        train, val = self._pictures(io)
        listed = category_list(train.names, self.config)
        glip, base = open_base(self.whole)
        glip.to(self.config.device)
        names = choose_trained(glip, self.config.method, listed) if self.config.shots else []
        glip.listed = listed
        result = self._tune(io, glip, names, listed, train, val)
        with io.create(WEIGHTS) as stream:
            tuned = Tuned(glip.variant.name, base, self.config.method, listed, result.tensors)
            stream.write(data := tuned.to_bytes())
        notes = self._report(io, train, val, result, len(data))
        Checkpoints(io, FOLDER).clear()
        return notes

    def _pictures(self, io: RunIO) -> tuple[Pictures, Pictures | None]:
        """Those to learn from and those by which training is stopped; without shots, the latter are not needed."""
        from stages.tune.data import open_pictures

        train = open_pictures(io, self.config, "train")
        if not self.config.shots:
            return train, None
        val = open_pictures(io, self.config, "val")
        if val.names != train.names:
            raise UserError(
                f"tune.val: its categories are {', '.join(val.names)}; those of tune.data are {', '.join(train.names)}"
            )
        return train, val

    def _tune(
        self, io: RunIO, glip: Glip, names: list[str], listed: CategoryList, train: Pictures, val: Pictures | None
    ) -> Result:
        from model.grounding import GlipGrounder
        from model.scheduler import Scheduler
        from stages.tune.data import shots_of, validation_ap
        from stages.tune.tuner import Checkpoints, Result, tune

        label = self.whole.label
        sides = (label.short or glip.variant.short, label.long or glip.variant.long)
        scheduler = Scheduler(GlipGrounder(glip, sides), label.batch_size)
        glip.eval()
        if val is None:
            return Result({}, [])
        validate = partial(validation_ap, scheduler, io, val)

        def progress(epoch: int, ap: float) -> None:
            io.progress(epoch, self.config.epochs, f"validation AP {ap:.1f}")

        shots = shots_of(io, train)
        if not shots:
            raise UserError("tune.data: no image with a box to learn from (crowds and boxes of a pixel do not count)")
        kept = Checkpoints(io, FOLDER)
        return tune(glip, names, listed, shots, validate, self.config, sides, progress, kept)

    def _report(self, io: RunIO, train: Pictures, val: Pictures | None, result: Result, size: int) -> dict[str, Any]:
        """Writes history.json; returns the notes of the commit record."""
        config = self.config
        notes = {
            "method": config.method,
            "shots": config.shots,
            "seed": config.seed,
            "base": describe(self.whole).to_json(),
            "categories": train.names,
            "parameters": sum(value.numel() for value in result.tensors.values()),
            "bytes": size,
            "images": {
                "train": [len(train.files), train.drawn],
                **({"val": [len(val.files), val.drawn]} if val else {}),
            },
            "epochs": len(result.losses),
            "best_epoch": result.best_epoch,
            **({"validation_ap": {"before": result.aps[0], "best": result.aps[result.best_epoch]}} if val else {}),
        }
        history = {
            "validation_ap": result.aps,
            "loss": result.losses,
            "train": train.files,
            "val": val.files if val else [],
            "trained": {name: list(value.shape) for name, value in sorted(result.tensors.items())},
        }
        with io.create(HISTORY) as stream:
            stream.write((json.dumps({**notes, **history}, indent=1, sort_keys=True) + "\n").encode())
        return notes


def category_list(names: Sequence[str], config: Any) -> CategoryList:
    """The categories with the prompts of the config. Raises UserError."""
    from model.prompt import CategoryList, CategoryPrompt

    try:
        return CategoryList.of(names, [CategoryPrompt(own.name, own.prefix, own.suffix) for own in config.prompts])
    except ValueError as error:
        raise UserError(f"tune.prompts: {error}") from error


def tuned_variant(label: LabelConfig, source: str) -> str:
    """The variant that is tuned, given the label section of the run's teacher. Raises UserError where it is no GLIP."""
    from model.teachers import teacher_name
    from model.variants import VARIANTS

    name = teacher_name(label.teacher, source)
    if name not in VARIANTS:
        raise UserError(f"label.teacher: {name} cannot be tuned; a GLIP can: {', '.join(sorted(VARIANTS))}")
    return name


def open_base(config: Config) -> tuple[Glip, str]:
    """The model of the label section, with what its training drops at random, and the sha256 of its weights.

    Raises UserError for a teacher that is no GLIP.
    """
    from model.checkpoint import WeightsError, packaged_weights, sha256
    from model.deform_choice import settle
    from model.glip import Glip
    from model.variants import get_variant

    label = first_of(config.label)
    name = tuned_variant(label, config.ingest.source)
    try:
        path = label.weights or packaged_weights(name)
        glip = Glip.from_file(name, path, get_variant(name).published)
    except (OSError, WeightsError) as error:
        raise UserError(f"label.weights: {error}") from error
    glip.precision = config.tune.precision
    settle(glip, label.deform)
    if config.tune.checkpointing:
        glip.use_checkpointing()
    return glip, sha256(path)


def annotations_sha256(path: str) -> dict[str, str]:
    """Of an annotation file of this machine, or of all that lie in a folder, by their names; nothing for others."""
    top = Path(path.removeprefix("file://"))
    files = [top] if top.is_file() else sorted(top.rglob("*.json")) if top.is_dir() else []
    return {file.relative_to(top).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
