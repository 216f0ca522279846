"""What the rules of the filter do to labels: precision and recall of what is kept, on scenes, whose boxes are known.

    python benchmarks/filter_rules.py [--count 4000] [--run FOLDER] [--out benchmarks/results/filter_rules.json]

Runs the chain up to the labels on `--count` scenes of the split `web` (or takes the labels of `--run`, a run of
configs/selftrain.yaml, as it is), filters them with some thresholds, with and without `filter.phrase_nms_iou`, and
judges what is kept by the rule of `stages/evaluation/agreement.py`, by tier of the noun. The first row is the default.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.record import processor_name, publish
from schemas.config import FilterConfig
from stages.evaluation import agreement
from stages.filter import filter_labels
from stages.sources.scenes import NOUNS, Scene, draw_scene

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/selftrain.yaml"
TIERS = ("common", "rare", "unseen", "none")  # none: phrases that name no thing
RULES: tuple[dict[str, float], ...] = tuple(
    {"min_score": score, "phrase_nms_iou": limit} for score in (0.5, 0.4, 0.6, 0.7) for limit in (1.0, 0.6)
)


def measure(run: Path) -> list[dict[str, Any]]:
    """A row for each of RULES: its settings, and per tier what is kept, how much of it is right, and of how much."""
    rows = []
    parts = sorted((run / "labels").glob("part-*.parquet"))
    if not parts:
        raise SystemExit(f"{run}: no labels here; run phrasebox run {CONFIG} --until label first")
    for rules in RULES:
        tallies = {name: agreement.Tally() for name in TIERS}
        for labels in parts:
            judge_part(labels, FilterConfig(**rules), tallies)
        figures = {name: tally.at(0.0) for name, tally in tallies.items()}  # all that the filter has kept
        rows.append(
            {
                "rules": rules,
                **{name: {k: v for k, v in at.items() if k != "threshold"} for name, at in figures.items()},
            }
        )
    return rows


def judge_part(labels: Path, rules: FilterConfig, tallies: dict[str, agreement.Tally]) -> None:
    tier = {noun.name: noun.tier for noun in NOUNS}
    table = pq.read_table(labels)
    captions = {row["key"]: row for row in rows_beside(labels, "phrases", ["key", "caption", "phrases"])}
    scenes = {row["key"]: scene_of(row["source_id"]) for row in rows_beside(labels, "pairs", ["key", "source_id"])}
    lengths = np.asarray([len(captions[key]["caption"]) for key in table["key"].to_pylist()])
    for row in filter_labels(table, lengths, rules).to_pylist():
        scene, phrases = scenes[row["key"]], captions[row["key"]]["phrases"]
        boxes = np.asarray([[box[side] for side in ("x1", "y1", "x2", "y2")] for box in row["boxes"]], np.float32)
        scores = np.asarray([box["score"] for box in row["boxes"]], np.float32)
        texts = [phrases[box["phrase"]] for box in row["boxes"]]
        named = np.asarray([agreement.span_named((text["start"], text["end"]), scene.spans) for text in texts], int)
        gold = np.asarray([(box.x1, box.y1, box.x2, box.y2) for box in scene.boxes], np.float32).reshape(-1, 4)
        owner = np.asarray([box.span for box in scene.boxes], int)
        right, ious = agreement.judge(boxes.reshape(-1, 4), scores, named, gold, owner)
        of_span = [tier[noun] for noun in scene.span_nouns]
        of_box = np.asarray([of_span[span] if span >= 0 else "none" for span in named.tolist()], object)
        for name, tally in tallies.items():
            tally.scores += scores[of_box == name].tolist()
            tally.right += right[of_box == name].tolist()
            tally.ious += ious[of_box == name].tolist()
            tally.gold += sum(of_span[span] == name for span in owner.tolist())


def rows_beside(labels: Path, stage: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    return iter(pq.read_table(labels.parents[1] / stage / labels.name, columns=columns).to_pylist())


def scene_of(source_id: str) -> Scene:
    _, split, seed, index = source_id.split("/")
    return draw_scene(split, int(seed), int(index))


def labelled(folder: Path, count: int) -> None:
    """Runs the chain up to the labels, in this process' environment."""
    line = [sys.executable, "-m", "pipeline.cli", "run", CONFIG, "--run", str(folder), "--until", "label", "--inline"]
    subprocess.run([*line, f"--set=ingest.count={count}"], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="scenes")
    parser.add_argument("--run", type=Path, default=None, help="a run with labels of scenes, instead of one made here")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as draft:
        run = options.run or Path(draft)
        if options.run is None:
            labelled(run, options.count)
        rows = measure(run)
        pairs = sum(pq.read_metadata(part).num_rows for part in (run / "labels").glob("part-*.parquet"))
    result = {
        "what": "what the filter keeps of the labels of scenes, by rule: boxes, and how much of them is right",
        "command": f"python benchmarks/filter_rules.py --count {pairs}",
        "teacher": "glip-nano, the packaged weights" if options.run is None else "that of the run",
        "protocol": " ".join((agreement.__doc__ or "").split()),
        "pairs": pairs,
        "rows": rows,
        "processor": processor_name(),
        "versions": {name: version(name) for name in ("torch", "pyarrow", "numpy")},
        "date": datetime.date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
