"""Transfer of glip-nano to a new task: shots x method, over three draws, with what each costs.

    python -m benchmarks.transfer --workers 2 --out benchmarks/results/transfer.json

The task (benchmarks/transfer_scenes.py) has nouns that the model has not been trained on, in another drawing style. For
each method, learning rate and length are chosen by the validation AP at 10 shots of the first draw, from grids of equal
size: one training for each rate, whose best epoch decides which of the lengths is enough. All other trainings take that
choice; each keeps its epoch with the best validation AP. AP is measured on test images that nothing was chosen by.

Trainings and measurements are runs of `phrasebox tune` and `phrasebox evaluate`, so that a killed benchmark continues
where it stopped. Seconds are those of a training with its validation, on one core beside the other workers. It takes an
hour of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from benchmarks.record import processor_name, publish
from benchmarks.transfer_scenes import NOUNS, write_task
from pipeline.cli.commands import Options, run_stage

METHODS = ("full", "prompt", "linear")
SHOTS = (1, 3, 5, 10, "all")
SEEDS = (3, 30, 300)
CHOOSING = 10  # shots at which rate and length are chosen
RATES = {"full": (5e-5, 1e-4, 2e-4, 5e-4), "prompt": (0.03, 0.1, 0.3, 1.0), "linear": (3e-3, 0.01, 0.03, 0.1)}
LENGTHS = (6, 12)  # epochs
COUNTS = {"train": 144, "valid": 48, "test": 150}
SMALL = {"batch_size": 2, "warmup": 10}  # of a model and a task this small
SIDES = {"short": 160, "long": 240}


@dataclass(frozen=True)
class Cell:
    """One training."""

    method: str
    shots: int | str
    seed: int
    lr: float
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.shots}-{self.seed}-{self.lr:g}-{self.epochs}"


@dataclass(frozen=True)
class Bench:
    """The task on the disk, and the runs beside it."""

    work: Path

    def config(self, tune: dict[str, Any], tuned: Path | None) -> dict[str, Any]:
        test = self.work / "task" / "test"
        data = {"data": str(test / "annotations_without_background.json"), "images": str(test)}
        label = {"teacher": "glip-nano", "device": "cpu", **SIDES, **({"tuned": str(tuned)} if tuned else {})}
        evaluate = {"benchmark": "coco", "models": ["teacher"], "count": COUNTS["test"], **data}
        return {"label": label, "evaluate": evaluate, "tune": tune, "train": {"threads": 1}}

    def run(self, stage: str, name: str, tune: dict[str, Any], tuned: Path | None = None) -> Path:
        """The run folder, in which the stage is committed."""
        run = self.work / name
        file = self.work / f"{name}.yaml"
        file.write_text(yaml.safe_dump(self.config(tune, tuned)))
        run_stage(str(file), (), str(run), stage, Options(inline=True))
        return run

    def train(self, cell: Cell) -> dict[str, Any]:
        """The notes of the training, with its seconds."""
        run = self.run("tune", cell.name, self.settings(cell))
        record = json.loads((run / "commits/tune/part-0000000.json").read_text())
        return {**record["notes"], "seconds": record["seconds"]}

    def settings(self, cell: Cell) -> dict[str, Any]:
        """Of the section `tune`; published but for rate, length, batch and warm-up."""
        rates = {"lr": cell.lr, **({"text_lr": cell.lr / 10} if cell.method == "full" else {})}
        draw = {"method": cell.method, "shots": cell.shots, "seed": cell.seed, "epochs": cell.epochs}
        return {"data": str(self.work / "task"), "threads": 1, "device": "cpu", **SMALL, **draw, **rates}

    def measure(self, cell: Cell | None) -> float:
        """AP on the test images; None: of the model as it is."""
        name = cell.name if cell else "zero_shot"
        tuned = self.work / name / "tuned" / "tuned.safetensors" if cell else None
        run = self.run("evaluate", name, self.settings(cell) if cell else {}, tuned)
        return float(json.loads((run / "evaluation/coco-teacher.json").read_text())["AP"])

    def train_and_measure(self, cell: Cell) -> dict[str, Any]:
        return {**self.train(cell), "AP": self.measure(cell)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"), help="where the runs lie, to continue")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time, a core each")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    bench = Bench(given.work.absolute())
    if not (bench.work / "task" / "test").is_dir():
        write_task(bench.work / "task", COUNTS)
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
        publish(measure_all(bench, pool), given.out)


def measure_all(bench: Bench, pool: Executor) -> dict[str, Any]:
    zero_shot = bench.measure(None)
    chosen = {method: choose(bench, method, pool) for method in METHODS}
    cells = [
        Cell(method, shots, seed, chosen[method]["lr"], chosen[method]["epochs"])
        for method in METHODS
        for shots in SHOTS
        for seed in SEEDS
    ]
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        method: {str(shots): [] for shots in SHOTS} for method in METHODS
    }
    for cell, result in zip(cells, pool.map(bench.train_and_measure, cells), strict=True):
        found[cell.method][str(cell.shots)].append(result)

    def table(key: str, over: Callable[[list[Any]], Any] = mean) -> dict[str, Any]:
        return {
            method: {shots: over([entry[key] for entry in entries]) for shots, entries in own.items()}
            for method, own in found.items()
        }

    full, prompt = (table("AP")[method] for method in ("full", "prompt"))
    return {
        "zero_shot": zero_shot,
        **table("AP"),
        "seeds": list(SEEDS),
        "by_seed": table("AP", list),
        "seconds": table("seconds"),
        "bytes": {method: own["all"][0]["bytes"] for method, own in found.items()},
        "parameters": {method: own["all"][0]["parameters"] for method, own in found.items()},
        "goals": {
            "prompt within 2 AP of full at 10": prompt["10"] >= full["10"] - 2,
            "both 10 AP above zero-shot at 10": min(prompt["10"], full["10"]) >= zero_shot + 10,
            "full at all above full at 10": full["all"] > full["10"],
        },
        "images": {str(shots): found["full"][str(shots)][0]["images"] for shots in SHOTS},
        "chosen": chosen,
        "task": {"nouns": list(NOUNS), "images": COUNTS, **SIDES, **SMALL},
        "machine": {"processor": processor_name(), "torch": version("torch")},
        "date": datetime.now(UTC).date().isoformat(),
    }


def choose(bench: Bench, method: str, pool: Executor) -> dict[str, Any]:
    """Rate and length with the best validation AP, and all that they were chosen from."""
    cells = [Cell(method, CHOOSING, SEEDS[0], lr, max(LENGTHS)) for lr in RATES[method]]
    grid = [
        {
            "lr": cell.lr,
            "epochs": min(length for length in LENGTHS if length >= notes["best_epoch"]),
            "validation_ap": notes["validation_ap"]["best"],
        }
        for cell, notes in zip(cells, pool.map(bench.train, cells), strict=True)
    ]
    best = max(grid, key=lambda entry: entry["validation_ap"])
    return {"lr": best["lr"], "epochs": best["epochs"], "grid": grid}


if __name__ == "__main__":
    main()
