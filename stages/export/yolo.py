"""YOLO: detection labels as ultralytics reads them, for closed detectors; the head of a phrase is the category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np

from schemas.rows import Box, Corners, Phrase
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode
from stages.export.quantise import scaled
from stages.geometry import box_array, suppressed

VALIDATION = 10  # the first image of every so many


@dataclass(frozen=True)
class Target:
    """A box with its category, and the score and caption by which it is compared with those of other captions."""

    category: int
    corners: Corners  # shares of the image's sides
    score: float
    caption: int


class YoloExport(Exporter):
    """data.yaml, images/train/KEY.jpg, labels/train/KEY.txt, and the same for val: every tenth image.

    A line of labels is the category's number, the box's centre, its width and height, as shares of the image's sides.
    `categories` fixes the list (`Listed`); without it, a head becomes a category with its first box. sources.jsonl has
    caption, source_id and license of each pair.
    """

    takes = frozenset({"categories"})
    unreadable = "of other categories"

    def begin(self) -> None:
        self._listed = Listed(self.options.categories) if self.options.categories else None
        self._names: dict[str, int] = {name: number for number, name in enumerate(self.options.categories)}
        self._sources = self.open("sources.jsonl")
        self._waiting: dict[str, list[Target]] = {}  # labels of images with several captions, by the file's name

    def can_be_read(self, box: Box, image: LabelledImage) -> bool:
        return self._listed is None or self._listed.category(image.phrases[box.phrase]) is not None

    def write(self, image: LabelledImage) -> None:
        name = f"{split(image)}/{PurePath(image.file_name).stem}"
        size = image.width, image.height
        targets = [
            Target(self._category(image, box), scaled(box.corners, size, (1, 1)), box.score, self.pairs)
            for box in image.boxes
        ]
        if image.shared:
            self._waiting.setdefault(name, []).extend(targets)
        else:
            self._write_labels(name, targets)
        pair = image.pair
        about = {"file_name": placed(image), "key": pair.key, "source_id": pair.source_id, "license": pair.license}
        self._sources.write(encode(about | {"caption": pair.caption}) + b"\n")

    def end(self) -> None:
        import yaml

        for name, targets in self._waiting.items():
            kept = best_of_captions(targets, self.config.filter.nms_iou)
            self._write_labels(name, kept)
            self._leave_out(len(targets) - len(kept), "another caption has a better one")
            self.done["boxes"] -= len(targets) - len(kept)
        names = {number: name for name, number in self._names.items()}
        data = {"train": "images/train", "val": "images/val", "names": names}
        with self.create("data.yaml") as file:
            file.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode())

    def _category(self, image: LabelledImage, box: Box) -> int:
        phrase = image.phrases[box.phrase]
        name = phrase.head if self._listed is None else self._listed.category(phrase)
        return self._names.setdefault(name or "", len(self._names))

    def _write_labels(self, name: str, targets: Sequence[Target]) -> None:
        with self.create(f"labels/{name}.txt") as file:
            file.write("".join(map(line, targets)).encode())

    def _copy_image(self, image: LabelledImage) -> None:
        super()._copy_image(replace(image, file_name=placed(image)))


class Listed:
    """A fixed list of categories: a phrase is of the longest name that its norm ends with ("fire hydrant" goes before
    "hydrant"), or of its head's; the last word counts in the singular, too ("cats" are of "cat")."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def category(self, phrase: Phrase) -> str | None:
        from stages.train.wording import singular

        words = phrase.norm.split()
        endings = [words[start:] for start in range(len(words))] + [[phrase.head]]
        for *before, last in endings:
            for name in (" ".join([*before, last]), " ".join([*before, singular(last)])):
                if name in self._names:
                    return name
        return None


def split(image: LabelledImage) -> str:
    return "val" if image.number % VALIDATION == 1 else "train"


def placed(image: LabelledImage) -> str:
    """Where the image's file lies."""
    return f"images/{split(image)}/{PurePath(image.file_name).name}"


def line(target: Target) -> str:
    x1, y1, x2, y2 = target.corners
    return f"{target.category} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}\n"


def best_of_captions(targets: Sequence[Target], limit: float) -> list[Target]:
    """Captions of one image name the same things: of two boxes of one category and different captions that overlap by
    more than `limit` (IoU), the better one."""
    boxes = box_array([target.corners for target in targets]).astype(np.float64)
    score = np.array([target.score for target in targets])
    category, caption = (np.array([getattr(target, name) for target in targets]) for name in ("category", "caption"))
    gone = suppressed(boxes, score, [category], limit, rivals=caption)
    return [target for target, other_is_better in zip(targets, gone, strict=True) if not other_is_better]
