"""`phrasebox explain`: the story of one pair, stage by stage. What `show` shows, this gives the reasons for."""

from __future__ import annotations

import tarfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import ALL
from schemas.records import part_of, row_of
from schemas.rows import Box, Corners, Curation, LabelRow, PseudoRow
from schemas.tables import CurationTable, LabelTable, MaskTable, PhraseTable, PseudoTable, RejectTable, TableView
from stages.inspect.show import draw, plain
from stages.label.several import folder_of, other_names
from stages.masks import select
from stages.sample_images import SampleImage, ShownBox, read_samples, rounded, shown
from stages.stage import RowError, RunIO, Slice, UserError

if TYPE_CHECKING:
    from schemas.config import Config

Row = TypeVar("Row")
View = TypeVar("View", bound=TableView[Any])

DRAWN = 12  # of the boxes that are left out, the best are in the image
MASK_RULE = "mask_box_gap"  # takes out boxes behind the filter


@dataclass(frozen=True)
class Explained:
    """`png` is None where there is no image to draw on; `lines` then says why."""

    lines: list[str]
    png: bytes | None


def explain(io: RunIO, config: Config, key: str, piece: Slice | None, stages: Sequence[str]) -> Explained:
    """`piece`: the share of the source that the key's part is; `stages`: the names of all stages, for their rejects.

    Raises UserError for a key that the run never had.
    """
    if not (key.isascii() and key.isdigit() and len(key) == 12):
        raise UserError(f"explain: {key!r} is no key; keys are 12 digits, as in the shards and the report")
    part = part_of(key)
    samples = read_samples(io, part, [key]) if part in io.parts() and io.has_part("pairs", part) else []
    rejected = list(_rejects(io, key, stages))
    if not samples and not rejected:
        raise UserError(f"explain: the run has no pair {key}; it is of another run, or the source has no such row")
    ends = [f"{stage:8} rejected: {_reason(reason)}{detail}" for stage, reason, detail in rejected]
    if not samples:
        return Explained([key, *_source(key, piece), *ends], None)
    sample = _with_mask_rule(io, config, samples[0])
    story = _story(io, config, sample, {stage for stage, *_ in rejected})
    png, missing = _drawing(io, sample, config.ingest.max_pixels)
    return Explained([key, *_source(key, piece), *story, *ends, *missing], png)


def _story(io: RunIO, config: Config, sample: SampleImage, rejected: Container[str]) -> Iterator[str]:
    """What each stage has made of the pair, up to the one behind which it is not there. `rejected`: the stages that
    rejected it."""
    yield from _ingest(sample)
    curated = _records(_own(io, CurationTable, sample.key))
    yield from map(_curation, curated)
    if not all(row.keep for row in curated) or "phrases" in rejected:
        return
    yield from _phrases(io, sample)
    if "label" in rejected:
        return
    yield from _labels(io, sample)
    if sample.pair.image is None and not _own(io, LabelTable, sample.key):
        return
    yield from [*_other_labels(io, config, sample), *_rescore(sample), *_filter(io, sample), *_mask(sample)]
    if "shard" not in rejected:
        yield from _shard(io, config, sample)


def _with_mask_rule(io: RunIO, config: Config, sample: SampleImage) -> SampleImage:
    """With the reason of boxes that the filter keeps, and shards and exports leave out because of their masks."""
    limit, pseudo = config.filter.max_mask_box_gap, _own(io, PseudoTable, sample.key)
    if limit >= 1.0 or not pseudo:
        return sample
    stays = select(pseudo, _own(io, MaskTable, sample.key), limit).stays.tolist()
    (row,) = pseudo.records()
    out = {shown(box, "")[:3] for box, stay in zip(row.boxes, stays, strict=True) if not stay}
    boxes = (box._replace(reason=MASK_RULE) if not box.reason and box[:3] in out else box for box in sample.boxes)
    return replace(sample, boxes=tuple(boxes))


def _own(io: RunIO, view: type[View], key: str, folder: str = "") -> View | None:
    """The rows of a key, none or one, in a dataset (of the view, or in a folder); None where the part is not made."""
    dataset = folder or view.dataset
    if not io.has_part(dataset, part_of(key)):
        return None
    table = io.read_part(dataset, part_of(key))
    return view(table.filter(pc.equal(table["key"], key)))


def _records(table: TableView[Row] | None) -> list[Row]:
    return [] if table is None else table.records()


def _source(key: str, piece: Slice | None) -> Iterator[str]:
    if piece is not None and piece.uri:
        unit = "pair" if "row" in piece.extra else "row"  # rows of several captions: `ingest` names the row below
        rows = f"{unit} {piece.start + row_of(key):,}" if piece.unit == "rows" else f"row {row_of(key):,} of a stretch"
        yield f"source   {plain(piece.uri)}, {rows} (part {part_of(key)})"


def _ingest(sample: SampleImage) -> Iterator[str]:
    pair = sample.pair
    yield f"ingest   {plain(pair.source_id)}: {plain(pair.caption)}"
    if pair.image is None:
        yield "         a caption without an image"
        return
    span = f", bytes {pair.image.offset:,} to {pair.image.offset + pair.image.length:,}"
    place = plain(pair.image.uri) + (span if pair.image.offset >= 0 else "")
    yield f"         {place}: {pair.width} x {pair.height} pixels, orientation {pair.orientation}"


def _curation(row: Curation) -> str:
    of = f" of {plain(row.duplicate_of)}" if row.duplicate_of else ""
    return "curate   kept" if row.keep else f"curate   set aside: {_reason(row.reason or '')}{of}"


def _phrases(io: RunIO, sample: SampleImage) -> Iterator[str]:
    table = _own(io, PhraseTable, sample.key)
    if not table:
        yield "phrases  not made yet"
        return
    yield f"phrases  {len(sample.phrases)} taken, {len(sample.dropped)} left out"
    (spans,) = table.expression_rows()
    grown = [sample.pair.caption[span.start : span.end] for span in spans]
    for i, phrase in enumerate(sample.phrases):
        line = f"         {i}: {plain(phrase.text)!r} [{phrase.start}, {phrase.end}), counted as {plain(phrase.norm)!r}"
        yield line + (f", grown to {plain(grown[i])!r}" if i < len(grown) and grown[i] != phrase.text else "")
    for span in sample.dropped:
        text = plain(sample.pair.caption[span.start : span.end])
        yield f"         left out: {text!r} [{span.start}, {span.end}): {_reason(span.reason)}"


def _labels(io: RunIO, sample: SampleImage) -> Iterator[str]:
    table = _own(io, LabelTable, sample.key)
    if not table:
        without = table is not None and sample.pair.image is None
        yield f"label    set aside: {_reason('no_image')}" if without else "label    not made yet"
        return
    (row,) = table.records()
    yield f"label    {len(row.boxes)} boxes at or above the score floor"
    found = {box.phrase for box in row.boxes}
    for i, phrase in enumerate(sample.phrases):
        if i in sample.ungrounded:
            yield _not_asked(sample, i, sample.ungrounded[i])
        elif i not in found:
            yield f"         {i}: {plain(phrase.text)!r} got no box at or above the score floor"


def _not_asked(sample: SampleImage, phrase: int, reason: str) -> str:
    return f"         {phrase}: {plain(sample.phrases[phrase].text)!r} was not asked for: {_reason(reason)}"


def _other_labels(io: RunIO, config: Config, sample: SampleImage) -> Iterator[str]:
    """What further teachers found, whom the filter hears for `agree`."""
    for name in other_names(config.label):
        for row in _records(_own(io, LabelTable, sample.key, folder_of(name))):
            yield f"label    {name}, another teacher, has {len(row.boxes)} boxes"
            for box in sorted(row.boxes, key=lambda box: -box.score):
                yield _box(sample, box.phrase, box.corners, box.score)
            for entry in row.dropped:
                yield _not_asked(sample, entry.phrase, entry.reason)


def _filter(io: RunIO, sample: SampleImage) -> Iterator[str]:
    pseudo, labels = (_records(_own(io, view, sample.key)) for view in (PseudoTable, LabelTable))
    if not (pseudo and labels):
        yield "filter   not made yet"
        return
    before = _before(labels[0], pseudo[0])
    kept = sum(box.reason in ("", MASK_RULE) for box in sample.boxes)
    yield f"filter   {kept} boxes kept, {len(sample.boxes) - kept} taken out"
    for box in sample.boxes:
        why = _reason(box.reason) if box.reason else "kept"
        given = _given(sample, box, before.get(box[:3]))
        yield f"{_box(sample, box.phrase, box.corners, box.score)}{_crop(sample, box)}{given}  {why}"


def _before(labels: LabelRow, pseudo: PseudoRow) -> dict[tuple[Any, ...], Box]:
    """The teacher's own boxes, by phrase, corners and score of what the filter has made of them; none where the labels
    are newer."""
    out = {entry.box for entry in pseudo.dropped}
    kept = [box for i, box in enumerate(labels.boxes) if i not in out]
    return dict(zip((shown(box, "")[:3] for box in pseudo.boxes), kept)) if len(kept) == len(pseudo.boxes) else {}


def _given(sample: SampleImage, box: ShownBox, old: Box | None) -> str:
    """What the teacher said of a box to which the filter has given another phrase or score."""
    if old is None or (old.phrase, round(old.score, 4)) == (box.phrase, box.score):
        return ""
    phrase = "" if old.phrase == box.phrase else f" as {plain(sample.phrases[old.phrase].text)!r}"
    return f"  from the teacher {old.score:.3f}{phrase}"


def _box(sample: SampleImage, phrase: int, corners: Corners, score: float) -> str:
    places = ", ".join(f"{side:g}" for side in rounded(corners))
    return f"         {score:.3f}  {phrase}: {plain(sample.phrases[phrase].text)}  [{places}]"


def _rescore(sample: SampleImage) -> Iterator[str]:
    if sample.fit is not None:
        scored = sum(box.crop is not None for box in sample.boxes)
        yield f"rescore  cosine of image and caption {sample.fit:.3f}; {scored} crops scored, beside their boxes below"


def _crop(sample: SampleImage, box: ShownBox) -> str:
    """What rescore says of a box."""
    if box.crop is None:
        return ""
    better = ""
    if box.better is not None:
        phrase, cosine = box.better
        better = f", as {plain(sample.phrases[phrase].text)!r} {cosine:.3f}"
    return f"  crop {box.crop:.3f}{better}"


def _mask(sample: SampleImage) -> Iterator[str]:
    masks = sum(box.mask is not None for box in sample.boxes)
    if masks:
        yield f"mask     {masks} boxes cut out"


def _shard(io: RunIO, config: Config, sample: SampleImage) -> Iterator[str]:
    """The shard that has the pair, found by the names in the tars."""
    own = [path for path in io.files("shards") if path.startswith(f"shards/{part_of(sample.key):07d}-")]
    if not own:
        yield "shard    not made yet, or no pair of this part has a box"
        return
    name = f"{config.corpus}-{sample.key}.json"
    for path in own:
        with io.open(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            if any(member.name == name for member in tar):
                yield f"shard    {path}, as {config.corpus}-{sample.key}"
                return
    if any(not box.reason for box in sample.boxes):
        yield "shard    in no shard of its part, which are older than its boxes; run `phrasebox shard`"
    else:
        yield f"shard    set aside: {_reason('no_boxes')}"


def _rejects(io: RunIO, key: str, stages: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(stage, reason, detail) of each stage that rejected the key."""
    for stage in stages:
        dataset = f"rejects/{stage}"
        if io.has_part(dataset, part_of(key)):
            table = RejectTable(io.read_part(dataset, part_of(key)))
            for row in RejectTable(table.table.filter(pc.is_in(table.key, pa.array([key])))).records():
                yield stage, row.reason, f" ({plain(row.detail)})" if row.detail else ""


def _drawing(io: RunIO, sample: SampleImage, max_pixels: int) -> tuple[bytes | None, list[str]]:
    """A PNG with the kept boxes and the best of the others; where there is none, a line that says why."""
    kept = [box for box in sample.boxes if not box.reason]
    others: list[ShownBox] = [box for box in sample.boxes if box.reason][:DRAWN]
    try:
        if sample.pair.image is None:
            raise RowError("no_image")
        data = next(iter(io.image_bytes([sample.pair.image])))
        if isinstance(data, RowError):
            raise data
        return draw(sample, [*kept, *others], data, max_pixels), []
    except RowError as error:
        return None, [f"image    none: {_reason(error.reason)}"]


def _reason(code: str) -> str:
    """The code with its meaning."""
    return f"{code}, {ALL[code]}" if code in ALL else code
