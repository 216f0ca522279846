"""MDETR-style grounding JSON (as in final_flickr_separateGT_*.json): COCO's shape, one image row per caption."""

from __future__ import annotations

from stages.export.coco import Licenses, annotation_record, image_record
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import ArraysFile


class MdetrExport(Exporter):
    """mdetr.json. `tokens_positive` are character spans of the caption; the score of each box is kept as `score`,
    the cosines of rescore as `region_score` and, of an image, `image_score`.

    Rows of one image share its file and its `original_img_id`.
    """

    def begin(self) -> None:
        self._file = ArraysFile(("images", "annotations"))
        self._licenses = Licenses()

    def write(self, image: LabelledImage) -> None:
        number = self.pairs + 1
        spans = [[phrase.start, phrase.end] for phrase, _ in image.by_phrase()]
        row = image_record(image, number) | {
            "caption": image.caption,
            "dataset_name": self.config.corpus,
            "tokens_negative": [[0, len(image.caption)]],
            "sentence_id": number,
            "original_img_id": image.number,
            "tokens_positive_eval": [[span] for span in spans],
            "key": image.key,
            "source_id": image.pair.source_id,
            **image.image_score,
        }
        self._file.add("images", row | self._licenses.of(image))
        for i, box in enumerate(image.boxes):
            annotation = annotation_record(box, self.done["boxes"] + 1 + i, number, 1)
            more = {"tokens_positive": [image.span(box)], "score": box.score, **image.region_score(box)}
            self._file.add("annotations", annotation | more)

    def end(self) -> None:
        category = {"supercategory": "object", "id": 1, "name": "object"}
        with self.create("mdetr.json") as file:
            fixed = {"info": {}, "licenses": self._licenses.records(), "categories": [category]}
            self._file.finish(file, fixed)
