"""LVIS: fixed AP over 1,203 categories, and over the rare, common and frequent ones (GLIP section 4.2).

Every image is asked for every category: the names as the annotation file has them (by id; remarks in brackets left
out), 40 in a prompt, as in GLIP's own evaluation; of each prompt the 300 best boxes of an image are kept. From all
images each category keeps its 10,000 best boxes, and no limit is set across categories or images: this is "fixed
AP" (Dave et al. 2021). AP is the mean over IoU 0.50:0.95, over the categories that have a box in the images; APr, APc
and APf over those of each `frequency` in the annotation file (training images: 1-10, 11-100, more). A category is
judged only in images where it has boxes or is in `neg_category_ids`; in those that list it in
`not_exhaustive_category_ids`, a box that matches nothing is no mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.annotations import Id, box_of, category_of, declared_size, id_of, read_json, reading, rising, same_id
from stages.evaluate.detections import Detections
from stages.evaluate.inputs import DATA, check_boxes, check_matched, data_name, in_chunks, read_image
from stages.evaluate.lvis_ap import Pool, Truth, precision_at_recalls
from stages.geometry import from_xywh

if TYPE_CHECKING:
    from model.outputs import Grounding
    from model.scheduler import Scheduler
    from model.teacher import Work
    from stages.stage import Files

CHUNK = 16  # images in memory
FLOOR = 0.05
PER_PROMPT = 40  # category names
LIMIT = 300  # boxes of an image from one prompt
LISTS = ("neg_category_ids", "not_exhaustive_category_ids")  # of an image
FREQUENCIES = {"APr": "r", "APc": "c", "APf": "f"}


@dataclass(frozen=True)
class GoldImage:
    names: tuple[str, ...]  # where it may lie in the folder of images
    size: tuple[int, int] | None  # width, height


@dataclass(frozen=True)
class Lvis:
    """An annotation file, as far as its first images go. Categories by rising id, images in the file's order."""

    names: list[str]
    frequency: list[str]
    images: list[GoldImage]
    truths: list[Truth]  # of each category
    dropped: int  # entries of LISTS that name a category that the file does not have


def evaluate_lvis(
    model: Scheduler,
    files: Files,
    annotations: str,
    images: str,
    count: int,
    progress: Callable[[int], None],
    per_prompt: int = PER_PROMPT,
) -> dict[str, Any]:
    """APs in percent over the first `count` images of the file; `progress` gets the number of images done."""
    lvis = read_lvis(files, annotations, count)
    work = model.teacher.category_work(lvis.names, per_prompt)
    prompt = prompt_of_each(work, len(lvis.names))
    pool, failed, boxes, done = Pool(), Counter[str](), 0, 0
    for chunk in in_chunks(lvis.images, CHUNK):
        decoded = [read_image(files, images, image.names, image.size) for image in chunk]
        for result in model.detect(decoded, lvis.names, score_floor=FLOOR, per_prompt=per_prompt):
            best = best_of_prompts(result, prompt)
            pool.add(done, best)
            boxes += len(best.scores)
            if result.failed:
                failed[result.failed] += 1
            done += 1
        progress(done)
    curves = [precision_at_recalls(pool.best(category), truth) for category, truth in enumerate(lvis.truths)]
    return {
        **means(curves, lvis.frequency),
        "by_category": by_category(curves, lvis),
        "pictures": done,
        "boxes": boxes,
        "failed": dict(failed),
        "not_asked": dict(Counter(reason for _, reason in work.dropped)),
        "per_prompt": per_prompt,
        "unknown_categories": lvis.dropped,
        "data": data_name(annotations, images),
        "protocol": " ".join((__doc__ or "").split()),
    }


def read_lvis(files: Files, uri: str, count: int) -> Lvis:
    """Raises UserError for a file that is not LVIS's."""
    data = read_json(files, uri, DATA)
    with reading(uri, "LVIS annotation file", DATA) as entries:
        categories = {id_of(row): (str(row["name"]), str(row["frequency"])) for row in entries.of(data, "categories")}
        categories = {id: categories[id] for id in sorted(categories, key=rising)}
        truth_of = {id: Truth() for id in categories}
        images: list[GoldImage] = []
        number_of: dict[Id, int] = {}
        dropped = 0
        for number, row in enumerate(entries.of(data, "images", count)):
            images.append(GoldImage(file_names(row), declared_size(row)))
            number_of[id_of(row)] = number
            absent, partial = ([same_id(id) for id in row[name]] for name in LISTS)
            for truth in (truth_of[id] for id in absent if id in truth_of):
                truth.absent.add(number)
            for truth in (truth_of[id] for id in partial if id in truth_of):
                truth.partial.add(number)
            dropped += sum(id not in truth_of for id in (*absent, *partial))
        for annotation in entries.of(data, "annotations"):
            image = number_of.get(id_of(annotation, "image_id"))
            if image is not None:
                boxes = category_of(annotation, truth_of).boxes
                boxes.setdefault(image, []).append(from_xywh(*box_of(annotation)))
        check_matched(entries, data, uri)
    check_boxes(sum(len(truth.boxes) for truth in truth_of.values()), uri, len(images))
    return Lvis(
        names=[name for name, _ in categories.values()],
        frequency=[frequency for _, frequency in categories.values()],
        images=images,
        truths=list(truth_of.values()),
        dropped=dropped,
    )


def file_names(row: dict[str, Any]) -> tuple[str, ...]:
    """LVIS v1 names an image by its URL in COCO, of either split: below its split's folder, or in one flat folder."""
    name = row["file_name"] if "file_name" in row else "/".join(row["coco_url"].split("/")[-2:])
    return tuple(dict.fromkeys((name, name.split("/")[-1])))


def prompt_of_each(work: Work[Any], categories: int) -> NDArray[np.int64]:
    """(K,): the number of the prompt that asks for each category."""
    numbers = np.zeros(categories, dtype=np.int64)
    for number, prompt in enumerate(work.prompts):
        numbers[list(prompt.phrases)] = number
    return numbers


def best_of_prompts(result: Grounding, prompt: NDArray[np.int64]) -> Detections:
    """An image's boxes, best first, without those beyond the LIMIT best of their prompt."""
    category = result.phrase.numpy()
    own = prompt[category]  # (N,)
    keep = np.zeros(len(own), dtype=bool)
    for number in np.unique(own):
        keep[np.flatnonzero(own == number)[:LIMIT]] = True
    return Detections(result.boxes.numpy()[keep], result.scores.numpy()[keep], category[keep])


def means(curves: Sequence[NDArray[np.float64] | None], frequency: Sequence[str]) -> dict[str, Any]:
    """In percent; None where no category has a box."""
    judged = [(curve, own) for curve, own in zip(curves, frequency, strict=True) if curve is not None]
    groups = {name: [curve for curve, own in judged if own == letter] for name, letter in FREQUENCIES.items()}
    everything = [curve for curve, _ in judged]
    return {
        "AP": percent(everything),
        "AP50": percent([curve[0] for curve in everything]),
        "AP75": percent([curve[5] for curve in everything]),
        **{name: percent(group) for name, group in groups.items()},
        "categories": {"AP": len(everything), **{name: len(group) for name, group in groups.items()}},
    }


def percent(curves: Sequence[NDArray[np.float64]]) -> float | None:
    return 100 * float(np.mean(curves)) if len(curves) else None


def by_category(curves: Sequence[NDArray[np.float64] | None], lvis: Lvis) -> dict[str, dict[str, Any]]:
    """Those that have a box, by the name in the file."""
    return {
        name: {
            "AP": percent([curve]),
            "AP50": percent([curve[0]]),
            "gold": sum(len(boxes) for boxes in truth.boxes.values()),
            "frequency": frequency,
        }
        for name, frequency, truth, curve in zip(lvis.names, lvis.frequency, lvis.truths, curves, strict=True)
        if curve is not None
    }
