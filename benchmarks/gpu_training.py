"""A whole run and a training step on one GPU."""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_scale import Absent, Scale, so_far
from benchmarks.record import ROOT
from benchmarks.teacher_measure import PHOTOS
from stages.train.flops import peak_flops

TABLE = ROOT / "benchmarks" / "results" / "teacher_flops.json"
SIZE = (800, 1333)  # (h, w) of the photos that are trained on; padded, 800 x 1344
TOKENS = "32"  # of their captions, at most: a row of the table
SAMPLES = 48
BATCH = 4


def training(of: Scale) -> dict[str, Any]:
    """Steps of GLIP-T as `phrasebox train` takes them, on photos of 800 x 1344, with and without checkpointing.

    mfu: as the trainer counts it; mfu_of_the_table: by the 550 GFLOP of benchmarks/results/teacher_flops.json, forward,
    times three. memory_gib: the most of the device's.
    """
    rows: list[dict[str, Any]] = []
    for checkpointing in (False, True):
        try:
            rows.append(steps(of, checkpointing))
        except ModuleNotFoundError as error:
            raise Absent(f"training needs {error.name}; python -m benchmarks.gpu_wheels brings it along") from error
        so_far(found := with_best(rows), of)
    return found


def with_best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    done = [row for row in rows if "failed" not in row]
    best = max(done, key=lambda row: row["samples_per_second"], default={})
    return {"training": {**best, "rows": rows}}


def steps(of: Scale, checkpointing: bool) -> dict[str, Any]:
    """Some steps after as many to warm up; a batch that does not fit is halved."""
    from benchmarks.train import train_figures, write_shards
    from pipeline.storage.files import RunFiles
    from pipeline.storage.open import open_storage

    size = 2 if of.small else BATCH
    options = argparse.Namespace(
        **{"variant": "glip-nano" if of.small else "glip-t", "device": of.device, "precision": "bf16"},
        **{"warm_up": of.steps, "steps": of.steps, "loaders": 1 if of.small else 12, "threads": 1},
        **{"checkpointing": checkpointing},
    )
    with tempfile.TemporaryDirectory(prefix="phrasebox-gpu-") as folder:
        write_shards(Path(folder), 4 if of.small else SAMPLES, members if not of.small else None)
        files = RunFiles(open_storage(folder), [0], "bench", lambda *_: None)
        while True:
            row = {"checkpointing": checkpointing, "batch_size": size, "precision": "bf16"}
            try:
                figures = train_figures(files, argparse.Namespace(**vars(options), batch_size=size))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                if size == 1:
                    return {**row, "failed": "out of memory"}
                size //= 2
                continue
            return {**row, **{k: v for k, v in figures.items() if k != "settings"}, **of_the_table(figures, of)}


def of_the_table(figures: dict[str, Any], of: Scale) -> dict[str, float]:
    peak = None if of.small else peak_flops(torch.device(of.device), "bf16")
    if peak is None:
        return {}
    gflop = json.loads(TABLE.read_text(encoding="utf-8"))["folded"]["glip-t"][TOKENS]["total"]
    return {"mfu_of_the_table": round(3e9 * gflop * figures["samples_per_second"] / peak, 4)}


def members(at: int) -> list[tuple[str, bytes]]:
    """A sample of a shard: a photo brought to 800 x 1333 pixels, with its true boxes and the names of what is there."""
    from PIL import Image

    if not PHOTOS.is_dir():
        raise Absent(f"no photos at {PHOTOS}; python -m benchmarks.gpu_wheels brings them along")
    coco = json.loads((PHOTOS / "instances.json").read_text(encoding="utf-8"))
    names = {one["id"]: one["name"] for one in coco["categories"]}
    entry = coco["images"][at % len(coco["images"])]
    own = [one for one in coco["annotations"] if one["image_id"] == entry["id"] and not one["iscrowd"]]
    present = sorted({names[one["category_id"]] for one in own}) or ["photo"]
    caption, spans = ", ".join(present), {}
    for name in present:
        start = sum(len(earlier) + 2 for earlier in spans)
        spans[name] = (start, start + len(name))
    across, down = SIZE[1] / entry["width"], SIZE[0] / entry["height"]
    boxes = [
        {
            "phrase": present.index(names[one["category_id"]]),
            "bbox": [x * across, y * down, (x + w) * across, (y + h) * down],
            "score": 1.0,
        }
        for one in own
        for x, y, w, h in [one["bbox"]]
    ]
    record = {
        **{"key": f"{at:012d}", "caption": caption, "width": SIZE[1], "height": SIZE[0], "boxes": boxes},
        "phrases": [{"start": start, "end": end, "text": caption[start:end]} for start, end in spans.values()],
    }
    data = io.BytesIO()
    Image.open(PHOTOS / "images" / entry["file_name"]).convert("RGB").resize(SIZE[::-1]).save(data, "JPEG", quality=90)
    return [("jpg", data.getvalue()), ("json", json.dumps(record).encode())]


def whole_run(of: Scale) -> dict[str, Any]:
    """`phrasebox run --inline` up to the report, by glip-photos: the demo's photographs, and those of coco-mini."""
    try:
        import pydantic
    except ModuleNotFoundError as error:
        raise Absent("a run needs pydantic; python -m benchmarks.gpu_wheels brings it along") from error
    assert pydantic
    coco = ("--set=ingest.format=coco", f"--set=ingest.images={PHOTOS / 'images'}")
    found = {"photos": of_command(of, "--set=ingest.count=2" if of.small else "--set=ingest.count=null")}
    if not of.small and PHOTOS.is_dir():
        found["coco-mini"] = of_command(of, f"--set=ingest.source={PHOTOS / 'captions.json'}", *coco)
    return {"run": found}


def of_command(of: Scale, *chosen: str) -> dict[str, Any]:
    """Seconds of the whole command and of `label` alone, and what came of it."""
    from benchmarks.teacher_engine import commits, labels, phrasebox

    with tempfile.TemporaryDirectory(prefix="phrasebox-gpu-") as folder:
        made = Path(folder) / "run"
        settings = (f"--set=label.device={of.device}", "--set=label.precision=bf16", *chosen)
        start = time.perf_counter()
        phrasebox("run", "configs/photos.yaml", "--run", str(made), "--inline", "--until", "audit", *settings)
        seconds = time.perf_counter() - start
        phrasebox("verify", str(made))
        rows, records = labels(made), list(commits(made))
    label_seconds = sum(record["seconds"] for record in records)
    return {
        "pairs": len(rows),
        "boxes": sum(len(row["boxes"]) for row in rows),
        "seconds": round(seconds, 1),
        "label_seconds": round(label_seconds, 1),
        "label_pairs_per_second": round(sum(record["counts"]["in"] for record in records) / label_seconds, 2),
        "deform": next((record["notes"]["deform"] for record in records if "deform" in record["notes"]), None),
    }
