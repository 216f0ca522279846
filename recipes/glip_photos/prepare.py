"""Files that `phrasebox train` reads for `glip-photos`, from the photos beside the repository.

    python -m recipes.glip_photos.prepare [--shared ../shared] [--out data/photos]

Writes two folders of photos, flickr/ (stretched back to their shape, a long side of 320) and coco/, and three gold
files: entities_train.json (people's phrase boxes), coco_train.json (people's boxes of 80 categories) and
detector_train.json (the detector's, of the same). Nothing of a photo in never_train.txt, of coco-mini, or of the
dev and test splits gets into a gold file; entities_dev.json is written for calibration.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

LONG = 320  # of the annotated photos, pixels
Annotations = dict[str, Any]


def main(command: Sequence[str] | None = None) -> None:
    """Runs a command, that of the process by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("data/photos"))
    options = parser.parse_args(command)
    photos = options.shared / "data" / "photos"
    write_flickr(photos, options.out / "flickr")
    held_out = set((photos / "never_train.txt").read_text().split()) | file_names(
        photos, "entities_dev", "entities_test"
    )
    for name, source in (("entities_train", "entities_train"), ("detector_train", "detector_labels")):
        write_gold(options.out / f"{name}.json", without(read(photos / f"{source}.json"), held_out))
    write_gold(options.out / "entities_dev.json", read(photos / "entities_dev.json"))
    development = {row["file_name"] for row in read(options.shared / "data" / "coco-mini" / "instances.json")["images"]}
    coco = without(read(photos / "coco_instances.json"), development)
    write_coco(options.shared / "data", coco, options.out / "coco")
    write_gold(options.out / "coco_train.json", coco)


def write_flickr(photos: Path, out: Path, wanted: set[str] | None = None) -> None:
    """The photos of flickr8k-wds (of these file names, if given) under their own names, each in the shape it had."""
    names, sizes = read(photos / "names.json"), read(photos / "sizes.json")
    out.mkdir(parents=True, exist_ok=True)
    for shard in sorted((photos.parent / "flickr8k-wds").glob("*.tar")):
        with tarfile.open(shard) as members:
            for member in members:
                key, _, kind = member.name.rpartition(".")
                name = names.get(key)
                if kind != "jpg" or name not in sizes or (wanted is not None and name not in wanted):
                    continue
                if (content := members.extractfile(member)) is not None and not (out / name).exists():
                    stretched(content.read(), *sizes[name]).save(out / name, quality=92)


def stretched(data: bytes, width: int, height: int) -> Image.Image:
    """A squashed photo in the shape that it had, its long side at 320."""
    size = (round(LONG * width / max(width, height)), round(LONG * height / max(width, height)))
    return Image.open(io.BytesIO(data)).convert("RGB").resize(size, Image.Resampling.BICUBIC)


def write_coco(data: Path, coco: Annotations, out: Path) -> None:
    """The photos of an instances file, from the folders that hold some of them each."""
    out.mkdir(parents=True, exist_ok=True)
    folders = [data / "photos" / "coco-more", data / "coco128" / "images"]
    for name in (row["file_name"] for row in coco["images"]):
        source = next(folder / name for folder in folders if (folder / name).is_file())
        (out / name).write_bytes(source.read_bytes())


def without(gold: Annotations, held_out: set[str]) -> Annotations:
    """The annotations of all photos but some."""
    images = [row for row in gold["images"] if row["file_name"] not in held_out]
    kept = {row["id"] for row in images}
    annotations = [row for row in gold["annotations"] if row["image_id"] in kept]
    return {"images": images, "annotations": annotations, "categories": gold["categories"]}


def file_names(photos: Path, *splits: str) -> set[str]:
    return {row["file_name"] for split in splits for row in read(photos / f"{split}.json")["images"]}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def write_gold(path: Path, gold: Annotations) -> None:
    path.write_text(json.dumps(gold) + "\n")
    sys.stdout.write(f"{path}: {len(gold['images'])} photos, {len(gold['annotations'])} boxes\n")


if __name__ == "__main__":
    main()
