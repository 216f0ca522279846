"""GLIGEN's TSV, which InstanceDiffusion's loader decodes as well: an image with boxes, and CLIP's features of each."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.export.exporter import Exporter, LabelledImage
from stages.export.glip_tsv import TsvFile
from stages.export.json_file import encode
from stages.geometry import to_xywh
from stages.images import decode_rgb
from stages.rle import to_json
from stages.stage import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class GligenExport(Exporter):
    """train.tsv, with train.lineidx: KEY and `{"data_id", "image", "file_name", "caption", "annos"}`, `source_id` and
    `license`.

    `annos` have `id`, `data_id`, `bbox` [x, y, width, height] in pixels, `tokens_positive`, `category_name` (the
    phrase) and `score`. With `weights`, a folder with a CLIP, they also have the four embeddings without which
    GLIGEN's loader stops: text and image, before and after the projection. Where the run has masks, they have a `mask`
    each, as COCO's run lengths, which InstanceDiffusion reads (`masks_of`).
    """

    takes = frozenset({"weights"})
    shares_images = False  # a row has an image of its own
    images_inside = True

    def begin(self) -> None:
        self._clip = None
        if self.options.weights is not None:
            from model.hub import HubError
            from model.similarity.towers import Towers

            try:
                self._clip = Towers(self.options.weights)
            except HubError as error:
                raise UserError(f"--weights {error}") from None
        self._rows = TsvFile(self.open("train.tsv"), self.open("train.lineidx"))

    def write(self, image: LabelledImage) -> None:
        annos = [
            {
                "id": self.done["boxes"] + i,
                "data_id": self.pairs,
                "bbox": list(to_xywh(*box.corners)),
                "tokens_positive": [image.span(box)],
                "category_name": image.text(box),
                "score": box.score,
                **mask,
            }
            for i, (box, mask) in enumerate(zip(image.boxes, masks_of(image), strict=True))
        ]
        for anno, embeddings in zip(annos, self._embeddings(image), strict=self._clip is not None):
            anno.update(embeddings)
        row = {
            "data_id": self.pairs,
            "image": base64.b64encode(image.data).decode(),
            "file_name": image.file_name.removeprefix("images/"),
            "caption": image.caption,
            "annos": annos,
            "source_id": image.pair.source_id,
            "license": image.pair.license,
        }
        self._rows.add(image.key, encode(row))

    def _embeddings(self, image: LabelledImage) -> list[dict[str, Any]]:
        """Of each box, where there is a CLIP."""
        if self._clip is None:
            return []
        texts = self._clip.of_texts([image.text(box) for box in image.boxes])
        pixels = decode_rgb(image.data, image.width * image.height)
        crops = self._clip.of_crops(pixels, [box.corners for box in image.boxes])
        return [
            {
                "text_embedding_before": encoded(texts.before[i]),
                "text_embedding_after": encoded(texts.after[i]),
                "image_embedding_before": encoded(crops.before[i]),
                "image_embedding_after": encoded(crops.after[i]),
            }
            for i in range(len(image.boxes))
        ]


def masks_of(image: LabelledImage) -> list[dict[str, Any]]:
    """{"mask": COCO's run lengths} of each box, or nothing for any.

    InstanceDiffusion's loader counts through the masks of an item as if each box had one, and fails where there is but
    one in all.
    """
    masks = [image.masks.get(box) for box in image.boxes]
    whole = len(masks) > 1 and all(masks)
    return [{"mask": to_json(mask.counts, mask.height, mask.width)} if whole and mask else {} for mask in masks]


def encoded(vector: NDArray[np.float32]) -> str:
    """base64 of little-endian float32, as numpy.frombuffer reads it."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
