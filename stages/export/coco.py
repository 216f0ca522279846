"""COCO instances JSON. A phrase is a category (by its norm), or text on annotations of a single category."""

from __future__ import annotations

from typing import Any

from schemas.rows import Box
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import ArraysFile
from stages.geometry import to_xywh


class CocoExport(Exporter):
    """instances.json: images and annotations numbered from 1, categories in the order of their first box.

    Beside COCO's own fields an image has `key` and `caption`, an annotation `score`, `phrase` and `span` ([start, end)
    in the caption). Boxes are [x, y, width, height].
    """

    def begin(self) -> None:
        self._file = ArraysFile(("images", "annotations", "categories"))
        self._categories: dict[str, int] = {}

    def write(self, image: LabelledImage) -> None:
        image_id = self.done["images"] + 1
        self._file.add("images", image_record(image, image_id) | {"key": image.key, "caption": image.caption})
        for i, box in enumerate(image.boxes):
            self._file.add(
                "annotations",
                annotation_record(box, self.done["boxes"] + 1 + i, image_id, self._category(image, box))
                | {"score": box.score, "phrase": image.text(box), "span": image.span(box)},
            )

    def end(self) -> None:
        info = {"description": f"{self.config.corpus}: phrase boxes labelled by {self.config.label.teacher}"}
        with self.create("instances.json") as file:
            self._file.finish(file, {"info": info, "licenses": []})

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
