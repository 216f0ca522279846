"""COCO instances JSON. A phrase is a category (by its norm), or text on annotations of a single category.

An image with several captions is one image: `captions` has them as COCO's own caption files do.
"""

from __future__ import annotations

from typing import Any

from schemas.rows import Box
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import ArraysFile
from stages.geometry import to_xywh
from stages.rle import area as mask_area
from stages.rle import checked_runs


class CocoExport(Exporter):
    """instances.json: images, captions and annotations numbered from 1, categories in the order of their first box.

    Beside COCO's own fields an image has `key`, `source_id` and `caption` (of its first pair), a caption `key` and
    `source_id`, an annotation `score`, `phrase`, `caption_id` and `span` ([start, end) in that caption). Boxes are
    [x, y, width, height]. Where the run has masks, `segmentation` is one as COCO's run lengths, and `area` its pixels.
    Where it has scores, annotations have `region_score`, captions and images (of the first one) `image_score`.
    """

    def begin(self) -> None:
        self._file = ArraysFile(("images", "captions", "annotations", "categories"))
        self._categories: dict[str, int] = {}
        self._licenses = Licenses()

    def write(self, image: LabelledImage) -> None:
        image_id, caption_id = image.number, self.pairs + 1
        of_pair = {"key": image.key, "source_id": image.pair.source_id, "caption": image.caption, **image.image_score}
        if image.first:
            self._file.add("images", image_record(image, image_id) | self._licenses.of(image) | of_pair)
        self._file.add("captions", {"id": caption_id, "image_id": image_id} | of_pair)
        for i, box in enumerate(image.boxes):
            self._file.add(
                "annotations",
                annotation_record(box, self.done["boxes"] + 1 + i, image_id, self._category(image, box))
                | mask_record(image, box)
                | {"score": box.score, "phrase": image.text(box), "caption_id": caption_id, "span": image.span(box)}
                | image.region_score(box),
            )

    def end(self) -> None:
        info = {"description": f"{self.config.corpus}: phrase boxes labelled by {self.config.label.teacher}"}
        with self.create("instances.json") as file:
            self._file.finish(file, {"info": info, "licenses": self._licenses.records()})

    def _category(self, image: LabelledImage, box: Box) -> int:
        return self._category_id(image.phrases[box.phrase].norm)

    def _category_id(self, name: str) -> int:
        if name not in self._categories:
            self._categories[name] = len(self._categories) + 1
            record = {"id": self._categories[name], "name": name, "supercategory": "phrase"}
            self._file.add("categories", record)
        return self._categories[name]


class CocoTextExport(CocoExport):
    """As above with the one category "object", for readers that take the text from each annotation's `phrase`."""

    def _category(self, image: LabelledImage, box: Box) -> int:
        return self._category_id("object")


class Licenses:
    """COCO's list of licences: one for each text that the source gives, numbered from 1."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, image: LabelledImage) -> dict[str, int]:
        """For the image's record; without an entry where the source gives none."""
        text = image.pair.license
        return {"license": self._numbers.setdefault(text, len(self._numbers) + 1)} if text else {}

    def records(self) -> list[dict[str, Any]]:
        return [
            {"id": number, "name": text, "url": text if text.startswith(("http://", "https://")) else ""}
            for text, number in self._numbers.items()
        ]


def image_record(image: LabelledImage, image_id: int) -> dict[str, Any]:
    return {"id": image_id, "file_name": image.file_name, "width": image.width, "height": image.height}


def annotation_record(box: Box, number: int, image_id: int, category: int) -> dict[str, Any]:
    x, y, width, height = to_xywh(*box.corners)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "bbox": [x, y, width, height],
        "area": width * height,
        "iscrowd": 0,
    }


def mask_record(image: LabelledImage, box: Box) -> dict[str, Any]:
    """What a mask adds to its box's annotation; nothing where there is none."""
    mask = image.masks.get(box)
    area = {} if mask is None else {"area": mask_area(checked_runs(mask.counts, mask.height, mask.width))}
    return area | image.segmentation(box)
