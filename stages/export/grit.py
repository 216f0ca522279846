"""GRIT Parquet: one row per image, one [start, end, x1, y1, x2, y2, score] per box, all doubles, sides 0 to 1."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from schemas.rows import Box
from stages.export.exporter import Exporter, LabelledImage
from stages.phrases.expressions import outermost

ROWS = 50_000  # of one file
SIMILARITIES = {  # of image and caption, by the model that says it
    "openai/clip-vit-base-patch32": "clip_similarity_vitb32",
    "openai/clip-vit-large-patch14": "clip_similarity_vitl14",
}


class GritExport(Exporter):
    """grit-00000.parquet ... `ref_exps` are those of phrases with boxes that lie in no other one, with the boxes of
    their phrase; where the run has no expressions, they repeat the noun chunks.

    Each pair has an image file of its own: the rows name none, and are matched by key. The CLIP similarities are null
    but for that of the model with which the run was rescored, where it is one of the two. `id` counts from 0.
    """

    shares_images = False

    def begin(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._files = 0
        self._similarity = SIMILARITIES.get(self.config.rescore.model or "")

    def write(self, image: LabelledImage) -> None:
        w, h = image.width, image.height
        chunks = [row(image.span(box), box, image) for box in image.boxes]
        self._rows.append(
            {
                "key": image.key,
                "id": self.pairs,
                "url": image.pair.url,
                "caption": image.caption,
                "width": w,
                "height": h,
                "noun_chunks": chunks,
                "ref_exps": referring(image) if image.expressions else chunks,
                **({self._similarity: image.fit} if self._similarity and image.image_score else {}),
            }
        )
        if len(self._rows) == ROWS:
            self._write_file()

    def end(self) -> None:
        if self._rows or not self._files:
            self._write_file()

    def _write_file(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        boxes = pa.list_(pa.list_(pa.float64()))
        schema = pa.schema(
            [
                ("key", pa.string()),
                *((column, pa.float64()) for column in SIMILARITIES.values()),
                ("id", pa.int64()),
                ("url", pa.string()),
                ("caption", pa.string()),
                ("width", pa.int64()),
                ("height", pa.int64()),
                ("noun_chunks", boxes),
                ("ref_exps", boxes),
            ]
        )
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(self._rows, schema=schema), buffer, compression="snappy")
        with self.create(f"grit-{self._files:05d}.parquet") as file:
            file.write(buffer.getvalue())
        self._rows, self._files = [], self._files + 1


def row(span: Sequence[int], box: Box, image: LabelledImage) -> list[float]:
    w, h = image.width, image.height
    return [*map(float, span), box.x1 / w, box.y1 / h, box.x2 / w, box.y2 / h, box.score]


def referring(image: LabelledImage) -> list[list[float]]:
    """The rows of the expressions that GRIT keeps: those that no other expression with boxes contains."""
    spans = [(span.start, span.end) for span in image.expressions]
    kept = set(outermost([spans[box.phrase] for box in image.boxes]))
    return [row(spans[box.phrase], box, image) for box in image.boxes if spans[box.phrase] in kept]
