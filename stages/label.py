"""pairs + phrases -> labels: the teacher grounds each caption's phrases in its image.

Everything at or above the score floor is kept, so that another threshold needs no teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stages.stage import Counts, ImageRef, Input, PartIO, PartResult, RowError, UserError, reject_rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from model.glip import Glip, Grounding

WINDOW = 32  # rows in memory at a time, in batches: enough for the batcher to fill buckets of equal shape


@dataclass(frozen=True)
class Row:
    """What the teacher needs of one pair."""

    key: str
    source_id: str
    caption: str
    spans: list[list[tuple[int, int]]]  # per phrase
    image: ImageRef | None
    sha256: str


class LabelStage:
    name: ClassVar[str] = "label"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["map"]] = "map"
    actor: ClassVar[bool] = True  # the teacher stays loaded
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "sha256")),
        Input("phrases", ("key", "caption", "phrases.start", "phrases.end")),
    )
    outputs: ClassVar[tuple[str, ...]] = ("labels",)

    def __init__(self, config: Any) -> None:
        self.config = config.label
        self.max_pixels: int = config.ingest.max_pixels
        self._teacher: Glip | None = None

    @classmethod
    def resolve(cls, config: Any) -> dict[str, Any]:
        from model.variants import VARIANTS

        label = config.label
        if label.teacher not in VARIANTS:
            raise UserError(f"label.teacher: no teacher {label.teacher!r}; there are {', '.join(sorted(VARIANTS))}")
        variant = VARIANTS[label.teacher]
        found = weights_sha256(label.teacher, label.weights)
        if label.weights_sha256 not in (None, found):
            raise UserError(f"label.weights: sha256 {found}, but label.weights_sha256 asks for {label.weights_sha256}")
        return {
            "weights_sha256": found,
            "device": resolve_device(label.device) if label.device == "auto" else label.device,
            "short": label.short or variant.short,
            "long": label.long or variant.long,
        }

    @classmethod
    def settings(cls, config: Any) -> dict[str, Any]:
        label = config.label
        return {
            "teacher": label.teacher,
            "weights": label.weights_sha256,
            "score_floor": label.score_floor,
            "batch_size": label.batch_size,
            "precision": label.precision,
            "device": label.device.split(":")[0],
            "threads": label.threads,
            "short": label.short,
            "long": label.long,
        }

    @property
    def teacher(self) -> Glip:
        if self._teacher is None:
            self._teacher = load_teacher(self.config)
        return self._teacher

    def run_part(self, io: PartIO) -> PartResult:
        rows = read_rows(io)
        rejected: list[tuple[str, str, RowError]] = []
        labels: list[dict[str, Any]] = []
        without_image = sum(row.image is None for row in rows)
        for window in windows([row for row in rows if row.image is not None], WINDOW * self.config.batch_size):
            good, images = self._read_images(io, window, rejected)
            groundings = self._ground(good, images)
            for row, image, grounding in zip(good, images, groundings, strict=True):
                if grounding.failed == "out_of_memory":  # lies in the machine, not in the data
                    raise MemoryError(f"{row.key}: the teacher ran out of memory with this picture alone")
                if grounding.failed:
                    rejected.append((row.key, row.source_id, RowError(grounding.failed, "in the teacher's output")))
                else:
                    labels.append(label_row(row, image, grounding))
            io.progress(len(window))
        io.write("labels", label_table(labels))
        io.write("rejects/label", reject_rows("label", sorted(rejected, key=lambda item: item[0])))
        set_aside = {"no_image": without_image} if without_image else {}
        return PartResult(Counts(len(rows), len(labels), len(rejected), set_aside))

    def _read_images(
        self, io: PartIO, window: list[Row], rejected: list[tuple[str, str, RowError]]
    ) -> tuple[list[Row], list[NDArray[np.uint8]]]:
        """The rows whose image could be read and decoded, with the images (H, W, 3)."""
        from stages.images import check_sha256, decode_rgb

        good, images = [], []
        refs = [row.image for row in window if row.image is not None]
        for row, data in zip(window, io.image_bytes(refs), strict=True):
            try:
                images.append(decode_rgb(check_sha256(data, row.sha256), self.max_pixels))
                good.append(row)
            except RowError as error:
                rejected.append((row.key, row.source_id, error))
        return good, images

    def _ground(self, rows: list[Row], images: list[NDArray[np.uint8]]) -> list[Grounding]:
        if not rows:
            return []
        return self.teacher.ground(
            images,
            [row.caption for row in rows],
            [row.spans for row in rows],
            score_floor=self.config.score_floor,
        )


def resolve_device(device: str) -> str:
    """auto: cuda where torch sees one, else cpu. Raises UserError for a device that is not there.

    Asked where the work is done: the machine that starts a run on a cluster needs no GPU itself.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device {device!r}: torch sees no CUDA device here; say cpu, or install torch's CUDA build")
    return device


def weights_sha256(teacher: str, weights: str | None) -> str:
    """Of the file that `load_teacher` reads. Raises UserError where there is none."""
    from model.checkpoint import packaged_weights, sha256

    try:
        return sha256(weights or packaged_weights(teacher))
    except OSError as error:
        raise UserError(f"weights of {teacher}: {error}") from error


def load_teacher(config: Any) -> Glip:
    """The teacher of a label section, on its device, at its precision and picture size. Raises UserError."""
    import torch

    from model.glip import Glip

    torch.set_num_threads(config.threads)
    device = resolve_device(config.device)
    try:
        glip = Glip.from_file(config.teacher, config.weights) if config.weights else Glip.pretrained(config.teacher)
    except (OSError, ValueError) as error:
        raise UserError(f"weights of {config.teacher}: {error}") from error
    glip.precision, glip.batch_size = config.precision, config.batch_size
    glip.variant = replace(glip.variant, short=config.short, long=config.long)
    return glip.to(device)


def read_rows(io: PartIO) -> list[Row]:
    """The rows of the phrases part, in order, with the image of the pair of the same key."""
    pairs = {row["key"]: row for row in io.read("pairs", ["key", "source_id", "image", "sha256"]).to_pylist()}
    rows = []
    for row in io.read("phrases", ["key", "caption", "phrases"]).to_pylist():
        pair = pairs[row["key"]]
        image = pair["image"]
        rows.append(
            Row(
                key=row["key"],
                source_id=pair["source_id"],
                caption=row["caption"],
                spans=[[(phrase["start"], phrase["end"])] for phrase in row["phrases"]],
                image=None if image is None else ImageRef(image["uri"], image["offset"], image["length"]),
                sha256=pair["sha256"],
            )
        )
    return rows


def windows(rows: list[Row], size: int) -> Iterator[list[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def label_row(row: Row, image: NDArray[np.uint8], grounding: Grounding) -> dict[str, Any]:
    """One row of labels: boxes by phrase, then by falling score."""
    order = sorted(
        range(len(grounding.scores)), key=lambda i: (int(grounding.phrase[i]), -float(grounding.scores[i]), i)
    )
    boxes = []
    for i in order:
        x1, y1, x2, y2 = (float(value) for value in grounding.boxes[i])
        boxes.append(
            {
                "phrase": int(grounding.phrase[i]),
                "x1": x1,
                "y1": y1,
                "x2": x2,
                "y2": y2,
                "score": float(grounding.scores[i]),
            }
        )
    return {
        "key": row.key,
        "width": image.shape[1],
        "height": image.shape[0],
        "boxes": boxes,
        "dropped": [{"phrase": phrase, "reason": reason} for phrase, reason in grounding.dropped],
    }


def label_table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    from schemas.records import LABELS

    return pa.Table.from_pylist(rows, schema=LABELS)
