"""The drawn boxes for other tools, and judgements from what people corrected there.

The way out is any format of `phrasebox export`, on a view of the run whose labels are the drawn boxes alone. The way
back compares boxes: one that is still there was right, one that is gone or moved by half was a wrong box, one that was
given another phrase had a wrong phrase. Boxes that people add are true ones, but no sample of anything.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from schemas.records import part_of
from schemas.rows import Box, Corners, PseudoRow
from schemas.tables import PseudoTable
from stages.geometry import iou
from stages.review.draw import Unit
from stages.review.journal import RIGHT, WRONG_BOX, WRONG_PHRASE, Judgement, corners_of, path_of
from stages.review.session import judgement_on, origin_of, samples_of
from stages.sample_images import SampleImage
from stages.stage import RunIO, UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from schemas.config import Config

SAME = 0.99  # IoU from which a box has not been moved: tools round corners
HALF = 0.5  # IoU from which a moved box was right, as in stages/agreement.py
IN_PLACE = 0.9  # IoU from which a box with another phrase is the same box


class DrawnRun:
    """A run whose `pseudo` are drawn boxes, for exporters; a RunIO by what it passes on."""

    def __init__(self, io: RunIO, units: Sequence[Unit]) -> None:
        self._io = io
        self._samples = samples_of(io, units)
        self._units: defaultdict[int, defaultdict[str, list[Unit]]] = defaultdict(lambda: defaultdict(list))
        for unit in units:
            self._units[part_of(unit.key)][unit.key].append(unit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io, name)

    def has_part(self, dataset: str, part: int) -> bool:
        return part in self._units if dataset == PseudoTable.dataset else self._io.has_part(dataset, part)

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        if dataset != PseudoTable.dataset:
            return self._io.read_part(dataset, part, columns)
        rows = [self._row(self._samples[key], units) for key, units in sorted(self._units[part].items())]
        table = PseudoTable.of_records(rows).table
        return table if columns is None else table.select(list(columns))

    @staticmethod
    def _row(sample: SampleImage, units: Iterable[Unit]) -> PseudoRow:
        places = {(phrase.start, phrase.end): i for i, phrase in enumerate(sample.phrases)}
        boxes = tuple(Box(places[unit.span], *unit.corners, unit.score) for unit in units if unit.corners)
        return PseudoRow(sample.key, sample.pair.width or 0, sample.pair.height or 0, boxes, ())


def drawn_run(io: RunIO, units: Sequence[Unit]) -> RunIO:
    return cast("RunIO", DrawnRun(io, units))


@dataclass(frozen=True)
class Corrected:
    """A box as another tool gives it back, in pixels; `caption` says which of an image's captions it is of."""

    text: str
    corners: Corners
    caption: str | None = None


def import_corrections(
    io: RunIO, config: Config, units: Sequence[Unit], data: bytes, file: str, reviewer: str
) -> tuple[str, bytes, dict[str, int]]:
    """(path of the journal, its new lines, how many boxes are unchanged, moved, relabelled, deleted, added).

    `units` are the boxes that were exported. Raises UserError for a file that is of neither tool.
    """
    path = path_of(reviewer)
    samples = samples_of(io, units)
    source, images = read_corrections(data, file, samples)
    writer = _Writer(io, config, samples, reviewer, source)
    groups: defaultdict[str, list[Unit]] = defaultdict(list)
    for drawn in units:
        groups[drawn.key].append(drawn)
    for key, boxes in images.items():
        if key not in groups:
            writer.counted["images of other draws"] += 1
            continue
        for unit, found in compared(groups[key], boxes, samples):
            writer.note(unit, found, samples[key])
    return path, b"".join(judgement.line() for judgement in writer.judgements), dict(writer.counted)


def compared(
    units: Sequence[Unit], boxes: Sequence[Corrected], samples: Mapping[str, SampleImage]
) -> Iterator[tuple[Unit | None, Corrected | None]]:
    """Each drawn box of an image with what it became (None: it is gone), and those that are new (no unit)."""
    if not units or not boxes:
        yield from ((unit, None) for unit in units)
        yield from ((None, box) for box in boxes)
        return
    before = np.array([unit.corners for unit in units], np.float64)  # (N, 4)
    after = np.array([box.corners for box in boxes], np.float64)  # (M, 4)
    overlap = iou(before[:, None], after)  # (N, M)
    same = np.array([[_text(unit, samples) == box.text for box in boxes] for unit in units])
    possible = np.argwhere((same & (overlap > 0)) | (overlap >= IN_PLACE)).tolist()
    free_units, free_boxes = set(range(len(units))), set(range(len(boxes)))
    for i, j in sorted(possible, key=lambda at: (not same[at[0], at[1]], -overlap[at[0], at[1]], at)):
        if i in free_units and j in free_boxes:
            free_units.discard(i)
            free_boxes.discard(j)
            yield units[i], boxes[j]
    yield from ((units[i], None) for i in sorted(free_units))
    yield from ((None, boxes[j]) for j in sorted(free_boxes))


class _Writer:
    """Turns pairs of a drawn box and what it became into judgements."""

    def __init__(
        self, io: RunIO, config: Config, samples: Mapping[str, SampleImage], reviewer: str, source: str
    ) -> None:
        self.io, self.config, self.samples, self.reviewer, self.source = io, config, samples, reviewer, source
        self.judgements: list[Judgement] = []
        self.counted = Counter(unchanged=0, moved=0, relabelled=0, deleted=0, added=0)
        self._digests: dict[str, str] = {}

    def note(self, unit: Unit | None, box: Corrected | None, image: SampleImage) -> None:
        if unit is None:
            if box is not None and self._add(box, image):
                self.counted["added"] += 1
        elif box is None:
            self.counted["deleted"] += 1
            self._say(unit, WRONG_BOX)
        elif _text(unit, self.samples) != box.text:
            self.counted["relabelled"] += 1
            self._say(unit, WRONG_PHRASE)
            self._add(box, self.samples[unit.key])
        else:
            self._moved(unit, box)

    def _moved(self, unit: Unit, box: Corrected) -> None:
        overlap = float(iou(np.array(unit.corners), np.array(box.corners)))
        self.counted["unchanged" if overlap >= SAME else "moved"] += 1
        if overlap >= HALF:
            self._say(unit, RIGHT, corrected=None if overlap >= SAME else box.corners)
        else:
            self._say(unit, WRONG_BOX)
            self._add(box, self.samples[unit.key])

    def _add(self, box: Corrected, image: SampleImage) -> bool:
        """A true box that was not drawn; False where no caption of the image has its phrase."""
        start = image.pair.caption.find(box.text) if box.text else -1
        spans = [(p.start, p.end) for p in image.phrases if image.pair.caption[p.start : p.end] == box.text]
        if not spans and start < 0:
            self.counted["left out, because the caption has no such phrase"] += 1
            return False
        span = spans[0] if spans else (start, start + len(box.text))
        corners = cast("Corners", tuple(float(side) for side in np.array(box.corners, np.float32)))
        self._say(Unit(0, 0, image.key, span, corners, 1.0), RIGHT, drawn=False)
        return True

    def _say(self, unit: Unit, verdict: str, **more: Any) -> None:
        origin = origin_of(self.io, self.config, unit, self._digests)
        sample = self.samples[unit.key]
        self.judgements.append(judgement_on(sample, unit, self.reviewer, verdict, origin, source=self.source, **more))


def _text(unit: Unit, samples: Mapping[str, SampleImage]) -> str:
    start, end = unit.span
    return samples[unit.key].pair.caption[start:end]


# -- what the tools write -------------------------------------------------------------------------------------------


def read_corrections(
    data: bytes, file: str, samples: Mapping[str, SampleImage]
) -> tuple[str, dict[str, list[Corrected]]]:
    """(tool, {key: boxes}) of the pairs that somebody looked at. Raises UserError."""
    try:
        content = json.loads(data)
        if isinstance(content, list):
            return "label-studio", dict(_of_label_studio(content))
        if isinstance(content, dict) and "labels" in content:
            return "fiftyone", _of_fiftyone(content, samples)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"review --import {file}: cannot be read ({type(error).__name__}: {error})") from None
    raise UserError(
        f"review --import {file}: neither Label Studio's JSON (a list of tasks) nor FiftyOne's labels.json; export one "
        "of these there"
    )


def _of_label_studio(tasks: list[Any]) -> Iterator[tuple[str, list[Corrected]]]:
    """The last annotation of each task that was not cancelled."""
    for task in tasks:
        done = [entry for entry in task.get("annotations", []) if not entry.get("was_cancelled")]
        if done:
            results = [entry for entry in done[-1]["result"] if entry.get("type") == "rectanglelabels"]
            yield str(task["data"]["key"]), [_rectangle(entry) for entry in results]


def _rectangle(result: dict[str, Any]) -> Corrected:
    """Percent of the image's sides to pixels; a turned one becomes the upright box around it."""
    value, width, height = result["value"], result["original_width"], result["original_height"]
    x, y = value["x"] * width / 100, value["y"] * height / 100
    across, down = value["width"] * width / 100, value["height"] * height / 100
    turn = math.radians(value.get("rotation", 0))
    xs = [x + a * math.cos(turn) - b * math.sin(turn) for a in (0, across) for b in (0, down)]
    ys = [y + a * math.sin(turn) + b * math.cos(turn) for a in (0, across) for b in (0, down)]
    return Corrected(str(value["rectanglelabels"][0]), _inside((min(xs), min(ys), max(xs), max(ys)), width, height))


def _of_fiftyone(content: dict[str, Any], samples: Mapping[str, SampleImage]) -> dict[str, list[Corrected]]:
    """Each image's detections, shared out among the pairs that have the image."""
    classes = content.get("classes")
    pairs: defaultdict[str | None, list[SampleImage]] = defaultdict(list)
    for sample in samples.values():
        pairs[sample.pair.sha256].append(sample)
    found: dict[str, list[Corrected]] = {}
    for key, detections in content["labels"].items():
        mine = pairs[samples[key].pair.sha256] if key in samples else []
        found |= {sample.key: [] for sample in mine} or {key: []}
        for detection in detections or []:
            box = _detection(detection, classes, mine[0] if mine else None)
            if mine and box is not None:
                found[_owner(box, mine).key].append(box)
    return found


def _detection(detection: dict[str, Any], classes: list[str] | None, image: SampleImage | None) -> Corrected | None:
    if image is None:
        return None
    label = detection["label"]
    text = classes[label] if classes is not None and isinstance(label, int) else label
    width, height = image.pair.width or 1, image.pair.height or 1
    x, y, across, down = detection["bounding_box"]
    corners = x * width, y * height, (x + across) * width, (y + down) * height
    return Corrected(str(text), _inside(corners, width, height), (detection.get("attributes") or {}).get("caption"))


def _owner(box: Corrected, samples: Sequence[SampleImage]) -> SampleImage:
    """The pair whose caption a box is of: the one that it says, else the first with its phrase."""
    named = [sample for sample in samples if sample.pair.caption == box.caption]
    return next(iter(named or [sample for sample in samples if box.text in sample.pair.caption] or samples))


def _inside(corners: Corners, width: float, height: float) -> Corners:
    """Raises ValueError for a box without area in the image."""
    x1, y1, x2, y2 = corners
    found = corners_of((max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)))
    return cast("Corners", found)
