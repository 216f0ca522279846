"""source -> pairs (and gold, images): every input row becomes a pair, or a reject with its reason.

Images are not decoded here: their headers are read, their structure is checked to the end, and their bytes hashed.
What only decoding can find is rejected by the label stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from schemas.records import make_key
from schemas.rows import GoldRow, Pair
from schemas.tables import GoldTable, PairTable
from stages.images import ImageInfo, inspect
from stages.ingest import sources, understood
from stages.ingest.categories import SUMMARIES, write_categories
from stages.ingest.gold import GoldCount
from stages.ingest.options import check_planned
from stages.ingest.row import Row
from stages.ingest.text import check_caption, storable, storable_or_none
from stages.stage import (
    Counts,
    Files,
    ImageRef,
    Output,
    PartIO,
    PartResult,
    PlannerStage,
    RowError,
    Slice,
    UserError,
    reject_rows,
)
from stages.tar_writer import TarWriter

if TYPE_CHECKING:
    from schemas.config import Config, IngestConfig

BATCH = 64  # rows whose images are in memory at a time


class IngestStage(PlannerStage):
    """The source file, its format and what is its own (split, seed, columns) enter by the slice."""

    name: ClassVar[str] = "ingest"
    version: ClassVar[int] = 2
    outputs: ClassVar[tuple[Output, ...]] = (Output("pairs"), Output("gold"), Output("images"), Output(SUMMARIES))
    depends_on: ClassVar[tuple[str, ...]] = ("ingest",)

    def __init__(self, config: Config) -> None:
        self.config = config.ingest
        self.unused: dict[str, int] = {}  # what of the source no row was made of, once it is planned

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        return sources.resolve(config.ingest)

    def plan(self, files: Files, part_size: int) -> list[Slice]:
        """All parts of the source, in its order, at most ingest.count rows together. Raises UserError."""
        format = sources.planned_format(self.config, files)
        source = sources.open_source(self.config, format)
        pieces = list(limit(sources.plan(source, format, files, part_size), self.config.count))
        if not pieces:
            raise UserError(f"ingest.source: {self.config.source} holds no rows")
        check_planned(self.config, pieces)
        self.unused = source.unused.counts()
        return pieces

    def understood(self, pieces: Sequence[Slice]) -> dict[str, Any]:
        """What was found out while planning and belongs in the config: {field: value}."""
        return understood.resolved(self.config, pieces)

    def describe(self, files: Files, pieces: Sequence[Slice]) -> Iterator[str]:
        """What was understood of the source, in lines for a person, with its first pairs."""
        return understood.described(self.config, files, pieces)

    def run_part(self, io: PartIO) -> PartResult:
        if io.slice is None:
            raise ValueError("ingest needs a slice of the source")
        part = _Part(io, self.config)
        rows = sources.rows(self.config, io, io.slice)
        with part:
            while batch := list(islice(rows, BATCH)):
                part.add(batch)
                io.progress(len(batch))
        check_rows(part.rows, io.slice)
        part.write()
        unused = part.boxes.unused()
        notes = part.boxes.notes() | ({"unused": unused} if unused else {})
        return PartResult(Counts(part.rows, len(part.pairs), len(part.rejected)), notes)


def check_rows(found: int, piece: Slice) -> None:
    """Raises ValueError where the source has given more or fewer rows than were planned."""
    planned = piece.stop - piece.start
    if found < planned or (found > planned and not piece.extra.get("open_end")):
        raise ValueError(f"{piece.uri}: {found} rows where {planned} were planned; the source changed, run again")


def limit(slices: Iterable[Slice], count: int | None) -> Iterator[Slice]:
    """The slices up to a number of rows; the last one is cut short, and what comes after it is never planned."""
    for piece in slices:
        if count is None:
            yield piece
            continue
        stop = min(piece.stop, piece.start + count)
        extra = {key: value for key, value in piece.extra.items() if key != "open_end" or stop < piece.start + count}
        yield replace(piece, stop=stop, extra=extra)
        count -= stop - piece.start
        if count == 0:
            return


class _Part(AbstractContextManager["_Part"]):
    """Pairs, gold and rejects of one part as they come in; the images that need a home go to its tar at once."""

    def __init__(self, io: PartIO, config: IngestConfig) -> None:
        self.io = io
        self.config = config
        self.rows = 0
        self.pairs: list[Pair] = []
        self.gold: list[GoldRow] = []
        self.rejected: list[tuple[str, str, RowError]] = []
        self.boxes = GoldCount(io.slice.extra.get("boxes_elsewhere", 0) if io.slice else 0)
        self.path = f"images/part-{io.part:07d}.tar"
        self.removed = frozenset(io.slice.extra.get("removed", ()) if io.slice else ())  # by source id, on request
        self._known: dict[ImageRef, ImageInfo | RowError] = {}  # several captions may share an image
        self._shared: tuple[bytes, ImageRef] | None = None  # the last image that went to the tar
        self._tar: TarWriter | None = None
        self._open = ExitStack()

    def __exit__(self, *exc_info: Any) -> bool | None:
        if self._tar is not None and exc_info[0] is None:
            self._tar.finish()
        return self._open.__exit__(*exc_info)

    def add(self, batch: list[Row]) -> None:
        for row, info in zip(batch, self._inspect(batch), strict=True):
            key = make_key(self.io.part, self.rows)
            self.rows += 1
            try:
                self._add_pair(key, row, info)
            except RowError as error:
                self.boxes.reject(row.gold)
                self.rejected.append((key, storable(row.source_id), RowError(error.reason, storable(error.detail))))

    def _add_pair(self, key: str, row: Row, info: ImageInfo | RowError | None) -> None:
        if row.error is not None:
            raise row.error
        if not self.removed.isdisjoint((storable(row.source_id), f"key:{key}")):
            raise RowError("removed")
        caption = check_caption(row.caption, self.config.max_caption_chars)
        if isinstance(info, RowError):
            raise info
        if info is not None and min(info.width, info.height) < self.config.min_image_side:
            raise RowError("image_too_small", f"{info.width} x {info.height} pixels")
        image = row.image
        if image is None and row.data is not None and info is not None:
            image = self._store(f"{key}.{info.format}", row.data)
        self.pairs.append(pair_row(key, row, caption, image, info))
        self.gold.append(self.boxes.row(key, row.gold, info, caption))

    def _inspect(self, batch: list[Row]) -> Iterator[ImageInfo | RowError | None]:
        """Of each row's image; None for a row without one. Images that are not at hand are read, each once per part."""
        wanted = dict.fromkeys(
            row.image
            for row in batch
            if row.image and row.data is None and not row.error and row.image not in self._known
        )
        refs = [ref for ref in wanted if ref is not None]
        for ref, data in zip(refs, self.io.image_bytes(refs), strict=True):
            self._known[ref] = data if isinstance(data, RowError) else self._header(data)
        for row in batch:
            if row.error is not None:
                yield None
            elif row.data is not None:
                yield self._header(row.data)
            else:
                yield self._known[row.image] if row.image is not None else None

    def _header(self, data: bytes) -> ImageInfo | RowError:
        try:
            return inspect(data, self.config.max_pixels)
        except RowError as error:
            return error

    def _store(self, name: str, data: bytes) -> ImageRef:
        if self._shared is not None and self._shared[0] is data:
            return self._shared[1]
        if self._tar is None:
            file: BinaryIO = self._open.enter_context(self.io.create(self.path))
            self._tar = TarWriter(file)
        ref = ImageRef(self.path, self._tar.add(name, data), len(data))
        self._shared = data, ref
        return ref

    def write(self) -> None:
        self.io.write(PairTable.dataset, PairTable.of_records(self.pairs).table)
        if self.boxes.seen:
            self.io.write(GoldTable.dataset, GoldTable.of_records(self.gold).table)
        if self.boxes.categories:
            write_categories(self.io, self.boxes.categories)
        self.io.write("rejects/ingest", reject_rows("ingest", self.rejected))


def pair_row(key: str, row: Row, caption: str, image: ImageRef | None, info: ImageInfo | None) -> Pair:
    return Pair(
        key=key,
        source_id=storable(row.source_id),
        caption=caption,
        image=image,
        width=info.width if info else None,
        height=info.height if info else None,
        orientation=info.orientation if info else None,
        sha256=info.sha256 if info else None,
        license=storable_or_none(row.license),
        url=storable_or_none(row.url),
    )
