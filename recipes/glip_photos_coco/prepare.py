"""Files that `phrasebox train` reads for `glip-photos-coco`: no photo, box or caption of Flickr8k or Flickr30k.

    python -m recipes.glip_photos_coco.prepare [--shared ../shared] [--out data/photos_coco]
        [--photos configs/photos] [--commercial]

Writes the photos (coco/: those of COCO that are not in coco-mini, and openly licensed ones from the folders of
--photos) and three gold files: coco_train.json (people's boxes of 80 categories), detector_train.json (the detector's
boxes, made anew on all of these photos), and captions_train.json (captions that are written from these boxes;
captions.py). With --commercial, COCO's photos are those under licences that permit commercial use and changes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from recipes.glip_photos.nanodet import Detector
from recipes.glip_photos.prepare import Annotations, read, without, write_coco, write_gold
from recipes.glip_photos_coco.captions import written
from stages.images import decode_rgb

COMMERCIAL = {4, 5, 7, 8}  # in COCO's list: BY, BY-SA, no known restrictions, work of the United States' government
SURE = 0.45  # score from which the detector's boxes are taken, as on Flickr's photos
SUFFIXES = {".jpg", ".jpeg", ".png"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("data/photos_coco"))
    parser.add_argument("--photos", type=Path, nargs="*", default=[Path("configs/photos")], help="openly licensed ones")
    parser.add_argument("--commercial", action="store_true")
    parser.add_argument("--seed", type=int, default=0, help="of the captions' wording")
    options = parser.parse_args()
    data, images = options.shared / "data", options.out / "coco"
    coco = allowed(read(data / "photos" / "coco_instances.json"), data, options.commercial)
    write_coco(data, coco, images)
    opened = copied(options.photos, images, first_id=1 + max(row["id"] for row in coco["images"]))
    detector = Detector(data / "photos" / "detector", [row["name"] for row in coco["categories"]])
    seen = detected(detector, [*coco["images"], *opened], images, coco["categories"])
    known = {row["id"] for row in coco["images"]}
    of_opened = [row for row in seen["annotations"] if row["image_id"] not in known]
    boxes = {**coco, "images": seen["images"], "annotations": coco["annotations"] + of_opened}
    write_gold(options.out / "coco_train.json", coco)
    write_gold(options.out / "detector_train.json", seen)
    write_gold(options.out / "captions_train.json", written(boxes, options.seed))


def allowed(coco: Annotations, data: Path, commercial: bool) -> Annotations:
    """COCO's photos that may be trained on: none of coco-mini; categories by id, as the detector has them."""
    held_out = {row["file_name"] for row in read(data / "coco-mini" / "instances.json")["images"]}
    if commercial:
        held_out |= {row["file_name"] for row in coco["images"] if row.get("license") not in COMMERCIAL}
    return without({**coco, "categories": sorted(coco["categories"], key=lambda row: row["id"])}, held_out)


def copied(folders: list[Path], out: Path, first_id: int) -> list[dict[str, Any]]:
    """The photos of these folders, in `out`, as rows of an annotation file. Raises FileExistsError for a name twice."""
    rows = []
    for path in sorted(path for folder in folders for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        name = f"open-{path.name}"
        with Image.open(path) as image:
            width, height = image.size
        if any(row["file_name"] == name for row in rows):
            raise FileExistsError(f"{path}: another folder has a photo of this name, too")
        shutil.copyfile(path, out / name)
        rows.append({"id": first_id + len(rows), "file_name": name, "width": width, "height": height})
    return rows


def detected(detector: Detector, rows: list[Any], images: Path, categories: list[dict[str, Any]]) -> Annotations:
    """The detector's boxes above SURE, in COCO's form."""
    annotations: list[dict[str, Any]] = []
    for row in rows:
        found = detector.detect(decode_rgb((images / row["file_name"]).read_bytes(), 10_000_000))
        sure = found.scores > SURE
        for box, category in zip(found.boxes[sure].tolist(), found.phrase[sure].tolist(), strict=True):
            corner, size = box[:2], [box[2] - box[0], box[3] - box[1]]
            annotations.append(
                {
                    **{"id": len(annotations) + 1, "image_id": row["id"], "category_id": categories[category]["id"]},
                    **{"bbox": [round(x, 2) for x in corner + size], "area": round(size[0] * size[1], 2), "iscrowd": 0},
                }
            )
    return {"images": rows, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    main()
