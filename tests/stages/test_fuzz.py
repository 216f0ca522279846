"""Random damage: readers either say what is wrong in the project's own terms, or come through with storable rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from schemas.config import IngestConfig
from schemas.reasons import REJECTED
from stages.images import decode_rgb, inspect
from stages.ingest import delimited, json_lines, sniff
from stages.ingest.samples import index_tar
from stages.ingest.tar import Damage, scan
from stages.ingest.text import check_caption, storable
from stages.json_stream import stream
from stages.stage import RowError, UserError
from tests.stages import image_files
from tests.stages.image_files import image_file
from tests.stages.tars import sample, tar

bounded = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
WHOLE = tar(*sample("0"), *sample("1"), ("2.txt", b"x" * 700))
IMAGES = [
    image_file(),
    image_file("PNG"),
    image_file("WEBP"),
    image_file(orientation=5),
    image_file("PNG", "P"),
    image_files.grey16(9),
]
TABLE = b'caption,url\n"a ""quoted""\nline",http://x\nplain,http://y\n'
LINES = b'{"caption": "a dog", "image": null}\n{"caption": "\\u00fc", "x": [1, {}]}\n'
COCO = json.dumps({"images": [{"id": 1}], "annotations": [{"caption": "ü"}, {"a": []}], "n": 1}).encode()


@st.composite
def damaged(draw: Callable[[st.SearchStrategy[Any]], Any], whole: bytes) -> bytes:
    """A few stretches overwritten, removed, doubled or swapped for noise."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 40) | st.integers(0, 2000)))
        noise = draw(
            st.binary(max_size=40) | st.sampled_from([b"", b"\0" * 512, b"\xff" * 12, bytes(data[start:stop]) * 2])
        )
        data[start:stop] = noise
    return bytes(data)


@bounded
@given(damaged(WHOLE) | st.binary(max_size=2000))
def test_tars(data: bytes) -> None:
    end = len(data)
    entries = list(scan(io.BytesIO(data)))
    places = [entry.offset for entry in entries]
    assert places == sorted(set(places))
    for entry in entries:
        if isinstance(entry, Damage):
            assert 0 < entry.length <= end - entry.offset
        else:
            assert 0 <= entry.offset <= entry.offset + entry.size <= end or entry.error is not None
            assert entry.error is None or entry.error.reason in REJECTED
    index = index_tar(io.BytesIO(data))
    assert sum(isinstance(entry, Damage) for entry in entries) == len(index.damaged)
    for found in index.samples:
        for read in (found.image, lambda s=found: s.text(io.BytesIO(data)), lambda s=found: s.json(io.BytesIO(data))):
            try:
                read()
            except RowError as error:
                assert error.reason in REJECTED


@bounded
@given(st.sampled_from(IMAGES).flatmap(damaged) | st.binary(max_size=300))
def test_images(data: bytes) -> None:
    try:
        info = inspect(data, 1 << 20)
    except RowError as error:
        assert error.reason in REJECTED
        return
    try:
        image = decode_rgb(data, 1 << 20)
    except RowError as error:
        assert error.reason in REJECTED
    else:
        assert image.shape == (info.height, info.width, 3)


@bounded
@given(st.text() | st.binary() | st.none() | st.floats() | st.integers() | st.lists(st.text()))
def test_captions(value: object) -> None:
    try:
        caption = check_caption(value, 50)
    except RowError as error:
        assert error.reason in REJECTED
    else:
        assert pa.array([caption], pa.string()).to_pylist() == [caption]
    text = storable(value)
    assert pa.array([text], pa.string()).to_pylist() == [text]


def in_pieces(data: bytes, lengths: Iterator[int], read: Callable[[BinaryIO], Iterable[Any]]) -> list[Any]:
    """The records once more, each read from its own offset."""
    found, offset = [], 0
    for length in lengths:
        file = io.BytesIO(data)
        file.seek(offset)
        found.append(next(iter(read(file))))
        offset += length
    return found


def plain(records: Iterable[Any]) -> list[Any]:
    return [record.reason if isinstance(record, RowError) else repr(record) for record in records]


@bounded
@given(damaged(TABLE) | st.binary(max_size=200) | st.text('",\n\r ab').map(str.encode))
def test_tables(data: bytes) -> None:
    try:
        dialect, _, start = sniff.detect(io.BytesIO(data), "a.csv", IngestConfig())
    except UserError:
        return
    rest = data[start:]
    records = list(delimited.read(io.BytesIO(rest), dialect))
    lengths = list(delimited.lengths(io.BytesIO(rest), dialect))
    assert len(lengths) == len(records) and sum(lengths) <= len(rest)
    assert plain(in_pieces(rest, lengths, lambda file: delimited.read(file, dialect))) == plain(records)


CAPTIONS = st.lists(st.text('ab ,;|\t"\n.#', max_size=12), min_size=1, max_size=12)


def captions_in(text: str) -> list[object] | None:
    """As ingest understands the table; None where it asks."""
    file = io.BytesIO(text.encode())
    try:
        dialect, columns, start = sniff.detect(file, "a.csv", IngestConfig())
    except UserError:
        return None
    file.seek(start)
    records = delimited.read(file, dialect)
    return [record if isinstance(record, RowError) else record[columns.caption] for record in records]


@bounded
@given(CAPTIONS, st.sampled_from("\t,;|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.booleans())
def test_what_csv_writes_comes_back_or_is_asked_for(captions: Any, sep: str, quoting: Any, header: Any) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=sep, quoting=quoting, lineterminator="\n")
    rows = [[f"http://x/{number}.jpg", caption] for number, caption in enumerate(captions)]
    writer.writerows([["url", "caption"], *rows] if header else rows)
    assert captions_in(buffer.getvalue()) in (None, captions)


@bounded
@given(CAPTIONS)
def test_a_table_without_quoting_comes_back_or_is_asked_for(captions: Any) -> None:
    plain = [caption.translate(str.maketrans("\t\n", "  ")).replace('""', '"') for caption in captions]
    assume(not any('""' in caption for caption in plain))  # as CSV writes one
    text = "".join(f"{caption}\thttp://x/{number}.jpg\n" for number, caption in enumerate(plain))
    assert captions_in(text) in (None, plain)


@bounded
@given(damaged(LINES) | st.binary(max_size=200))
def test_json_lines(data: bytes) -> None:
    records = list(json_lines.read(io.BytesIO(data)))
    lengths = list(json_lines.lengths(io.BytesIO(data)))
    assert len(lengths) == len(records)
    assert plain(in_pieces(data, lengths, json_lines.read)) == plain(records)


@bounded
@given(damaged(COCO) | st.binary(max_size=200))
def test_json_streams(data: bytes) -> None:
    try:
        found = [(element.array, element.value) for element in stream(io.BytesIO(data))]
    except ValueError:
        return
    # What is streamed without complaint is what Python's reader finds, as far as it reads at all.
    try:
        whole = json.loads(data.decode("utf-8-sig"))
    except ValueError:
        return
    lists = [(key, entry) for key, value in whole.items() if isinstance(value, list) for entry in value]
    assert len(found) != len(lists) or repr(found) == repr(lists)  # a repeated key counts once there
