"""What the rules of the filter do to labels: precision and recall of what is kept, on scenes, whose boxes are known.

    python -m benchmarks.filter_rules [--count 4000] [--run FOLDER] [--out benchmarks/results/filter_rules.json]

Runs the chain up to the labels on `--count` scenes of the split `web` (or takes the labels of `--run`, a run of
configs/selftrain.yaml, as it is), filters them with some thresholds, with and without `filter.phrase_nms_iou`, and
judges what is kept by the rule of `stages/evaluate/agreement.py`, by tier of the noun. The first row is the default.
`captions` says how many of the objects in the images the captions mention at all, and by the name of their category;
`nouns`, noun by noun, how many of its objects the student of docs/selftraining.md is told of.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.record import ROOT, processor_name, publish
from schemas.config import FilterConfig
from schemas.tables import LabelTable, PairTable, PhraseTable
from stages import agreement
from stages.evaluate.scenes import judge_scene
from stages.evaluate.tally import Tally
from stages.filter.rules import filter_labels
from stages.synthetic import NOUNS, Scene, draw_scene
from stages.train.wording import noun

CONFIG = "configs/selftrain.yaml"
TIER = {thing.name: thing.tier for thing in NOUNS}
TIERS = ("common", "rare", "unseen", "none")  # none: phrases that name no thing
RULES: tuple[dict[str, float], ...] = tuple(
    {"min_score": score, "phrase_nms_iou": limit} for score in (0.5, 0.4, 0.6, 0.7) for limit in (1.0, 0.6)
)
STUDENT = {"min_score": 0.5, "phrase_nms_iou": 0.6}  # the rule of configs/selftrain.yaml
ITSELF = {name: name for name in TIER}

Counts = dict[str, dict[str, int]]


def measure(run: Path) -> tuple[list[dict[str, Any]], Counts, Counts]:
    """A row for each of RULES: its settings, and per tier what is kept, how much of it is right, and of how much.

    Also what the captions of these pairs say of the objects in their images (`said`), per tier; and per noun the
    objects in the images, and the boxes that STUDENT keeps for it, all and right.
    """
    parts = sorted((run / "labels").glob("part-*.parquet"))
    if not parts:
        raise SystemExit(f"{run}: no labels here; run phrasebox run {CONFIG} --until label first")
    tallies = [{name: Tally() for name in TIERS} for _ in RULES]
    captions = {tier: Counter[str]() for tier in ("common", "rare", "unseen")}
    objects, nouns = Counter[str](), {name: Tally() for name in TIER}
    for labels in parts:
        pairs = PairTable(table_beside(labels, PairTable.dataset))
        rows_of = zip(pairs.key.to_pylist(), pairs.source_id.to_pylist(), strict=True)
        scenes = {key: scene_of(source_id) for key, source_id in rows_of}
        judge_part(labels, scenes, tallies, nouns)
        for scene in scenes.values():
            said(scene, captions)
            objects.update(category for category, _ in scene.objects)
    rows = []
    for rules, own in zip(RULES, tallies, strict=True):
        figures = {name: tally.at(0.0) for name, tally in own.items()}  # all that the filter has kept
        tiers = {name: {k: v for k, v in at.items() if k != "threshold"} for name, at in figures.items()}
        rows.append({"rules": rules, **tiers})
    by_noun = {
        name: {"objects": objects[name], "boxes": len(tally.right), "right": sum(tally.right)}
        for name, tally in nouns.items()
    }
    return rows, {tier: dict(counts) for tier, counts in captions.items()}, by_noun


def said(scene: Scene, captions: dict[str, Counter[str]]) -> None:
    """Adds, per tier: objects in the image, those that the caption mentions, and those of them by their name.

    By their name: the noun of the phrase (`stages.train.wording.noun`) is that of the category.
    """
    for category, _ in scene.objects:
        captions[TIER[category]]["objects"] += 1
    for box in scene.boxes:
        name = noun(box.category, ((0, len(box.category)),))
        by_name = noun(scene.caption, (scene.spans[box.span],)) == name
        captions[TIER[box.category]].update({"mentioned": 1, "by_name": int(by_name)})


def judge_part(
    labels: Path,
    scenes: dict[str, Scene],
    tallies: list[dict[str, Tally]],
    nouns: dict[str, Tally],
) -> None:
    """Adds what each of RULES keeps of one part of labels to its tallies, and what STUDENT keeps to those of nouns."""
    table = LabelTable(pq.read_table(labels))
    captions = PhraseTable(table_beside(labels, PhraseTable.dataset)).aligned(table.key)
    phrases = captions.phrases
    lengths = np.asarray([len(caption) for caption in captions.caption.to_pylist()])
    spans = list(zip(phrases.start.tolist(), phrases.end.tolist(), strict=True))
    for rules, own in zip(RULES, tallies, strict=True):
        kept = filter_labels(table, lengths, FilterConfig(**rules)).boxes
        rows = zip(table.key.to_pylist(), phrases.slices(), kept.slices(), strict=True)
        for key, of_row, found in rows:
            texts = [spans[of_row][phrase] for phrase in kept.phrase[found].tolist()]
            judge_scene(scenes[key], texts, kept.xyxy[found], kept.score[found], TIER, own)
            if rules == STUDENT:
                judge_scene(scenes[key], texts, kept.xyxy[found], kept.score[found], ITSELF, nouns)


def table_beside(labels: Path, dataset: str) -> pa.Table:
    return pq.read_table(labels.parents[1] / dataset / labels.name)


def scene_of(source_id: str) -> Scene:
    _, split, seed, index = source_id.split("/")
    return draw_scene(split, int(seed), int(index))


def labelled(folder: Path, count: int) -> None:
    """Runs the chain up to the labels, in this process' environment."""
    line = [
        sys.executable,
        "-m",
        "pipeline.cli.app",
        "run",
        CONFIG,
        "--run",
        str(folder),
        "--until",
        "label",
        "--inline",
    ]
    subprocess.run([*line, f"--set=ingest.count={count}"], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="scenes")
    parser.add_argument("--run", type=Path, default=None, help="a run with labels of scenes, instead of one made here")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as staged:
        run = options.run or Path(staged)
        if options.run is None:
            labelled(run, options.count)
        rows, captions, nouns = measure(run)
        pairs = sum(pq.read_metadata(part).num_rows for part in (run / "labels").glob("part-*.parquet"))
    result = {
        "what": "what the filter keeps of the labels of scenes, by rule: boxes, and how much of them is right",
        "command": "python -m benchmarks.filter_rules " + (f"--run {run.name}" if options.run else f"--count {pairs}"),
        "teacher": "that of the run" if options.run else "glip-nano, the packaged weights",
        "protocol": " ".join((agreement.__doc__ or "").split()),
        "pairs": pairs,
        "captions": captions,
        "rows": rows,
        "nouns": {name: {"tier": TIER[name], **counts} for name, counts in nouns.items()},
        "processor": processor_name(),
        "versions": {name: version(name) for name in ("torch", "pyarrow", "numpy")},
        "date": datetime.date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
