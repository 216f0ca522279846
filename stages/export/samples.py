"""What every export has in common: the samples of a run, part by part, and where their images go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.images import sniff
from stages.stage import ImageRef, RowError, RunIO

if TYPE_CHECKING:
    from schemas.config import Config

Create = Callable[[str], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class Sample:
    """A pair with at least one box. Boxes: {"phrase", "x1", "y1", "x2", "y2", "score"}, absolute pixels, half-open."""

    key: str
    caption: str
    width: int
    height: int
    phrases: list[dict[str, Any]]
    boxes: list[dict[str, Any]]
    pair: dict[str, Any]
    data: bytes  # of the image, as stored
    file_name: str  # images/KEY.jpg, .png or .webp

    def span(self, box: dict[str, Any]) -> list[int]:
        phrase = self.phrases[box["phrase"]]
        return [phrase["start"], phrase["end"]]

    def text(self, box: dict[str, Any]) -> str:
        """The phrase as it stands in the caption."""
        start, end = self.span(box)
        return self.caption[start:end]

    def by_phrase(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Each phrase that has boxes, in the order of the phrases, with its boxes."""
        for i, phrase in enumerate(self.phrases):
            boxes = [box for box in self.boxes if box["phrase"] == i]
            if boxes:
                yield phrase, boxes


def xywh(box: dict[str, Any]) -> list[float]:
    return [box["x1"], box["y1"], box["x2"] - box["x1"], box["y2"] - box["y1"]]


def xyxy(box: dict[str, Any]) -> list[float]:
    return [box["x1"], box["y1"], box["x2"], box["y2"]]


def samples(io: RunIO, min_score: float | None) -> Iterator[Sample]:
    """All samples in the order of their keys. What has no readable image is left out: it cannot have boxes."""
    dataset = "pseudo" if min_score is None else "labels"
    for part in io.parts():
        if io.has_part(dataset, part):
            yield from _part_samples(io, part, dataset, min_score)


def _part_samples(io: RunIO, part: int, dataset: str, min_score: float | None) -> Iterator[Sample]:
    boxes = {
        row["key"]: [box for box in row["boxes"] if min_score is None or box["score"] > min_score]
        for row in io.read_part(dataset, part, ["key", "boxes"]).to_pylist()
    }
    phrases = {row["key"]: row["phrases"] for row in io.read_part("phrases", part, ["key", "phrases"]).to_pylist()}
    pairs = [
        pair for pair in io.read_part("pairs", part).to_pylist() if boxes.get(pair["key"]) and pair["image"] is not None
    ]
    for pair, data in zip(pairs, io.image_bytes([ImageRef(**pair["image"]) for pair in pairs])):
        if isinstance(data, RowError):
            continue
        key = pair["key"]
        size = pair["width"], pair["height"]
        name = f"images/{key}.{sniff(data)}"
        yield Sample(key, pair["caption"], *size, phrases[key], boxes[key], pair, data, name)


class Exporter:
    """One way of writing samples: `begin`, `write` for each sample, `end`."""

    def __init__(self, io: RunIO, create: Create, config: Config, min_score: float | None, images: bool) -> None:
        self.io = io
        self.config = config
        self.min_score = min_score
        self.images = images
        self.done: Counter[str] = Counter(images=0, boxes=0, files=0)
        self._create = create
        self._open = ExitStack()

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A new file that is complete when its context ends."""
        self.done["files"] += 1
        return self._create(name)

    def open(self, name: str) -> BinaryIO:
        """A new file that stays open until the export ends."""
        return self._open.enter_context(self.create(name))

    def run(self) -> dict[str, int]:
        with self._open:
            self.begin()
            for sample in samples(self.io, self.min_score):
                self.write(sample)
                self.done["images"] += 1
                self.done["boxes"] += len(sample.boxes)
                if self.images:
                    self._copy_image(sample)
            self.end()
        return dict(self.done)

    def begin(self) -> None:
        """Open what is written to all the time."""

    def write(self, sample: Sample) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Write what is known only now."""

    def _copy_image(self, sample: Sample) -> None:
        with self.create(sample.file_name) as file:
            file.write(sample.data)
