"""pairs + pseudo -> masks: SAM cuts out what each box shows, prompted by the box.

Masks are those of the boxes that passed the filter, in its order, as COCO's run lengths in the upright frame of the
whole image. A row without boxes has no masks, and its image is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from schemas.commit import CommitRecord
from schemas.marks import device_type
from schemas.rows import ImageRef, Mask, MaskRow
from schemas.tables import MaskTable, PairTable, PartReader, PseudoTable
from stages.checkpoints import resolve_checkpoint
from stages.label.stage import machine_notes
from stages.label.teacher import resolve_device
from stages.mask.segmenter import open_segmenter
from stages.rle import area, checked_runs, encode
from stages.stage import Counts, Input, MapStage, Needs, Output, PartIO, PartResult, RowError, reject_rows

if TYPE_CHECKING:
    from model.segmenter import Segment, Segmenter
    from schemas.config import Config

PIXELS = "mask_pixels"  # in the notes of a commit record: the area of all masks of the part


@dataclass(frozen=True)
class Row:
    """What is needed of a row of pseudo with at least one box."""

    key: str
    source_id: str
    image: ImageRef
    size: tuple[int, int]  # (H, W), upright
    sha256: str
    boxes: NDArray[np.float32]  # (N, 4)


class MaskStage(MapStage):
    name: ClassVar[str] = "mask"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs", ("key", "sha256")),
        Input("pseudo", ("key", "width", "height", "boxes.x1", "boxes.y1", "boxes.x2", "boxes.y2")),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("masks", aligned_with="pseudo", lists=("masks", "boxes")),)

    def __init__(self, config: Config) -> None:
        self.config = config.mask
        self.max_pixels: int = config.ingest.max_pixels
        self._segmenter: Segmenter | None = None

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return config.mask.model is not None

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        if config.mask.model is None:
            return {}
        return {"device": resolve_device(config.mask.device), **resolve_checkpoint("mask", config.mask)}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        return {"model": config.mask.model_sha256}

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(gpu=device_type(config.mask.device) == "cuda", actor=True)  # the network stays loaded

    @property
    def segmenter(self) -> Segmenter:
        """Of the checkpoint, which stays loaded."""
        if self._segmenter is None:
            self._segmenter = open_segmenter(self.config)
        return self._segmenter

    def run_part(self, io: PartIO) -> PartResult:
        pseudo = PseudoTable.read(io, PseudoTable.key, PseudoTable.width, PseudoTable.height, PseudoTable.boxes)
        rows = read_rows(io, pseudo)
        io.progress(len(pseudo) - len(rows))
        found: dict[str, tuple[Mask, ...]] = {}
        rejected: list[tuple[str, str, RowError]] = []
        for row, masks in self._segmented(io, rows):
            if isinstance(masks, RowError):
                rejected.append((row.key, row.source_id, masks))
            else:
                found[row.key] = masks
            io.progress(1)
        without = {row for row, *_ in rejected}
        keys = [key for key in pseudo.key.to_pylist() if key not in without]
        io.write("masks", MaskTable.of_records(MaskRow(key, found.get(key, ())) for key in keys).table)
        io.write("rejects/mask", reject_rows("mask", rejected))
        return PartResult(Counts(len(pseudo), len(keys), len(rejected)), self._notes(found))

    def _notes(self, found: dict[str, tuple[Mask, ...]]) -> dict[str, Any]:
        areas = [area(checked_runs(mask.counts, mask.height, mask.width)) for row in found.values() for mask in row]
        machine = machine_notes(self.segmenter.device) if areas else {}
        return {"masks": len(areas), "empty_masks": areas.count(0), PIXELS: sum(areas), **machine}

    def _segmented(self, io: PartIO, rows: Sequence[Row]) -> Iterator[tuple[Row, tuple[Mask, ...] | RowError]]:
        """Each row with its masks, or why it has none. While a batch is computed, the next one is decoded."""
        images = io.image_bytes([row.image for row in rows])
        size = self.config.batch_size
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._decoded, batches[0], images) if batches else None
            for number, batch in enumerate(batches):
                assert coming is not None
                pixels = coming.result()
                if number + 1 < len(batches):
                    coming = pool.submit(self._decoded, batches[number + 1], images)
                yield from zip(batch, self._masks(batch, pixels), strict=True)

    def _decoded(self, rows: Sequence[Row], images: Iterator[bytes | RowError]) -> list[Any]:
        """The image (H, W, 3) of each row, or why there is none."""
        return [decoded(row, data, self.max_pixels) for row, data in zip(rows, images)]

    def _masks(self, rows: Sequence[Row], pixels: Sequence[Any]) -> list[tuple[Mask, ...] | RowError]:
        """The masks of a batch of rows."""
        sound = [number for number, image in enumerate(pixels) if not isinstance(image, RowError)]
        segments = self.segmenter.segment_batch(
            [pixels[number] for number in sound], [rows[number].boxes for number in sound]
        )
        results = dict(zip(sound, map(coded, segments), strict=True))
        return [results.get(number, image) for number, image in enumerate(pixels)]

    @classmethod
    def contradictions(cls, read: PartReader, record: CommitRecord) -> Iterator[str]:
        """A mask of another size than its image or with runs that do not cover it, and an area that is not as noted."""
        table = MaskTable.read(read)
        pseudo = PseudoTable.read(read, PseudoTable.key, PseudoTable.width, PseudoTable.height)
        sizes = dict(zip(pseudo.key.to_pylist(), zip(pseudo.height.tolist(), pseudo.width.tolist(), strict=True)))
        total = 0
        for row in table.records():
            for mask in row.masks:
                if sizes.get(row.key) != (mask.height, mask.width):
                    found = f"a mask of {mask.height} x {mask.width} pixels (h, w)"
                    yield f"{row.key} has {found}, not {sizes.get(row.key)}"
                    return
                try:
                    total += area(checked_runs(mask.counts, mask.height, mask.width))
                except ValueError as error:
                    yield f"{row.key}: {error}"
                    return
        if total != record.notes.get(PIXELS):
            yield f"the record says {PIXELS} = {record.notes.get(PIXELS)}, the masks cover {total}"


def read_rows(io: PartIO, pseudo: PseudoTable) -> list[Row]:
    """The rows with boxes, in order, with the image of the pair of the same key."""
    wanted = (PairTable.source_id, PairTable.image, PairTable.sha256)
    pairs = PairTable.read(io, PairTable.key, *wanted).aligned(pseudo.key)
    columns = zip(
        pseudo.key.to_pylist(),
        pairs.source_id.to_pylist(),
        pairs.image.refs(),
        zip(pseudo.height.tolist(), pseudo.width.tolist(), strict=True),
        pairs.sha256.to_pylist(),
        (pseudo.boxes.xyxy[own] for own in pseudo.boxes.slices()),
        strict=True,
    )
    return [
        Row(key, source_id, image, size, sha256, boxes)
        for key, source_id, image, size, sha256, boxes in columns
        if image is not None and len(boxes)
    ]


def decoded(row: Row, data: bytes | RowError, max_pixels: int) -> NDArray[np.uint8] | RowError:
    """The image of a row, or why it cannot be had or is not the one that was labelled."""
    from stages.images import check_sha256, decode_rgb

    try:
        image = decode_rgb(check_sha256(data, row.sha256), max_pixels)
    except RowError as error:
        return error
    if image.shape[:2] != row.size:
        return RowError("image_changed", f"{image.shape[:2]} pixels (h, w), labelled at {row.size}")
    return image


def coded(segments: Iterator[Segment]) -> tuple[Mask, ...] | RowError:
    """The masks of an image as a row of the table has them."""
    masks = []
    for mask, score in segments:
        if not np.isfinite(score):
            return RowError("non_finite_scores", "in the masks' network")
        height, width = mask.shape
        masks.append(Mask(encode(mask), height, width, score))
    return tuple(masks)
