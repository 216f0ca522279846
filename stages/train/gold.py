"""Gold sets from the config to what is trained on: which file it is, what opens it, and whether it can be used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from stages.ingest.sources import absolute
from stages.stage import RowError, RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import GoldSet
    from stages.train.sets import SampleSet

PROBES = 10  # images of a set that are tried before the first step


class NothingToTrainOn(RuntimeError):
    """No samples: the stage fails with one line, and what came before stands."""


def with_absolute_paths(gold: GoldSet) -> GoldSet:
    """A `train.gold` entry, so that reading and hashing speak of the same file wherever they take place."""
    if (gold.source if gold.format == "auto" else gold.format) in ("scenes", "run", "reviews"):
        return gold
    images = gold.images
    if isinstance(images, dict):
        roots: dict[str, str] | str | None = {name: absolute(path) for name, path in images.items()}
    else:
        roots = images and absolute(images)
    return gold.model_copy(update={"source": absolute(gold.source), "images": roots})


def gold_sha256(source: str) -> str | None:
    """Of an annotation file, or of the list of a folder of shards; None for what is not a local file."""
    local = Path(source.removeprefix("file://"))
    file = next((path for path in (local, local / "index.json") if path.is_file()), None)
    if file is None:
        return None
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_gold(io: RunIO, gold: GoldSet) -> SampleSet:
    """The set that a `train.gold` entry names. Raises UserError where something is missing."""
    from stages.train.annotated import CocoSet, MdetrSet
    from stages.train.reviewed import ReviewSet
    from stages.train.sets import RunGoldSet, SceneSet
    from stages.train.shards import ShardSet

    kind = gold.format if gold.format != "auto" else guess_format(gold.source)
    if kind == "scenes":
        if gold.count is None:
            raise UserError("train.gold: scenes have no end; say how many with `count`")
        return SceneSet(gold.split, gold.seed, gold.count)
    if kind == "run":
        return RunGoldSet(io)
    if kind == "reviews":
        return ReviewSet(io)
    if kind == "shards":
        return ShardSet(io, gold.source, pseudo=False)
    if gold.images is None:
        raise UserError(
            f"train.gold: {gold.source} needs `images`, the folder of its images, or a folder for each data_source"
        )
    return (CocoSet if kind == "coco" else MdetrSet)(io, gold.source, gold.images, run=io)


def guess_format(source: str) -> str:
    if source == "scenes":
        return "scenes"
    if source in ("run", "reviews"):
        return source
    if source.endswith(".json"):
        raise UserError(f"train.gold: say whether {source} is `format: coco` or `format: mdetr`")
    return "shards"


def check_readable(sets: dict[str, SampleSet], max_pixels: int) -> None:
    """Raises NothingToTrainOn for a set none of whose first PROBES images, spread over it, can be used."""
    import numpy as np

    from stages.images import open_rgb

    for name, samples in sets.items():
        probes = np.unique(np.linspace(0, len(samples) - 1, PROBES).astype(int)).tolist()
        errors: list[str] = []
        for index in probes:
            try:
                open_rgb(samples.sample(index).image, max_pixels)
                break
            except RowError as error:
                errors.append(str(error))
        if len(errors) == len(probes):
            raise NothingToTrainOn(
                f"train: no image of {name} can be used: of {len(probes)} that were tried, the first is {errors[0]}"
            )


def unused_boxes(sets: dict[str, SampleSet]) -> dict[str, int]:
    """For the stage's closing lines."""
    return {
        f"boxes of {name} ({reason})": number
        for name, samples in sets.items()
        for reason, number in sorted(samples.unused.items())
        if number
    }
