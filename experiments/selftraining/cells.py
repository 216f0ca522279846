"""The cells of the grid: which models are trained and which labels are made, with which settings.

Cells of a seed: `start`, from which all three models of the seed begin: the crop pre-training that stands for a
pretrained backbone, and `start_steps` of training on gold (with the weights file `Grid.start` there is none: all seeds
begin with these weights, which saves a third of the time, and their gold is that of recipes/glip_nano/teacher.yaml);
`teacher`, on gold alone; `labels`, the teacher's boxes on the web pairs; `student`, on gold and pseudo labels; `upper`,
on gold and the true boxes of the same web pairs; `mentioned`, as `upper`, with the boxes of what the captions mention
alone. All see the same number of samples. Seeds differ in gold, web pairs and initial weights; evaluation images are
the same for all. The curves (threshold, number of web pairs, length of the training) and `mentioned` are of the first
seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.cell import IMAGES, WEIGHTS, WORK, Cell
from experiments.cell import chosen as chosen  # with the grid, for whoever picks cells of it

GOLD = 2000  # gold images: all in which rare nouns occur
GOLD_SEED = 7  # that of recipes/glip_nano/teacher.yaml, which the packaged weights have seen


@dataclass(frozen=True)
class Grid:
    """The sizes of the measurement. The default is the reduced one, for two cores."""

    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 2400
    batch_size: int = 8
    lr: float = 5e-4
    crop_steps: int = 1500
    start_steps: int = 2000
    start: str | None = None  # a weights file instead of `start` cells
    web: int = 8000  # pairs of the main comparison
    sizes: tuple[int, ...] = (8000,)
    threshold: float = 0.5
    thresholds: tuple[float, ...] = (0.5,)
    lengths: tuple[int, ...] = ()  # also steps of teacher and student; the labels are always of `steps`
    phrase_nms_iou: float = 0.6  # of the student's filter
    word_substitution: float = 0.5  # of all three models
    ungrounded: str = "unknown"  # of the student
    phrase_prompts: float = 1.0  # of the student, and detection prompts of the upper bound's web pairs
    repeat_below: float = 0.1  # of all three models
    images: int = 1500  # of the evaluation
    device: str = "cpu"


def cells_of(grid: Grid) -> list[Cell]:
    """Every cell after those that it needs."""
    return [cell for seed in grid.seeds for cell in CellsOfSeed(grid, seed).cells()]


def seconds(cell: Cell, grid: Grid, rates: Mapping[str, float]) -> float:
    """What a cell costs, by the rates of a machine: samples, labels, evaluated images and crop steps per second."""
    if cell.name.startswith("start"):
        return grid.crop_steps / rates["crops"] + grid.start_steps * grid.batch_size / rates["train"]
    if cell.name.startswith("labels"):
        return float(cell.settings["ingest.count"]) * (1 / rates["label"] + 1 / 100)
    return cell.settings["train.steps"] * grid.batch_size / rates["train"] + grid.images / rates["evaluate"] + 60


class CellsOfSeed:
    """Makes the cells of one seed."""

    def __init__(self, grid: Grid, seed: int) -> None:
        self.grid, self.seed = grid, seed
        self.start = Cell(f"start-s{seed}", self._start_settings(), ("train",))
        self.begins = () if grid.start else (self.start,)
        self.init = {"train.init": grid.start or f"{WORK}/{self.start.name}/{WEIGHTS}"}

    def cells(self) -> list[Cell]:
        """Every cell after those that it needs. The curves and `mentioned` are of the first seed alone."""
        grid, first = self.grid, self.seed == self.grid.seeds[0]
        main = (grid.threshold, grid.web)
        wanted = {main}
        if first:
            wanted |= {(value, grid.web) for value in grid.thresholds} | {(grid.threshold, size) for size in grid.sizes}
        teacher = self._teacher()
        labels = self._labels(teacher)
        students = {pairs: self._student(teacher, labels, *pairs) for pairs in sorted(wanted)}
        cells = [*self.begins, teacher, labels, *students.values(), self._upper()]
        if first:
            lengths = sorted(set(grid.lengths) - {grid.steps})
            cells += [cell.shortened(steps) for cell in (teacher, students[main]) for steps in lengths]
            cells.append(self._mentioned(labels))
        return cells

    def _teacher(self) -> Cell:
        settings = {**self._model_settings(self._gold()), **self.init, "train.pseudo": False}
        facts = {"role": "teacher", "seed": self.seed}
        return Cell(f"teacher-s{self.seed}", settings, ("train", "evaluate"), self.begins, facts=facts)

    def _labels(self, teacher: Cell) -> Cell:
        settings = {
            **self._web_settings(max(self.grid.web, *self.grid.sizes)),
            **labelled_by(teacher),
            "label.device": self.grid.device,
        }
        return Cell(f"labels-s{self.seed}", settings, ("run --until label",), (teacher,))

    def _student(self, teacher: Cell, labels: Cell, threshold: float, size: int) -> Cell:
        settings = {
            **self._web_settings(size),
            **labelled_by(teacher),
            **self._model_settings(self._gold(half_of=size)),
            **{"filter.min_score": threshold, "filter.phrase_nms_iou": self.grid.phrase_nms_iou},
            **{"train.ungrounded": self.grid.ungrounded, "train.phrase_prompts": self.grid.phrase_prompts},
            **self.init,
        }
        return Cell(
            f"student-s{self.seed}-t{threshold}-n{size}",
            settings,
            ("run --until shard", "train", "evaluate"),
            (*self.begins, labels),
            begins_as=labels,
            facts={"role": "student", "seed": self.seed, "threshold": threshold, "web": size},
        )

    def _upper(self) -> Cell:
        """Its web pairs come as scenes, with every object that they show."""
        web = {"source": "scenes", "split": "web", "seed": self.seed, "count": self.grid.web}
        settings = self._true_settings({**web, "detection": self.grid.phrase_prompts})
        facts = {"role": "upper_bound", "seed": self.seed, "web": self.grid.web}
        return Cell(f"upper-s{self.seed}", settings, ("train", "evaluate"), self.begins, facts=facts)

    def _mentioned(self, labels: Cell) -> Cell:
        """Its web pairs are those of a run, with what their captions mention."""
        true = self._true_settings({"source": "run", "detection": self.grid.phrase_prompts})
        return Cell(
            f"mentioned-s{self.seed}",
            {**labels.settings, **true},
            ("train", "evaluate"),
            (*self.begins, labels),
            begins_as=labels,
            facts={"role": "mentioned", "seed": self.seed, "web": self.grid.web},
        )

    def _true_settings(self, web: dict[str, Any]) -> dict[str, Any]:
        """Of a model that is trained on gold and on true boxes of the web pairs, as lists of their categories."""
        gold = self._gold(half_of=self.grid.web)
        return {**self._model_settings([*gold, web]), "train.pseudo": False, **self.init}

    def _gold(self, half_of: int | None = None) -> list[dict[str, Any]]:
        """The gold set; as many of its samples as of `half_of` others, where that is given."""
        seed = GOLD_SEED if self.grid.start else GOLD_SEED + self.seed
        weight = 1.0 if half_of is None else half_of / GOLD
        return [{"source": "scenes", "split": "gold", "count": GOLD, "seed": seed, "detection": 0.5, "weight": weight}]

    def _model_settings(self, sets: list[dict[str, Any]]) -> dict[str, Any]:
        grid = self.grid
        return {
            **{"train.seed": self.seed, "train.steps": grid.steps, "train.batch_size": grid.batch_size},
            **{"train.crop_steps": 0, "train.lr": grid.lr, "train.text_lr": grid.lr},
            **{"train.word_substitution": grid.word_substitution, "train.repeat_below": grid.repeat_below},
            **{"train.gold": sets, "train.device": grid.device, "label.device": grid.device},
            **{IMAGES: grid.images, "evaluate.models": ["student"]},
        }

    def _start_settings(self) -> dict[str, Any]:
        grid = self.grid
        own = {"train.crop_steps": grid.crop_steps, "train.steps": grid.start_steps, "train.pseudo": False}
        return {**self._model_settings(self._gold()), **own}

    def _web_settings(self, count: int) -> dict[str, Any]:
        return {"ingest.seed": self.seed, "ingest.count": count}


def labelled_by(teacher: Cell) -> dict[str, Any]:
    return {"label.weights": f"{WORK}/{teacher.name}/{WEIGHTS}"}
