"""All steps of the recipe, up to the figures beside those of `glip-photos`. Goes on where it was stopped.

    python -m recipes.glip_photos_coco [--shared ../shared]

Every step is a command that README.md explains, and is left out where its result is there already. The measurement is
always made. It needs the test photos that recipes.glip_photos.prepare writes.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DATA, TRAINED = "data/photos_coco", "runs/photos_coco/student/weights.safetensors"
START, WEIGHTS = f"{DATA}/start.safetensors", f"{DATA}/glip-photos-coco.safetensors"
CAPTIONS = f"{DATA}/captions_train.json"


class Step(NamedTuple):
    command: list[str]  # after the interpreter
    made: str | None = None  # the last file that it writes; None: it is never left out


def main(command: Sequence[str] | None = None) -> None:
    """Runs a command, that of the process by default."""
    options = arguments().parse_args(command)
    places = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    for step in steps(options):
        if step.made is None or not os.path.exists(step.made):
            sys.stdout.write(f"{shlex.join(['python', *step.command])}\n")
            sys.stdout.flush()
            done = subprocess.run([sys.executable, *step.command], env=environment, check=False)
            if done.returncode:
                sys.exit(done.returncode)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m recipes.glip_photos_coco",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shared", default="../shared")
    parser.add_argument("--precision", default="0.87", help="of labels above 0.5 on the captions of coco-mini")
    parser.add_argument("--start", default="", metavar="OPTIONS", help="more options of recipes.glip_photos.start")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of train.yaml")
    return parser


def steps(options: argparse.Namespace) -> Iterator[Step]:
    """Every command after those whose files it reads."""
    shared = ("--shared", options.shared)
    openly = ("--photos", str(ROOT / "configs" / "photos"))
    yield Step(["-m", "recipes.glip_photos_coco.prepare", *shared, "--out", DATA, *openly], CAPTIONS)
    fitted = ("--gold", CAPTIONS, "--images", f"{DATA}/coco", *shlex.split(options.start))
    yield Step(["-m", "recipes.glip_photos.start", *shared, "--data", DATA, *fitted, "--out", START], START)
    config = ("--config", str(ROOT / "recipes" / "glip_photos_coco" / "train.yaml"))
    settings = [f"--set={setting}" for setting in options.set]
    yield Step(["-m", "pipeline.cli", "train", *config, "--inline", *settings], TRAINED)
    border = ("--precision", options.precision, "--captions", f"{options.shared}/data/coco-mini")
    yield Step(["-m", "recipes.glip_photos.calibrate", TRAINED, *border, "--out", WEIGHTS], WEIGHTS)
    yield Step(["-m", "recipes.glip_photos.prepare", *shared], "data/photos/coco_train.json")
    record = ("--out", "benchmarks/results/photos_teacher.json")
    yield Step(
        ["-m", "benchmarks.photos_teacher", *shared, "--only=glip-photos-coco", "--clean-weights", WEIGHTS, *record]
    )


if __name__ == "__main__":
    main()
