"""One sitting of `phrasebox review`: what the page shows, and what becomes of what people do there."""

from __future__ import annotations

import hashlib
import io as bytesio
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from schemas.records import part_name, part_of
from schemas.rows import Corners
from stages.images import check_sha256, open_rgb
from stages.review.draw import Unit
from stages.review.journal import VERDICTS, Judgement, corners_of, path_of, read_journal
from stages.review.population import labels_of
from stages.sample_images import SampleImage, read_samples
from stages.stage import RowError, RunIO, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from schemas.config import Config

Append = Callable[[str, bytes], None]  # path in the run, bytes at its end
SIDE, CROP_SIDE = 1400, 700  # pixels of the longest side, of the image and of the crop
MARGIN = 0.35  # of the box's sides, around it in the crop
KEPT = 6  # decoded images
MOST_BOXES = 200  # that a person draws for one phrase


class BadRequest(Exception):
    """What a page of ours would not send."""


class Session:
    """The drawn units with their pairs. Several threads may use it."""

    def __init__(
        self, io: RunIO, config: Config, boxes: Sequence[Unit], phrases: Sequence[Unit], append: Append
    ) -> None:
        self.io, self.config, self.append = io, config, append
        self.units = [*boxes, *phrases]
        self.samples = samples_of(io, self.units)
        self._digests: dict[str, str] = {}
        self._images: dict[str, Image] = {}
        self._lock = threading.Lock()

    def state(self, reviewer: str) -> dict[str, Any]:
        """All tasks, with what this reviewer has said of each. Raises UserError for a bad name."""
        said = {judgement.number: judgement for judgement in self._journal(reviewer)}
        return {"tasks": [self._task(unit, said.get(unit.number)) for unit in self.units]}

    def judge(self, request: Any) -> None:
        """Append what a reviewer says of a task; it is on the disk, or in the store, when this returns.

        Raises BadRequest, and UserError for a bad name.
        """
        try:
            judgement = self._judgement(request)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadRequest(f"no judgement: {error}") from None
        with self._lock:
            self.append(path_of(judgement.reviewer), judgement.line())

    def image(self, task: int) -> bytes:
        """The task's image as a WebP, at most SIDE pixels. Raises RowError where it cannot be shown."""
        image = self._decoded(self.units[task].key).copy()
        image.thumbnail((SIDE, SIDE))
        return _webp(image)

    def crop(self, task: int) -> bytes:
        """The box with a margin, enlarged where it is small. Raises RowError."""
        unit = self.units[task]
        image = self._decoded(unit.key)
        cut = image.crop(crop_area(unit.corners, image.size)) if unit.corners else image
        scale = min(CROP_SIDE / max(cut.size), 4.0)
        return _webp(cut.resize((max(round(cut.width * scale), 1), max(round(cut.height * scale), 1))))

    def _journal(self, reviewer: str) -> list[Judgement]:
        path = path_of(reviewer)
        try:
            with self.io.open(path) as file:
                return read_journal(file.read(), path)
        except FileNotFoundError:
            return []

    def _task(self, unit: Unit, said: Judgement | None) -> dict[str, Any]:
        sample = self.samples[unit.key]
        size = (sample.pair.width or 1, sample.pair.height or 1)
        return {
            "kind": "box" if unit.corners else "phrase",
            "caption": sample.pair.caption,
            "span": list(unit.span),
            "size": list(size),
            "box": unit.corners,
            "crop": crop_area(unit.corners, size) if unit.corners else None,
            "verdict": said.verdict if said else None,
            "boxes": said.boxes if said else [],
        }

    def _judgement(self, request: dict[str, Any]) -> Judgement:
        number, verdict = request["task"], request["verdict"]
        if not isinstance(number, int) or not 0 <= number < len(self.units):
            raise ValueError("no such task")
        unit = self.units[number]
        kind = "box" if unit.corners else "phrase"
        if verdict is not None and verdict not in VERDICTS[kind]:
            raise ValueError(f"a {kind} cannot be judged so")
        boxes = tuple(box for given in request.get("boxes", [])[:MOST_BOXES] if (box := corners_of(given)))
        if (verdict == "there") != bool(boxes):
            raise ValueError("boxes are drawn for a phrase whose thing is there, and for nothing else")
        origin = origin_of(self.io, self.config, unit, self._digests)
        return judgement_on(self.samples[unit.key], unit, str(request["reviewer"]), verdict, origin, boxes)

    def _decoded(self, key: str) -> Image:
        with self._lock:
            if key not in self._images:
                pair = self.samples[key].pair
                if pair.image is None:
                    raise RowError("no_image")
                data = check_sha256(next(iter(self.io.image_bytes([pair.image]))), pair.sha256)
                self._images[key] = open_rgb(data, self.config.ingest.max_pixels)
                while len(self._images) > KEPT:
                    del self._images[next(iter(self._images))]
            return self._images[key]


def samples_of(io: RunIO, units: Sequence[Unit]) -> dict[str, SampleImage]:
    """What the run knows of the pairs of some units, by key."""
    by_part: dict[int, list[str]] = {}
    for unit in units:
        by_part.setdefault(part_of(unit.key), []).append(unit.key)
    found = (read_samples(io, part, sorted(set(keys))) for part, keys in sorted(by_part.items()))
    return {sample.key: sample for samples in found for sample in samples}


def judgement_on(
    sample: SampleImage,
    unit: Unit,
    reviewer: str,
    verdict: str | None,
    origin: tuple[str, str],
    boxes: tuple[Corners, ...] = (),
    **more: Any,
) -> Judgement:
    """`origin`: as of `origin_of`; `more`: the other fields of the judgement."""
    path_of(reviewer)  # a bad name is an error now
    start, end = unit.span
    return Judgement(
        reviewer=reviewer,
        kind="box" if unit.corners else "phrase",
        key=unit.key,
        start=start,
        end=end,
        text=sample.pair.caption[start:end],
        box=unit.corners,
        verdict=verdict,
        labels=origin[0],
        teacher=origin[1],
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        boxes=boxes,
        **more,
    )


def origin_of(io: RunIO, config: Config, unit: Unit, known: dict[str, str]) -> tuple[str, str]:
    """The sha256 of the part of labels that a unit is from, and the teacher; `known`: digests of files so far."""
    path = f"{labels_of(unit.teacher)}/{part_name(part_of(unit.key))}"
    if path not in known:
        with io.open(path) as file:
            known[path] = hashlib.sha256(file.read()).hexdigest()
    return known[path], unit.teacher or config.label.teacher


def crop_area(corners: Corners, size: tuple[int, int]) -> Corners:
    """The box with its margin, inside of the image, in whole pixels."""
    x1, y1, x2, y2 = corners
    across, down = max((x2 - x1) * MARGIN, 8), max((y2 - y1) * MARGIN, 8)
    left, top = max(x1 - across, 0) // 1, max(y1 - down, 0) // 1
    return left, top, max(min(x2 + across, size[0]) // 1, left + 1), max(min(y2 + down, size[1]) // 1, top + 1)


def _webp(image: Image) -> bytes:
    out = bytesio.BytesIO()
    image.save(out, "WEBP", quality=80, method=2)
    return out.getvalue()


def refuse_empty(units: Sequence[Unit], run: str) -> None:
    """Raises UserError where there is nothing to judge."""
    if not units:
        raise UserError(f"review: {run} has no box and no phrase to judge; its labels are empty")
