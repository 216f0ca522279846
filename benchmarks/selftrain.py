"""Does a student pass its teacher? The grid of self-training on the scenes, cell by cell.

    python benchmarks/selftrain.py plan                       # the cells, what is done, and what is left in hours
    python benchmarks/selftrain.py run --minutes 50           # goes on where it stopped, as far as the time allows
    python benchmarks/selftrain.py run --only '*-s1*'         # some cells (and what they need); one shell for each core
    python benchmarks/selftrain.py evaluate --images 1500   # the models that are there, on more images
    python benchmarks/selftrain.py collect                    # benchmarks/results/selftrain.json and the plots

Every cell is `phrasebox` commands on configs/selftrain.yaml with some keys set, in a run folder of its own under
--work, and leaves one JSON under --cells. A cell that has its JSON is made again only where its folder is gone and
another cell needs what was in it. A command that is cut off (by --minutes, or a kill) goes on from its last checkpoint.
Cells of a seed: `start`, from
which all three models of the seed begin: the crop naming that stands for a pretrained backbone, and --start-steps of
training on gold (with --start FILE there is none: all seeds begin with these weights, which saves a third of the time,
and their gold is that of configs/teacher.yaml); `teacher`, on gold alone;
`labels`, the teacher's boxes on the web pairs; `student`, on gold and pseudo labels; `upper`, on gold and the true
boxes of the same web pairs; `mentioned`, as `upper`, with the boxes of what the captions mention alone. All see the
same number of samples. Seeds differ in gold, web pairs and initial weights; evaluation images are the same for all.
The curves (threshold, number of web pairs, length of the training) and `mentioned` are of the first seed. Without
options there is one point of each; docs/selftraining.md has the command of the grid that draws them, half as long.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.record import processor_name  # noqa: E402 - after the path to it
from benchmarks.selftrain_results import collect  # noqa: E402

CONFIG = "configs/selftrain.yaml"
GOLD = 2000  # gold images: all in which rare nouns occur
WEIGHTS = "student/weights.safetensors"
IMAGES = "evaluate.count"
WORK = "$WORK"  # stands for --work in settings, which are recorded and compared on other machines


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
    lengths: tuple[int, ...] = ()  # also steps of teacher and student; the labels are always of --steps
    phrase_nms_iou: float = 0.6  # of the student's filter
    word_substitution: float = 0.5  # of all three models
    ungrounded: str = "unknown"  # of the student
    phrase_prompts: float = 1.0  # of the student, and detection prompts of the upper bound's web pairs
    repeat_below: float = 0.1  # of all three models
    images: int = 1500  # of the evaluation
    device: str = "cpu"

    @property
    def samples(self) -> int:
        return self.steps * self.batch_size


@dataclass(frozen=True)
class Cell:
    name: str
    settings: Mapping[str, Any]
    commands: tuple[str, ...]  # of phrasebox, in this order
    needs: tuple[Cell, ...] = ()
    begins_as: Cell | None = None  # its folder starts as a copy of this one's
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the results are sorted by

    def key(self) -> str:
        """Changes with every setting of the cell and of those it needs, but for the number of evaluation images."""
        settings = sorted(item for item in self.settings.items() if item[0] != IMAGES)
        parts = [self.name, settings, self.commands, [cell.key() for cell in self.needs]]
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def cells_of(grid: Grid) -> list[Cell]:
    """Every cell after those that it needs."""
    return [cell for seed in grid.seeds for cell in cells_of_seed(grid, seed)]


def cells_of_seed(grid: Grid, seed: int) -> list[Cell]:
    start = Cell(f"start-s{seed}", start_settings(grid, seed), ("train",))
    begins = () if grid.start else (start,)
    init = {"train.init": grid.start or f"{WORK}/{start.name}/{WEIGHTS}"}
    teacher = Cell(
        f"teacher-s{seed}",
        {**model_settings(grid, seed, gold(grid, seed)), **init, "train.pseudo": False},
        ("train", "evaluate"),
        begins,
        facts={"role": "teacher", "seed": seed},
    )
    labels = Cell(
        f"labels-s{seed}",
        {**web_settings(seed, max(grid.web, *grid.sizes)), **taught_by(teacher), "label.device": grid.device},
        ("run --until label",),
        (teacher,),
    )
    first = seed == grid.seeds[0]
    wanted = {(grid.threshold, grid.web)}
    if first:
        wanted |= {(value, grid.web) for value in grid.thresholds} | {(grid.threshold, size) for size in grid.sizes}
    students = [
        Cell(
            f"student-s{seed}-t{threshold}-n{size}",
            {
                **web_settings(seed, size),
                **taught_by(teacher),
                **student_settings(grid, seed, threshold, size),
                **init,
            },
            ("run --until shard", "train", "evaluate"),
            (*begins, labels),
            labels,
            {"role": "student", "seed": seed, "threshold": threshold, "web": size},
        )
        for threshold, size in sorted(wanted)
    ]
    upper = Cell(
        f"upper-s{seed}",
        {**true_settings(grid, seed, scenes_of_web(grid, seed)), **init},
        ("train", "evaluate"),
        begins,
        facts={"role": "upper_bound", "seed": seed, "web": grid.web},
    )
    (student,) = (
        cell for cell in students if (cell.facts["threshold"], cell.facts["web"]) == (grid.threshold, grid.web)
    )
    shorter = [
        replace(cell, name=f"{cell.name}-k{steps}", settings={**cell.settings, "train.steps": steps})
        for cell in (teacher, student)
        for steps in sorted(set(grid.lengths) - {grid.steps})
    ]
    mentioned = Cell(
        f"mentioned-s{seed}",
        {**labels.settings, **true_settings(grid, seed, {"source": "run", "detection": grid.phrase_prompts}), **init},
        ("train", "evaluate"),
        (*begins, labels),
        labels,
        {"role": "mentioned", "seed": seed, "web": grid.web},
    )
    return [*begins, teacher, labels, *students, upper, *([*shorter, mentioned] if first else [])]


def student_settings(grid: Grid, seed: int, threshold: float, size: int) -> dict[str, Any]:
    return {
        **model_settings(grid, seed, gold(grid, seed, half_of=size)),
        **{"filter.min_score": threshold, "filter.phrase_nms_iou": grid.phrase_nms_iou},
        **{"train.ungrounded": grid.ungrounded, "train.phrase_prompts": grid.phrase_prompts},
    }


def true_settings(grid: Grid, seed: int, web: dict[str, Any]) -> dict[str, Any]:
    """Of a model that is trained on gold and on true boxes of the web pairs, as lists of their categories."""
    return {**model_settings(grid, seed, [*gold(grid, seed, half_of=grid.web), web]), "train.pseudo": False}


def scenes_of_web(grid: Grid, seed: int) -> dict[str, Any]:
    """The scenes that the web pairs are, with every object that they show."""
    return {"source": "scenes", "split": "web", "seed": seed, "count": grid.web, "detection": grid.phrase_prompts}


def gold(grid: Grid, seed: int, half_of: int | None = None) -> list[dict[str, Any]]:
    """The gold set; as many of its samples as of `half_of` others, where that is given."""
    seed = 7 if grid.start else 7 + seed  # that of configs/teacher.yaml, which the packaged weights have seen
    weight = 1.0 if half_of is None else half_of / GOLD
    return [{"source": "scenes", "split": "gold", "count": GOLD, "seed": seed, "detection": 0.5, "weight": weight}]


def model_settings(grid: Grid, seed: int, sets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **{"train.seed": seed, "train.steps": grid.steps, "train.batch_size": grid.batch_size, "train.crop_steps": 0},
        **{"train.lr": grid.lr, "train.text_lr": grid.lr, "train.word_substitution": grid.word_substitution},
        "train.repeat_below": grid.repeat_below,
        **{"train.gold": sets, "train.device": grid.device, "label.device": grid.device},
        **{IMAGES: grid.images, "evaluate.models": ["student"]},
    }


def start_settings(grid: Grid, seed: int) -> dict[str, Any]:
    return {
        **model_settings(grid, seed, gold(grid, seed)),
        **{"train.crop_steps": grid.crop_steps, "train.steps": grid.start_steps, "train.pseudo": False},
    }


def web_settings(seed: int, count: int) -> dict[str, Any]:
    return {"ingest.seed": seed, "ingest.count": count}


def taught_by(teacher: Cell) -> dict[str, Any]:
    return {"label.weights": f"{WORK}/{teacher.name}/{WEIGHTS}"}


# -- running -------------------------------------------------------------------------------------------------------


class Runner:
    def __init__(self, work: Path, results: Path, minutes: float | None) -> None:
        self.work, self.results = work, results
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    def done(self, cell: Cell) -> bool:
        file = self.results / f"{cell.name}.json"
        return file.exists() and json.loads(file.read_text())["key"] == cell.key()

    def pending(self, cells: list[Cell]) -> list[Cell]:
        """The cells to be made: without a result, or needed by one of these and without a folder."""
        names = {cell.name for cell in cells if not self.done(cell)}
        for cell in reversed(cells):  # those that need come after those that are needed
            if cell.name in names:
                names |= {needed.name for needed in cell.needs if not (self.work / needed.name / "cell").exists()}
        return [cell for cell in cells if cell.name in names]

    def make(self, cell: Cell) -> bool:
        """Whether the cell is done now; it is not when the time is over."""
        folder = self.work / cell.name
        marker = folder / "cell"
        if folder.exists() and (not marker.exists() or marker.read_text() != cell.key()):
            shutil.rmtree(folder)  # of other settings
        if not folder.exists():
            self._begin(cell, folder)
        started = time.monotonic()
        for command in cell.commands:
            if not self._phrasebox(command, cell, folder):
                return False
        result = {
            **{"name": cell.name, "key": cell.key(), **cell.facts, "settings": dict(cell.settings)},
            "seconds": round(time.monotonic() - started, 1),  # of this call; the commands' own are in commits/
            "stage_seconds": {
                path.parent.name: record(path)["seconds"] for path in folder.glob("commits/*/*0000.json")
            },
            "date": datetime.date.today().isoformat(),
            "processor": processor_name(),
            "versions": {"python": platform.python_version(), "torch": version("torch")},
        }
        if "evaluate" in cell.commands:
            figures = json.loads((folder / "evaluation" / "scenes-student.json").read_text())
            notes = record(folder / "commits" / "train" / "part-0000000.json")["notes"]
            result |= {"detection": figures["detection"], "agreement": figures["agreement"]}
            result |= {"samples_seen": notes["samples_seen"], "sets": notes["sets"]}
            init = ROOT / cell.settings["train.init"].replace(WORK, str(self.work))
            result["init_sha256"] = hashlib.sha256(init.read_bytes()).hexdigest()
        self.results.mkdir(parents=True, exist_ok=True)
        (self.results / f"{cell.name}.json").write_text(json.dumps(result, indent=1) + "\n")
        return True

    def evaluate(self, cell: Cell) -> bool:
        """Evaluates the cell's model on as many images as its settings say, where its figures are of others.

        False where the time is over. Raises FileNotFoundError without the weights.
        """
        file = self.results / f"{cell.name}.json"
        result = record(file)
        if result["settings"][IMAGES] == cell.settings[IMAGES]:
            return True
        weights = (self.work / cell.name / WEIGHTS).resolve(strict=True)
        folder = self.work / "evaluations" / cell.name
        folder.mkdir(parents=True, exist_ok=True)
        settings = {key: cell.settings[key] for key in (IMAGES, "label.device")}
        settings |= {"label.weights": str(weights), "evaluate.models": ["teacher"]}
        if not self._phrasebox("evaluate", Cell(cell.name, settings, ("evaluate",)), folder):
            return False
        figures = record(folder / "evaluation" / "scenes-teacher.json")
        result |= {name: figures[name] for name in ("detection", "agreement")}
        file.write_text(json.dumps({**result, "settings": dict(cell.settings)}, indent=1) + "\n")
        return True

    def _begin(self, cell: Cell, folder: Path) -> None:
        if cell.begins_as is None:
            folder.mkdir(parents=True)
        else:  # linked: files of a run are replaced, never written into
            staged = self.work / f".{cell.name}"
            shutil.rmtree(staged, ignore_errors=True)
            shutil.copytree(self.work / cell.begins_as.name, staged, copy_function=os.link)
            shutil.rmtree(staged / "state", ignore_errors=True)
            for own in ("cell", "log.txt"):  # these are written into
                (staged / own).unlink(missing_ok=True)
            staged.rename(folder)
        (folder / "cell").write_text(cell.key())

    def _phrasebox(self, command: str, cell: Cell, folder: Path) -> bool:
        """Runs it; False where it was stopped because the time is over. Raises RuntimeError where it fails."""
        name, *rest = command.split()
        config = [CONFIG] if name == "run" else ["--config", CONFIG]
        given = {key: json.dumps(value).replace(WORK, str(self.work)) for key, value in cell.settings.items()}
        settings = [f"--set={key}={value}" for key, value in given.items()]
        line = [
            sys.executable,
            "-m",
            "pipeline.cli.app",
            name,
            *config,
            "--run",
            str(folder),
            *rest,
            "--inline",
            *settings,
        ]
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with open(folder / "log.txt", "a") as log:
            process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                code = process.wait(None if self.end is None else max(0.0, self.end - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
            finally:
                process.terminate()
                process.wait()
        if code:
            raise RuntimeError(f"{cell.name}: phrasebox {command}: exit code {code}; see {folder / 'log.txt'}")
        return True


def record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def chosen(cells: list[Cell], pattern: str) -> list[Cell]:
    """The cells whose name fits, and all that they need, in order."""
    wanted: set[str] = set()

    def want(cell: Cell) -> None:
        wanted.add(cell.name)
        for needed in cell.needs:
            want(needed)

    for cell in cells:
        if fnmatch.fnmatch(cell.name, pattern):
            want(cell)
    return [cell for cell in cells if cell.name in wanted]


def plan_lines(cells: list[Cell], runner: Runner, grid: Grid, rates: Mapping[str, float]) -> Iterable[str]:
    """A line for each cell, and the hours that are left on one core (or device) at the rates."""
    left, pending = 0.0, {cell.name for cell in runner.pending(cells)}
    for cell in cells:
        seconds = cost(cell, grid, rates) if cell.name in pending else 0.0
        left += seconds
        yield f"{cell.name:24} {f'{seconds / 60:5.0f} min' if cell.name in pending else 'done'}"
    yield f"{left / 3600:.1f} h left on one core or device"


def cost(cell: Cell, grid: Grid, rates: Mapping[str, float]) -> float:
    """Seconds by the rates of the machine, from the command line."""
    if cell.name.startswith("start"):
        return grid.crop_steps / rates["crops"] + grid.start_steps * grid.batch_size / rates["train"]
    if cell.name.startswith("labels"):
        return float(cell.settings["ingest.count"]) * (1 / rates["label"] + 1 / 100)
    return cell.settings["train.steps"] * grid.batch_size / rates["train"] + grid.images / rates["evaluate"] + 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plan", "run", "evaluate", "collect"))
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "selftrain-grid", help="run folders of the cells")
    parser.add_argument(
        "--cells", type=Path, default=ROOT / "benchmarks" / "results" / "selftrain", help="their results"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "selftrain.json")
    parser.add_argument("--plots", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="`collect`: results at other --steps")
    parser.add_argument("--labels", type=Path, default=None, help="`collect`: benchmarks/filter_rules.py of a student")
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long; the next call goes on")
    parser.add_argument("--only", default="*", help="cells by name, as in a shell: '*-s0*'")
    default = Grid()
    parser.add_argument("--seeds", type=numbers(int), default=default.seeds)
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--batch-size", type=int, default=default.batch_size)
    parser.add_argument("--lr", type=float, default=default.lr)
    parser.add_argument("--crop-steps", type=int, default=default.crop_steps)
    parser.add_argument("--start-steps", type=int, default=default.start_steps)
    parser.add_argument("--start", type=from_root, default=None, help="weights that all models begin with")
    parser.add_argument("--web", type=int, default=default.web)
    parser.add_argument("--sizes", type=numbers(int), default=default.sizes)
    parser.add_argument("--thresholds", type=numbers(float), default=default.thresholds)
    parser.add_argument("--lengths", type=numbers(int), default=default.lengths, help="in steps")
    parser.add_argument("--word-substitution", type=float, default=default.word_substitution, help="in gold captions")
    parser.add_argument("--phrase-nms-iou", type=float, default=default.phrase_nms_iou)
    parser.add_argument("--ungrounded", choices=("absent", "unknown"), default=default.ungrounded)
    parser.add_argument("--phrase-prompts", type=float, default=default.phrase_prompts)
    parser.add_argument("--repeat-below", type=float, default=default.repeat_below)
    parser.add_argument("--images", type=int, default=default.images)
    parser.add_argument("--device", default=default.device)
    for name, rate in (("train", 7.0), ("label", 20.0), ("evaluate", 4.5), ("crops", 1.8)):
        parser.add_argument(f"--{name}-rate", type=float, default=rate, help="per second, for `plan` [one CPU core]")
    options = parser.parse_args()
    grid = Grid(**{name: getattr(options, name) for name in vars(default) if name in options})
    cells = chosen(cells_of(grid), options.only)
    runner = Runner(options.work.resolve(), options.cells, options.minutes)
    if options.what == "plan":
        rates = {name: getattr(options, f"{name}_rate") for name in ("train", "label", "evaluate", "crops")}
        sys.stdout.write("\n".join(plan_lines(cells, runner, grid, rates)) + "\n")
    elif options.what == "run":
        if grid.start and not (ROOT / grid.start).is_file():
            parser.error(f"--start: no weights at {grid.start}; configs/selftrain_start.yaml says how to make them")
        each(runner.pending(cells), runner.make)
    elif options.what == "evaluate":
        each([cell for cell in cells if cell.facts and runner.done(cell)], runner.evaluate)
    else:
        found = [record(options.cells / f"{cell.name}.json") for cell in cells if cell.facts and runner.done(cell)]
        beside, labels = [record(path) for path in options.beside], options.labels and record(options.labels)
        collect(found, vars(grid), options.out, options.plots, beside, labels)


def each(cells: list[Cell], make: Callable[[Cell], bool]) -> None:
    """One after the other, a line for each, until the time is over."""
    for number, cell in enumerate(cells):
        if not make(cell):
            sys.stdout.write(f"stopped in {cell.name}; {len(cells) - number} cells are left\n")
            return
        sys.stdout.write(f"{cell.name}; {len(cells) - number - 1} cells are left\n")
        sys.stdout.flush()


def from_root(path: str) -> str:
    """Relative to the repository where it lies in there, as commands are run from its root."""
    whole = Path(path).resolve()
    return str(whole.relative_to(ROOT) if whole.is_relative_to(ROOT) else whole)


def numbers(kind: type) -> Any:
    return lambda text: tuple(kind(part) for part in text.split(","))


if __name__ == "__main__":
    main()
