"""`phrasebox explain`: the story of one pair, stage by stage. What `show` shows, this gives the reasons for."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from schemas.reasons import ALL
from schemas.records import part_of, row_of
from schemas.tables import CurationTable, LabelTable, PhraseTable, PseudoTable, RejectTable
from stages.inspect.show import draw, plain
from stages.sample_images import SampleImage, ShownBox, read_samples
from stages.stage import RowError, RunIO, Slice, UserError

if TYPE_CHECKING:
    from schemas.config import Config

DRAWN = 12  # of the boxes that the filter took out, the best are in the image


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
    lines = [key, *_source(key, piece, samples)]
    if samples:
        lines += [*_curation(io, key), *_phrases(io, samples[0]), *_labels(io, samples[0]), *_rescore(samples[0])]
        lines += [*_filter(io, samples[0]), *_mask(samples[0]), *_shard(io, config, samples[0])]
    lines += [f"{stage:8} rejected: {_reason(reason)}{detail}" for stage, reason, detail in rejected]
    if not samples:
        return Explained(lines, None)
    png, missing = _drawing(io, samples[0], config.ingest.max_pixels)
    return Explained([*lines, *missing], png)


def _source(key: str, piece: Slice | None, samples: Sequence[SampleImage]) -> Iterator[str]:
    if piece is not None and piece.uri:
        rows = f"row {piece.start + row_of(key):,}" if piece.unit == "rows" else f"row {row_of(key):,} of a stretch"
        yield f"source   {plain(piece.uri)}, {rows} (part {part_of(key)})"
    for sample in samples:
        pair = sample.pair
        yield f"ingest   {plain(pair.source_id)}: {plain(pair.caption)}"
        if pair.image is not None:
            span = f", bytes {pair.image.offset:,} to {pair.image.offset + pair.image.length:,}"
            place = plain(pair.image.uri) + (span if pair.image.offset >= 0 else "")
            yield f"         {place}: {pair.width} x {pair.height} pixels, orientation {pair.orientation}"
        else:
            yield "         a caption without an image"


def _curation(io: RunIO, key: str) -> Iterator[str]:
    if io.has_part(CurationTable.dataset, part_of(key)):
        table = CurationTable.read_part(io, part_of(key))
        for row in CurationTable(table.table.filter(pc.equal(table.key, key))).records():
            of = f" of {plain(row.duplicate_of)}" if row.duplicate_of else ""
            yield "curate   kept" if row.keep else f"curate   set aside: {_reason(row.reason or '')}{of}"


def _phrases(io: RunIO, sample: SampleImage) -> Iterator[str]:
    if not io.has_part(PhraseTable.dataset, part_of(sample.key)):
        yield "phrases  not made yet"
        return
    yield f"phrases  {len(sample.phrases)} taken, {len(sample.dropped)} left out"
    for i, phrase in enumerate(sample.phrases):
        yield f"         {i}: {plain(phrase.text)!r} [{phrase.start}, {phrase.end}), counted as {plain(phrase.norm)!r}"
    for span in sample.dropped:
        text = plain(sample.pair.caption[span.start : span.end])
        yield f"         left out: {text!r} [{span.start}, {span.end}): {_reason(span.reason)}"


def _labels(io: RunIO, sample: SampleImage) -> Iterator[str]:
    if not io.has_part(LabelTable.dataset, part_of(sample.key)):
        yield "label    not made yet"
        return
    yield f"label    {len(sample.boxes)} boxes at or above the score floor"
    found = {box.phrase for box in sample.boxes}
    for i, phrase in enumerate(sample.phrases):
        if i in sample.ungrounded:
            yield f"         {i}: {plain(phrase.text)!r} was not asked for: {_reason(sample.ungrounded[i])}"
        elif i not in found:
            yield f"         {i}: {plain(phrase.text)!r} got no box at or above the score floor"


def _filter(io: RunIO, sample: SampleImage) -> Iterator[str]:
    if not io.has_part(PseudoTable.dataset, part_of(sample.key)):
        yield "filter   not made yet"
        return
    kept = sum(not box.reason for box in sample.boxes)
    yield f"filter   {kept} boxes kept, {len(sample.boxes) - kept} taken out"
    for box in sample.boxes:
        corners = ", ".join(f"{side:g}" for side in box.corners)
        why = _reason(box.reason) if box.reason else "kept"
        text = plain(sample.phrases[box.phrase].text)
        yield f"         {box.score:.3f}  {box.phrase}: {text}  [{corners}]{_crop(sample, box)}  {why}"


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
