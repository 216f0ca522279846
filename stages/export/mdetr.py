"""MDETR-style grounding JSON (as in final_flickr_separateGT_*.json): COCO's shape, one image row per caption."""

from __future__ import annotations

from stages.export.coco import annotation_record, image_record
from stages.export.json_file import ArraysFile
from stages.export.samples import Exporter, Sample


class MdetrExport(Exporter):
    """mdetr.json. `tokens_positive` are character spans of the caption; the score of each box is kept as `score`."""

    def begin(self) -> None:
        self._file = ArraysFile(("images", "annotations"))

    def write(self, sample: Sample) -> None:
        number = self.done["images"] + 1
        spans = [[phrase["start"], phrase["end"]] for phrase, _ in sample.by_phrase()]
        image = image_record(sample, number) | {
            "caption": sample.caption,
            "dataset_name": self.config.corpus,
            "tokens_negative": [[0, len(sample.caption)]],
            "sentence_id": number,
            "original_img_id": number,
            "tokens_positive_eval": [[span] for span in spans],
            "key": sample.key,
        }
        self._file.add("images", image)
        for i, box in enumerate(sample.boxes):
            annotation = annotation_record(box, self.done["boxes"] + 1 + i, number, 1)
            more = {"tokens_positive": [sample.span(box)], "score": box["score"]}
            self._file.add("annotations", annotation | more)

    def end(self) -> None:
        category = {"supercategory": "object", "id": 1, "name": "object"}
        with self.create("mdetr.json") as file:
            self._file.finish(file, {"info": {}, "licenses": [], "categories": [category]})
