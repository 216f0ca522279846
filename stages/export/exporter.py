"""What every export has in common: the labelled images of a run, part by part, and where their bytes go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from schemas.rows import Box, LabelRow, Pair, Phrase, PseudoRow
from schemas.tables import LabelTable, PairTable, PhraseTable, PseudoTable
from stages.images import sniff
from stages.stage import RowError, RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

Create = Callable[[str], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class LabelledImage:
    """A pair with at least one box, and the bytes of its image."""

    pair: Pair
    width: int
    height: int
    phrases: tuple[Phrase, ...]
    boxes: tuple[Box, ...]
    data: bytes  # as stored
    file_name: str  # images/KEY.jpg, .png or .webp

    @property
    def key(self) -> str:
        return self.pair.key

    @property
    def caption(self) -> str:
        return self.pair.caption

    def span(self, box: Box) -> list[int]:
        phrase = self.phrases[box.phrase]
        return [phrase.start, phrase.end]

    def text(self, box: Box) -> str:
        """The phrase as it stands in the caption."""
        start, end = self.span(box)
        return self.caption[start:end]

    def by_phrase(self) -> Iterator[tuple[Phrase, list[Box]]]:
        """Each phrase that has boxes, in the order of the phrases, with its boxes."""
        for i, phrase in enumerate(self.phrases):
            boxes = [box for box in self.boxes if box.phrase == i]
            if boxes:
                yield phrase, boxes


def labelled_images(io: RunIO, min_score: float | None) -> Iterator[LabelledImage]:
    """All of a run in the order of their keys. What has no readable image is left out: it cannot have boxes."""
    table = PseudoTable if min_score is None else LabelTable
    for part in io.parts():
        if io.has_part(table.dataset, part):
            yield from _of_part(io, part, table.read_part(io, part).records(), min_score)


def _of_part(
    io: RunIO, part: int, rows: Sequence[LabelRow | PseudoRow], min_score: float | None
) -> Iterator[LabelledImage]:
    labels = {row.key: row for row in rows}
    boxes = {row.key: tuple(box for box in row.boxes if min_score is None or box.score > min_score) for row in rows}
    phrases = {row.key: row.phrases for row in PhraseTable.read_part(io, part).records()}
    pairs = [
        (pair, pair.image) for pair in PairTable.read_part(io, part).records() if pair.image and boxes.get(pair.key)
    ]
    for (pair, _), data in zip(pairs, io.image_bytes([image for _, image in pairs]), strict=True):
        if isinstance(data, RowError):
            continue
        key, row = pair.key, labels[pair.key]
        name = f"images/{key}.{sniff(data)}"
        yield LabelledImage(pair, row.width, row.height, phrases[key], boxes[key], data, name)


class Exporter:
    """One way of writing a run: `begin`, `write` for each labelled image, `end`."""

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
        """Counts of images, boxes and files. Raises UserError for a run without labels."""
        dataset = "pseudo" if self.min_score is None else "labels"
        if not any(self.io.has_part(dataset, part) for part in self.io.parts()):
            stage = "filter" if self.min_score is None else "label"
            raise UserError(f"export: the run has no {dataset} yet; run `phrasebox {stage}` first")
        with self._open:
            self.begin()
            for image in labelled_images(self.io, self.min_score):
                self.write(image)
                self.done["images"] += 1
                self.done["boxes"] += len(image.boxes)
                if self.images:
                    self._copy_image(image)
            self.end()
        return dict(self.done)

    def begin(self) -> None:
        """Open what is written to all the time."""

    def write(self, image: LabelledImage) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Write what is known only now."""

    def _copy_image(self, image: LabelledImage) -> None:
        with self.create(image.file_name) as file:
            file.write(image.data)
