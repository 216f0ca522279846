"""The cells of the claim on photographs: which models are trained and which labels are made, with which settings.

Cells of a seed: `start`, which draws the tenth of the training photos whose phrase boxes are gold, and fits the weights
that all three models begin with on this tenth alone; `teacher`, on the tenth; `labels`, the teacher's boxes on the
captions of the other nine tenths, whose own boxes nothing reads; `student`, on the tenth and these labels, half of its
samples each; `upper`, on the boxes that people drew on all ten tenths. All see the same number of samples.

Seeds differ in the tenth, the start and the order of samples. The test photos are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.cell import WEIGHTS, WORK, Cell

SHARE = 10  # one photo in so many is gold
LABELS = "labels.json"  # in the folder of a `labels` cell
FIGURES = "figures.json"  # in the folder of a model
THRESHOLD = (
    "$THRESHOLD"  # stands for the score above which a teacher's labels are kept, which is found when they are made
)


@dataclass(frozen=True)
class Grid:
    """The sizes of the measurement, and where its data lies."""

    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 3000
    batch_size: int = 8
    labelled: float = 0.5  # share of the phrases that get a label: those that the teacher is surest of
    start_photos: int = 2000  # at most so many of the tenth are what the start is fitted on
    start_steps: int = 800  # of its text encoder
    test_photos: int = 10_000  # at most; there are 484
    shared: str = "../shared"
    data: str = "data/photos"  # where recipes/glip_photos/prepare.py has written
    device: str = "cpu"


def cells_of(grid: Grid) -> list[Cell]:
    """Every cell after those that it needs."""
    return [cell for seed in grid.seeds for cell in CellsOfSeed(grid, seed).cells()]


def seconds(cell: Cell, grid: Grid, rates: Mapping[str, float]) -> float:
    """What a cell costs, by the rates of a machine: samples and labelled photos per second, and seconds of a start."""
    if cell.name.startswith("start"):
        return rates["start"]
    if cell.name.startswith("labels"):
        return PHOTOS * (SHARE - 1) / SHARE / rates["label"]
    return grid.steps * grid.batch_size / rates["train"] + min(grid.test_photos, TEST_PHOTOS) / rates["label"] + 60


PHOTOS, TEST_PHOTOS = 5819, 484


class CellsOfSeed:
    """Makes the cells of one seed."""

    def __init__(self, grid: Grid, seed: int) -> None:
        self.grid, self.seed = grid, seed
        self.folder = f"{WORK}/start-s{seed}"
        self.images = f"{grid.data}/flickr"
        self.everything = f"{grid.data}/entities_train.json"
        self.start = self._start()

    def cells(self) -> list[Cell]:
        teacher = self._model("teacher", self._gold(f"{self.folder}/gold.json"))
        labels = self._labels(teacher)
        gold = self._gold(f"{self.folder}/gold.json", weight=SHARE - 1.0)  # half of the student's samples
        student = self._model("student", gold, labels)
        upper = self._model("upper", self._gold(self.everything))
        return [self.start, teacher, labels, student, upper]

    def _start(self) -> Cell:
        grid = self.grid
        split = f"python -m experiments.photos_claim.split --gold {self.everything} --seed {self.seed}"
        start = (
            f"python -m recipes.glip_photos.start --shared {grid.shared} --data {grid.data} --seed {self.seed}"
            f" --gold {self.folder}/gold.json --photos {grid.start_photos} --steps {grid.start_steps}"
        )
        return Cell(
            f"start-s{self.seed}",
            {},
            (f"{split} --out {self.folder}", f"{start} --out {self.folder}/start.safetensors"),
            facts={"role": "start", "seed": self.seed},
        )

    def _labels(self, teacher: Cell) -> Cell:
        settings = {
            **{"ingest.source": f"{self.folder}/captions.csv", "ingest.images": self.images},
            **{"label.weights": f"{WORK}/{teacher.name}/{WEIGHTS}", "label.device": self.grid.device},
        }
        name = f"labels-s{self.seed}"
        judge = f"python -m experiments.photos_claim.labels {WORK}/{name} --gold {self.everything}"
        return Cell(
            name,
            settings,
            ("run --until label", f"{judge} --labelled {self.grid.labelled} --out {WORK}/{name}/{LABELS}"),
            (self.start, teacher),
            facts={"role": "labels", "seed": self.seed},
        )

    def _model(self, role: str, gold: list[dict[str, Any]], labels: Cell | None = None) -> Cell:
        """A model of these gold sets, and of labels where they are given."""
        grid, name = self.grid, f"{role}-s{self.seed}"
        settings = {
            **{"train.seed": self.seed, "train.steps": grid.steps, "train.batch_size": grid.batch_size},
            **{"train.init": f"{self.folder}/start.safetensors", "train.gold": gold, "train.device": grid.device},
            "train.pseudo": labels is not None,
        }
        if labels:
            settings = {**labels.settings, "filter.min_score": THRESHOLD, **settings}
        measure = (
            f"python -m experiments.photos_claim.measure {WORK}/{name}/{WEIGHTS} --gold {self.folder}/gold.json"
            f" --test {grid.shared}/data/photos/entities_test.json --images {self.images} --photos {grid.test_photos}"
        )
        return Cell(
            name,
            settings,
            (*(("run --until shard",) if labels else ()), "train", f"{measure} --out {WORK}/{name}/{FIGURES}"),
            (self.start, labels) if labels else (self.start,),
            begins_as=labels,
            facts={"role": role, "seed": self.seed},
        )

    def _gold(self, source: str, weight: float = 1.0) -> list[dict[str, Any]]:
        return [{"source": source, "format": "mdetr", "images": self.images, "weight": weight}]
