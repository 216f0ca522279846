"""pairs + phrases -> labels: the teacher grounds each caption's phrases in its image.

Everything at or above the score floor is kept, so that another threshold needs no teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from schemas.marks import device_type
from stages.stage import (
    Counts,
    ImageRef,
    Input,
    MapStage,
    Needs,
    Output,
    PartIO,
    PartResult,
    RowError,
    UserError,
    reject_rows,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from model.glip import Glip, Grounding, Sample
    from schemas.config import Config, LabelConfig

HOLD = 128  # batches of images, still encoded, that may wait in memory until their buckets of one shape are full
COLUMNS = ["key", "source_id", "image", "width", "height", "sha256"]  # of pairs


@dataclass(frozen=True)
class Row:
    """What the teacher needs of one pair."""

    key: str
    source_id: str
    caption: str
    spans: list[list[tuple[int, int]]]  # per phrase
    image: ImageRef | None
    size: tuple[int, int]  # (H, W), upright
    sha256: str


class LabelStage(MapStage):
    name: ClassVar[str] = "label"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "sha256")),
        Input("phrases", ("key", "caption", "phrases.start", "phrases.end")),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("labels"),)
    depends_on: ClassVar[tuple[str, ...]] = ("label",)

    def __init__(self, config: Config) -> None:
        self.config = config.label
        self.max_pixels: int = config.ingest.max_pixels
        self._teacher: Glip | None = None

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
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
    def digests(cls, config: Config) -> dict[str, Any]:
        return {"weights": config.label.weights_sha256}

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(gpu=device_type(config.label.device) == "cuda", actor=True)  # the teacher stays loaded

    @property
    def teacher(self) -> Glip:
        if self._teacher is None:
            self._teacher = load_teacher(self.config)
        return self._teacher

    def run_part(self, io: PartIO) -> PartResult:
        rows = read_rows(io)
        with_image = [row for row in rows if row.image is not None]
        unreadable: dict[str, RowError] = {}
        rejected: list[tuple[str, str, RowError]] = []
        labels: list[dict[str, Any]] = []
        teacher = self.teacher
        samples = self._samples(io, with_image, unreadable)
        results = teacher.stream(samples, self.config.score_floor, HOLD * self.config.batch_size)
        for number, grounding in results:
            row = with_image[number]
            if grounding.failed == "out_of_memory":  # lies in the machine, not in the data
                raise MemoryError(f"{row.key}: the teacher ran out of memory with this image alone")
            if row.key in unreadable:
                rejected.append((row.key, row.source_id, unreadable[row.key]))
            elif grounding.failed:
                rejected.append((row.key, row.source_id, RowError(grounding.failed, "in the teacher's output")))
            else:
                labels.append(label_row(row, grounding))
            io.progress(1)
        io.write("labels", label_table(sorted(labels, key=lambda row: row["key"])))
        io.write("rejects/label", reject_rows("label", sorted(rejected, key=lambda row: row[0])))
        without_image = len(rows) - len(with_image)
        set_aside = {"no_image": without_image} if without_image else {}
        counts = Counts(len(rows), len(labels), len(rejected), set_aside)
        return PartResult(counts, machine_notes(teacher, with_image))

    def _samples(self, io: PartIO, rows: list[Row], unreadable: dict[str, RowError]) -> Iterator[Sample]:
        """What the teacher is asked, row by row. Why an image cannot be had is left in `unreadable`, by key."""
        from model.glip import Sample
        from model.prompt import caption_prompts

        refs = [row.image for row in rows if row.image is not None]
        for row, data in zip(rows, io.image_bytes(refs), strict=True):
            load = partial(self._load, row, data, unreadable)
            yield Sample(row.size, load, caption_prompts(row.caption, row.spans))

    def _load(self, row: Row, data: bytes | RowError, unreadable: dict[str, RowError]) -> NDArray[np.uint8] | None:
        """The image (H, W, 3); None where it cannot be read or decoded, or is not the one that ingest saw."""
        from stages.images import check_sha256, decode_rgb

        try:
            image = decode_rgb(check_sha256(data, row.sha256), self.max_pixels)
            if image.shape[:2] != row.size:
                raise RowError("image_changed", f"{image.shape[:2]} pixels (h, w), recorded {row.size}")
        except RowError as error:
            unreadable[row.key] = error
            return None
        return image


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


def load_teacher(config: LabelConfig) -> Glip:
    """The teacher of a label section, on its device, at its precision and image size. Raises UserError."""
    import torch

    from model.glip import Glip

    torch.set_num_threads(config.threads)
    torch.backends.cudnn.allow_tf32 = False  # on by default, for convolutions: fp32 would not be fp32
    device = resolve_device(config.device)
    try:
        glip = Glip.from_file(config.teacher, config.weights) if config.weights else Glip.pretrained(config.teacher)
    except (OSError, ValueError) as error:
        raise UserError(f"weights of {config.teacher}: {error}") from error
    glip.precision, glip.batch_size = config.precision, config.batch_size
    glip.variant = replace(
        glip.variant, short=config.short or glip.variant.short, long=config.long or glip.variant.long
    )
    return glip.to(device)


def read_rows(io: PartIO) -> list[Row]:
    """The rows of the phrases part, in order, with the image of the pair of the same key."""
    pairs = {row["key"]: row for row in io.read("pairs", COLUMNS).to_pylist()}
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
                size=(pair["height"], pair["width"]),
                sha256=pair["sha256"],
            )
        )
    return rows


def machine_notes(teacher: Glip, rows: list[Row]) -> dict[str, Any]:
    """For the commit record: what the part took, and the batches where memory ran out, to make it again the same."""
    import resource

    import torch

    notes: dict[str, Any] = {"peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    if teacher.device.type == "cuda":
        notes["peak_device_memory_mib"] = torch.cuda.max_memory_allocated(teacher.device) >> 20
    if teacher.halved:
        notes["batches"] = [[rows[i].key for i in batch] for batch in teacher.batches]
    return notes


def label_row(row: Row, grounding: Grounding) -> dict[str, Any]:
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
        "width": row.size[1],
        "height": row.size[0],
        "boxes": boxes,
        "dropped": [{"phrase": phrase, "reason": reason} for phrase, reason in grounding.dropped],
    }


def label_table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    from schemas.records import LABELS

    return pa.Table.from_pylist(rows, schema=LABELS)
