"""Hugging Face `datasets`: Parquet files with the images inside, and a README that is the dataset's card."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from schemas.tables import ScoreTable
from stages.export.card import front_matter, how_it_was_made, licence_table, title
from stages.export.exporter import Exporter, LabelledImage

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FILE_BYTES = 400 << 20  # of images; what a file holds beyond is little
GROUP_BYTES = 32 << 20  # of images in memory before they are written


class HuggingFaceExport(Exporter):
    """data/train-00000.parquet ... and README.md: `load_dataset(FOLDER)` gives one row a pair, with a decoded `image`.

    The columns are image, key, caption, width, height, phrases (start, end, text, head, norm), boxes (phrase, an index
    into phrases; bbox, [x1, y1, x2, y2] in pixels of the upright image; score), teacher, source_id and license. Where
    the run has scores, a box has its region_score and a row its image_score, null where rescore was not asked.
    """

    shares_images = False
    images_inside = True

    def begin(self) -> None:
        self._licenses: Counter[str] = Counter()
        self._rows: list[dict[str, Any]] = []
        self._waiting = self._written = self._files = 0  # bytes of images: of the rows, and of the file
        self._file = self._open.enter_context(ExitStack())
        self._writer: pq.ParquetWriter | None = None
        parts = self.io.parts()
        self._schema = schema(any(self.io.has_part(ScoreTable.dataset, part) for part in parts))

    def write(self, image: LabelledImage) -> None:
        pair = image.pair
        self._rows.append(
            {
                "image": {"bytes": image.data, "path": image.file_name.removeprefix("images/")},
                "key": image.key,
                "caption": image.caption,
                "width": image.width,
                "height": image.height,
                "phrases": [
                    {name: getattr(phrase, name) for name in ("start", "end", "text", "head", "norm")}
                    for phrase in image.phrases
                ],
                "boxes": [
                    {"phrase": box.phrase, "bbox": list(box.corners), "score": box.score, **image.region_score(box)}
                    for box in image.boxes
                ],
                **image.image_score,
                "teacher": self.config.label.teacher,
                "source_id": pair.source_id,
                "license": pair.license,
            }
        )
        self._licenses[pair.license or ""] += 1
        self._waiting += len(image.data)
        if self._waiting >= GROUP_BYTES:
            self._write_rows()

    def end(self) -> None:
        if self._rows or not self._files:
            self._write_rows()
        self._close()
        with self.create("README.md") as file:
            file.write(self._card().encode())

    def _write_rows(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            file = self._file.enter_context(self.create(f"data/train-{self._files:05d}.parquet"))
            self._writer = self._file.enter_context(pq.ParquetWriter(file, self._schema, compression="snappy"))
            self._files += 1
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._written += self._waiting
        self._rows, self._waiting = [], 0
        if self._written >= FILE_BYTES:
            self._close()

    def _close(self) -> None:
        self._file.close()
        self._writer, self._written = None, 0

    def _card(self) -> str:
        files = {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
        front = front_matter(self.config, self.pairs, self._licenses, "parquet", configs=json.dumps([files]))
        cosines = "in `boxes`, `region_score`: cosine of crop and phrase; `image_score`: of image and caption; "
        scored = cosines if "image_score" in self._schema.names else ""
        return f"""{front}
{title(self.config)}
{self.pairs:,} pairs, {self.done["boxes"]:,} boxes.

{how_it_was_made(self.config)}
## Columns

`image`; `key`; `caption`; `width` and `height` of the upright image; `phrases`: character spans `[start, end)` of the
caption, each with `text`, `head` and `norm`; `boxes`: `phrase` (an index into `phrases`), `bbox` `[x1, y1, x2, y2]` in
absolute pixels of the upright image, `score`; {scored}`teacher`; `source_id`; `license`.

{licence_table(self._licenses)}"""


def schema(scored: bool) -> pa.Schema:
    """Arrow types, and in the metadata `datasets`' own, from which it knows that `image` is one. `scored`: the run has
    cosines."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int32(), pa.float32()
    span = pa.struct([("start", whole), ("end", whole), ("text", text), ("head", text), ("norm", text)])
    cosine = [("region_score", real)] if scored else []
    box = pa.struct([("phrase", whole), ("bbox", pa.list_(real)), ("score", real), *cosine])
    columns = {
        "image": pa.struct([("bytes", pa.binary()), ("path", text)]),
        "key": text,
        "caption": text,
        "width": whole,
        "height": whole,
        "phrases": pa.list_(span),
        "boxes": pa.list_(box),
        **({"image_score": real} if scored else {}),
        "teacher": text,
        "source_id": text,
        "license": text,
    }
    features = {name: feature(kind) for name, kind in columns.items()} | {"image": {"_type": "Image"}}
    return pa.schema(list(columns.items()), {"huggingface": json.dumps({"info": {"features": features}})})


def feature(kind: pa.DataType) -> Any:
    """The feature of `datasets` for an Arrow type."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return {"_type": "List", "feature": feature(kind.value_type)}
    if pa.types.is_struct(kind):
        return {field.name: feature(field.type) for field in kind}
    names = {pa.string(): "string", pa.binary(): "binary", pa.int32(): "int32", pa.float32(): "float32"}
    return {"_type": "Value", "dtype": names[kind]}
