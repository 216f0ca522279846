"""COCO box AP of a model from category prompts (GLIP section 4.2: zero-shot transfer), with pycocotools.

Every image is asked for every category: the names by rising id, in as few prompts as they fit (COCO's 80 fit in one);
the 100 best boxes of an image with a score of at least 0.05 are kept. The annotation file is taken as it is: images
without boxes count, and boxes on crowds (`iscrowd`) are neither right nor wrong. AP is the mean over IoU 0.50:0.95,
over the categories that have a box in the images. Where the section `mask` names a model, it cuts out each box, and AP
of the masks, with the scores of their boxes, stands beside that of the boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.annotations import Id, box_of, category_of, declared_size, id_of, read_json, reading, rising
from stages.evaluate.coco_ap import precision_at_recalls
from stages.evaluate.gold_masks import coded
from stages.evaluate.inputs import DATA, check_boxes, check_matched, data_name, in_chunks, read_image
from stages.geometry import to_xywh
from stages.rle import encode, to_json

if TYPE_CHECKING:
    from model.outputs import Grounding
    from model.scheduler import Scheduler
    from model.segmenter import Segmenter
    from stages.stage import Files

CHUNK = 16  # images in memory
FLOOR = 0.05
LIMIT = 100  # boxes of an image


def evaluate_coco(
    model: Scheduler,
    files: Files,
    annotations: str,
    images: str,
    count: int,
    progress: Callable[[int], None],
    segmenter: Segmenter | None = None,
) -> dict[str, Any]:
    """APs in percent over the first `count` images of the file; `progress` gets the number of images done."""
    dataset = read_coco(files, annotations, count, masks=segmenter is not None)
    categories = dataset["categories"]
    names = [category["name"] for category in categories]
    results: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []
    failed, done = Counter[str](), 0
    for rows in in_chunks(dataset["images"], CHUNK):
        decoded = [read_image(files, images, [row["file_name"]], row["size"]) for row in rows]
        found = model.detect(decoded, names, score_floor=FLOOR)
        for row, pixels, result in zip(rows, decoded, found, strict=True):
            own = results_of(row["id"], result, [category["id"] for category in categories])
            results += own
            if segmenter is not None:
                masks += masks_of(segmenter, pixels, result, own)
            if result.failed:
                failed[result.failed] += 1
        done += len(rows)
        progress(done)
    precision = precision_at_recalls(dataset, results)  # (10, 101, K)
    gold = Counter(annotation["category_id"] for annotation in dataset["annotations"] if not annotation["iscrowd"])
    return {
        "AP": percent(precision),
        "AP50": percent(precision[0]),
        "AP75": percent(precision[5]),
        **({} if segmenter is None else {"masks": mask_figures(dataset, masks)}),
        "by_category": {
            name: {"AP": percent(own), "AP50": percent(own[0]), "gold": gold[category["id"]]}
            for name, category, own in zip(names, categories, np.moveaxis(precision, 2, 0), strict=True)
            if gold[category["id"]]
        },
        "pictures": done,
        "boxes": len(results),
        "failed": dict(failed),
        "not_asked": dict(Counter(reason for _, reason in model.teacher.category_work(names).dropped)),
        "data": data_name(annotations, images),
        "protocol": " ".join((__doc__ or "").split()),
    }


def read_coco(files: Files, uri: str, count: int | None = None, masks: bool = False, key: str = DATA) -> dict[str, Any]:
    """The part of an instances JSON that the first `count` images need, categories by rising id. Raises UserError.

    Images and categories are numbered from 0: ids may be of any kind, and pycocotools sorts them. `masks`: annotations
    have theirs as run lengths. `key`: the place in the config that names the file.
    """
    data = read_json(files, uri, key, segmentation=masks)
    with reading(uri, "COCO instances file", key) as entries:
        names = {id_of(row): str(row["name"]) for row in entries.of(data, "categories")}
        number_of = {id: number for number, id in enumerate(sorted(names, key=rising))}
        images: dict[Id, int] = {}
        rows = []
        for number, row in enumerate(entries.of(data, "images", count)):
            images[id_of(row)] = number
            name, size = str(row["file_name"]), declared_size(row)
            rows.append({"id": number, "source_id": id_of(row), "file_name": name, "size": size})
        boxes: list[dict[str, Any]] = []
        for annotation in entries.of(data, "annotations"):
            image = images.get(id_of(annotation, "image_id"))
            if image is not None:
                box = {"id": len(boxes) + 1, "image_id": image}  # pycocotools takes 0 for "no match"
                boxes.append(box | box_entry(annotation, category_of(annotation, number_of)))
                if masks:
                    boxes[-1]["segmentation"] = coded(annotation, size_of(rows[image]))
        check_matched(entries, data, uri, key)
    check_boxes(sum(not box["iscrowd"] for box in boxes), uri, len(rows), key)
    return {
        "info": {},
        "images": rows,
        "annotations": boxes,
        "categories": [{"id": number, "name": names[id]} for id, number in number_of.items()],
    }


def box_entry(annotation: dict[str, Any], category: int) -> dict[str, Any]:
    box = box_of(annotation)
    return {
        "category_id": category,
        "bbox": list(box),
        "area": float(annotation.get("area", box[2] * box[3])),
        "iscrowd": int(annotation.get("iscrowd", 0)),
    }


def size_of(row: dict[str, Any]) -> tuple[int, int]:
    """(width, height) of an image that masks are placed in."""
    if row["size"] is None:
        raise ValueError(f"{row['file_name']} has no width and height, so that its masks cannot be placed")
    size: tuple[int, int] = row["size"]
    return size


def masks_of(
    segmenter: Segmenter, pixels: Any, result: Grounding, boxes: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """COCO's results of one image for masks: those of its boxes, with a mask in the place of the box."""
    segments = segmenter.segment(pixels, result.boxes[:LIMIT].numpy())
    return [
        {name: box[name] for name in ("image_id", "category_id", "score")}
        | {"segmentation": to_json(encode(segment.mask), *segment.mask.shape)}
        for box, segment in zip(boxes, segments, strict=True)
    ]


def mask_figures(dataset: dict[str, Any], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """APs of masks, in percent."""
    sized = [row | dict(zip(("width", "height"), row["size"] or (0, 0), strict=True)) for row in dataset["images"]]
    precision = precision_at_recalls(dataset | {"images": sized}, results, "segm")
    return {"AP": percent(precision), "AP50": percent(precision[0]), "AP75": percent(precision[5])}


def results_of(image_id: int, result: Grounding, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """An image's best boxes as COCO's results."""
    best = (x[:LIMIT].tolist() for x in (result.boxes, result.scores, result.phrase))
    return [
        {"image_id": image_id, "category_id": category_ids[category], "bbox": list(to_xywh(*box)), "score": score}
        for box, score, category in zip(*best, strict=True)
    ]


def percent(precision: NDArray[np.float64]) -> float | None:
    """The mean over the categories that have boxes; None where none has."""
    known = precision[precision > -1]
    return 100 * float(known.mean()) if known.size else None
