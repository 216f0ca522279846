"""The cells of the levers: a short training as recipes/glip_photos has them, and others that differ in one thing each.

All begin with the recipe's start and see the same number of samples. `base-s1` is the base with another seed: what it
differs by is what a lever has to exceed. `long-s0` and `long-s1` are the base at nearly the length of the recipe's
first stage, for the spread between seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.cell import WEIGHTS, WORK, Cell

BASE = "base"
FIGURES = "figures.json"  # in the folder of a model
WORDS = "language_backbone.body.model.embeddings.word_embeddings"
PYRAMID = ("reduce.", "top_down.", "down.", "bottom_up.", "extra_")  # all of it but each level's last layers
DEV_PHOTOS = 967


@dataclass(frozen=True)
class Lever:
    settings: Mapping[str, Any]  # that differ from the base's
    costs: float = 1.0  # times what a sample of the base costs


LEVERS: dict[str, Lever] = {
    # The detector's backbone, which the base leaves as it is.
    "free-levels": Lever(
        {
            "train.frozen": ["backbone.body.", *(f"backbone.fpn.{part}" for part in PYRAMID), WORDS],
            "train.backbone_lr": 3e-4,
        },
        1.2,
    ),
    "free-body": Lever({"train.frozen": [WORDS], "train.backbone_lr": 2e-4}, 2.0),
    # Larger images, as the detector was trained on.
    "large": Lever({"train.scales": [256, 288, 320]}, 2.2),
    # What the head is asked for in a list of categories.
    "negatives": Lever({"train.negative_categories": 80}, 1.1),
    "lists": Lever({"detector_weight": 1.0}),
    "no-detector-boxes": Lever({"detector_weight": 0.0}),
    # Words.
    "substitution": Lever({"train.word_substitution": 0.5}),
    "no-softmax": Lever({"train.phrase_softmax": 0.0}),
}


@dataclass(frozen=True)
class Grid:
    """The sizes of the measurement, and where its data lies."""

    steps: int = 1200  # a third of the first stage's
    long_steps: int = 3000  # five sixths
    batch_size: int = 8
    dev_photos: int = 400  # the first ones; there are 967
    shared: str = "../shared"
    data: str = "data/photos"  # where recipes/glip_photos/prepare.py and start.py have written
    device: str = "cpu"


def cells_of(grid: Grid) -> list[Cell]:
    base = [_cell(grid, BASE, {}, grid.steps, 0), _cell(grid, "base-s1", {}, grid.steps, 1)]
    levers = [_cell(grid, name, lever.settings, grid.steps, 0) for name, lever in LEVERS.items()]
    return [*base, *levers, *(_cell(grid, f"long-s{seed}", {}, grid.long_steps, seed) for seed in (0, 1))]


def seconds(cell: Cell, grid: Grid, rates: Mapping[str, float]) -> float:
    """What a cell costs by a machine's rates: samples and labelled photos per second."""
    costs = LEVERS[cell.name].costs if cell.name in LEVERS else 1.0
    samples = int(cell.settings["train.steps"]) * grid.batch_size * costs
    return samples / rates["train"] + (min(grid.dev_photos, DEV_PHOTOS) + 80) / rates["label"] + 60


def _cell(grid: Grid, name: str, lever: Mapping[str, Any], steps: int, seed: int) -> Cell:
    own = {key: value for key, value in lever.items() if key != "detector_weight"}
    settings = {
        **{
            "train.init": f"{grid.data}/start.safetensors",
            "train.gold": _gold(grid, lever.get("detector_weight", 0.25)),
        },
        **{"train.steps": steps, "train.seed": seed, "train.batch_size": grid.batch_size, "train.device": grid.device},
        **own,
    }
    measure = (
        f"python -m experiments.photos_levers.measure {WORK}/{name}/{WEIGHTS} --data {grid.data}"
        f" --coco {grid.shared}/data/coco-mini --photos {grid.dev_photos} --out {WORK}/{name}/{FIGURES}"
    )
    return Cell(name, settings, ("train", measure), facts={"lever": name, "seed": seed})


def _gold(grid: Grid, detector_weight: float) -> list[dict[str, Any]]:
    """The recipe's sets; the detector's boxes weigh 0.25 there, so that a list comes half as often as a caption."""
    sets = (
        ("entities_train", "mdetr", "flickr", 1.0),
        ("detector_train", "coco", "flickr", detector_weight),
        ("coco_train", "coco", "coco", 2.0),
    )
    return [
        {"source": f"{grid.data}/{name}.json", "format": form, "images": f"{grid.data}/{images}", "weight": weight}
        for name, form, images, weight in sets
        if weight
    ]
