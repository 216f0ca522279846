"""What every export has in common: the labelled images of a run, part by part, and where their bytes go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from schemas.rows import Box, Mask, Pair, Phrase, Span
from schemas.tables import LabelTable, PairTable, PhraseTable, PseudoTable
from stages.export.rows import Row, kept_rows, labelled_rows
from stages.export.shared_images import SharedImages
from stages.images import sniff, upright_file
from stages.masks import segmentation
from stages.scores import image_score, region_score
from stages.stage import RowError, RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

Pictures = Literal["upright", "stored"]
Create = Callable[[str], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class Options:
    """What only some formats take; `Exporter.takes` names which."""

    seed: int = 0
    """Draws the prompts of conversations."""
    max_pixels: int = 28 * 28 * 16384
    """To which a model's processor resizes images; the default is that of Qwen2.5-VL's checkpoints."""
    categories: tuple[str, ...] = ()
    """The names of a closed detector's categories, in the order of their numbers; empty: whatever is found."""
    weights: str | None = None
    """A folder with a CLIP, for embeddings."""


@dataclass(frozen=True)
class LabelledImage:
    """A pair with at least one box, and its image.

    `number` counts the images from 1. Pairs that share an image have the same number and file name, and one of them is
    the first.
    """

    pair: Pair
    width: int
    height: int
    phrases: tuple[Phrase, ...]
    expressions: tuple[Span, ...]  # of each phrase; empty where the run has none
    boxes: tuple[Box, ...]
    data: bytes
    file_name: str  # images/KEY.jpg, .png or .webp, KEY being the first pair's
    number: int = 0
    shared: bool = False  # with other pairs of the run
    first: bool = True
    masks: Mapping[Box, Mask] = field(default_factory=dict)  # of the boxes that have one
    cosines: Mapping[Box, float] = field(default_factory=dict)  # of crops with their phrases, where rescore has them
    fit: float | None = None  # cosine of image and caption

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

    def segmentation(self, box: Box) -> dict[str, Any]:
        """{"segmentation": COCO's run lengths, in the frame of the boxes}; nothing for a box without a mask."""
        return segmentation(self.masks.get(box))

    def region_score(self, box: Box) -> dict[str, Any]:
        """{"region_score": cosine of the box's crop with its phrase}; nothing where rescore has none."""
        return region_score(self.cosines.get(box))

    @property
    def image_score(self) -> dict[str, Any]:
        """{"image_score": cosine of image and caption}; nothing where rescore has none."""
        return image_score(self.fit)

    def by_phrase(self) -> Iterator[tuple[Phrase, list[Box]]]:
        """Each phrase that has boxes, in the order of the phrases, with its boxes."""
        for i, phrase in enumerate(self.phrases):
            boxes = [box for box in self.boxes if box.phrase == i]
            if boxes:
                yield phrase, boxes


def labelled_images(
    io: RunIO,
    min_score: float | None,
    left_out: Counter[str] | None = None,
    max_mask_box_gap: float = 1.0,
    loose: Counter[str] | None = None,
) -> Iterator[LabelledImage]:
    """All of a run in the order of their keys, with the bytes of their images as stored.

    A pair whose image cannot be read any more is left out, and counted in `left_out` by the reason; in `loose`, boxes
    that are further from their masks than `max_mask_box_gap`.
    """
    left_out = Counter[str]() if left_out is None else left_out
    loose = Counter[str]() if loose is None else loose
    for part in io.parts():
        if min_score is not None and io.has_part(LabelTable.dataset, part):
            yield from _of_part(io, part, labelled_rows(io, part, min_score), left_out)
        elif min_score is None and io.has_part(PseudoTable.dataset, part):
            yield from _of_part(io, part, kept_rows(io, part, max_mask_box_gap, loose), left_out)


def _of_part(io: RunIO, part: int, rows: Mapping[str, Row], left_out: Counter[str]) -> Iterator[LabelledImage]:
    table = PhraseTable.read_part(io, part)
    phrases = {row.key: row.phrases for row in table.records()}
    expressions = dict(zip(phrases, table.expression_rows(), strict=True))
    pairs = [
        (pair, pair.image)
        for pair in PairTable.read_part(io, part).records()
        if pair.image and pair.key in rows and rows[pair.key].boxes
    ]
    for (pair, _), data in zip(pairs, io.image_bytes([image for _, image in pairs]), strict=True):
        if isinstance(data, RowError):
            left_out[data.reason] += 1
            continue
        key, row = pair.key, rows[pair.key]
        name = f"images/{key}.{sniff(data)}"
        size, own = (row.width, row.height), (phrases[key], expressions[key])
        more: dict[str, Any] = {"masks": row.masks, "cosines": row.cosines, "fit": row.fit}
        yield LabelledImage(pair, *size, *own, row.boxes, data, name, **more)


class Exporter:
    """One way of writing a run: `begin`, `write` for each labelled image, `end`."""

    shares_images: ClassVar[bool] = True  # pairs with the same image name one file; else each has its own
    images_inside: ClassVar[bool] = False  # in the written files, so that none are copied beside them
    takes: ClassVar[frozenset[str]] = frozenset()  # fields of Options that the format knows
    unreadable: ClassVar[str] = "at the edge"  # what boxes that cannot be read have in common

    def __init__(
        self,
        io: RunIO,
        create: Create,
        config: Config,
        min_score: float | None,
        images: bool,
        pictures: Pictures = "upright",
        options: Options = Options(),
    ) -> None:
        self.io = io
        self.config = config
        self.min_score = min_score
        self.images = images
        self.pictures = pictures
        self.options = options
        self.done: Counter[str] = Counter(images=0, boxes=0, files=0)
        self.pairs = 0  # written so far
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
        """How many images, boxes and files; captions, where images have several; what is left out, by the reason.

        Raises UserError for a run without labels.
        """
        dataset = "pseudo" if self.min_score is None else "labels"
        if not any(self.io.has_part(dataset, part) for part in self.io.parts()):
            stage = "filter" if self.min_score is None else "label"
            raise UserError(f"export: the run has no {dataset} yet; run `phrasebox {stage}` first")
        left_out, loose = Counter[str](), Counter[str]()
        gap = self.config.filter.max_mask_box_gap
        with self._open:
            self.begin()
            shared = SharedImages(self.io) if self.shares_images else None
            for image in labelled_images(self.io, self.min_score, left_out, gap, loose):
                try:
                    self._export(image, shared)
                except RowError as error:
                    left_out[error.reason] += 1
            self.end()
        if self.pairs != self.done["images"]:
            self.done["captions"] = self.pairs
        self.done.update({f"boxes left out ({reason})": number for reason, number in loose.items()})
        return dict(self.done) | {f"pairs left out ({reason})": number for reason, number in sorted(left_out.items())}

    def _export(self, image: LabelledImage, shared: SharedImages | None) -> None:
        image = self._without_unreadable(self._numbered(image, shared))
        if not image.boxes:
            return
        self.write(image)
        self.pairs += 1
        self.done["boxes"] += len(image.boxes)
        if image.first:
            self.done["images"] += 1
            if shared and image.shared:
                shared.add(image.pair, image.number)
            if self.images and not self.images_inside:
                self._copy_image(image)

    def _numbered(self, image: LabelledImage, shared: SharedImages | None) -> LabelledImage:
        """With its number and the name of its file; the first one of its image with the pixels that are asked for.

        Raises RowError for an image that has to be decoded and cannot be.
        """
        if shared and (known := shared.find(image.pair)):
            key, number = known
            name = image.file_name.replace(image.key, key)
            return replace(image, file_name=name, number=number, shared=True, first=False)
        data = image.data
        if self.pictures == "upright" and (self.images or self.images_inside):
            data = upright_file(data, image.width * image.height)
        several = shared is not None and shared.has_several(image.pair)
        return replace(image, data=data, number=self.done["images"] + 1, shared=several)

    def _without_unreadable(self, image: LabelledImage) -> LabelledImage:
        kept = tuple(box for box in image.boxes if self.can_be_read(box, image))
        self._leave_out(len(image.boxes) - len(kept), self.unreadable)
        return replace(image, boxes=kept)

    def _leave_out(self, boxes: int, why: str) -> None:
        if boxes:
            self.done[f"boxes left out ({why})"] += boxes

    def begin(self) -> None:
        """Open what is written to all the time."""

    def can_be_read(self, box: Box, image: LabelledImage) -> bool:
        """Whether the format's readers keep the box; one that they drop may cost them more than the box."""
        return True

    def write(self, image: LabelledImage) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Write what is known only now."""

    def _copy_image(self, image: LabelledImage) -> None:
        with self.create(image.file_name) as file:
            file.write(image.data)
