"""Members of a tar, whole, cut off or damaged."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from stages.ingest.tar import Damage, Member, scan, unpacked
from tests.stages.tars import member, tar, with_size


def members(data: Any) -> Any:
    return list(scan(io.BytesIO(data)))


def names(data: Any) -> Any:
    return [entry.name if isinstance(entry, Member) else "?" for entry in members(data)]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_finds_what_tarfile_finds(format: int) -> None:
    buffer = io.BytesIO()
    long_name = "d/" * 70 + "x" * 90 + ".jpg"
    with tarfile.open(fileobj=buffer, mode="w", format=format) as written:
        for name, size in [("a.jpg", 700), ("b.txt", 0), ("c.json", 512), (long_name, 3), ("ü/日本.jpg", 9)]:
            if format == tarfile.USTAR_FORMAT and len(name) > 100:
                name = "p" * 90 + "/" + "q" * 60 + ".jpg"
            info = tarfile.TarInfo(name)
            info.size = size
            written.addfile(info, io.BytesIO(bytes(size)))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        written.addfile(folder)
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as opened:
        expected = [(info.name, info.offset_data, info.size) for info in opened if info.isfile()]
    assert [(m.name, m.offset, m.size) for m in members(buffer.getvalue())] == expected


def test_every_cut_of_a_tar_gives_its_whole_members() -> None:
    data = tar(("a.jpg", b"1" * 600), ("b.jpg", b"2" * 100), ("c.jpg", b"3" * 513))
    whole = members(data)
    for length in range(len(data)):
        found = members(data[:length])
        good = [entry for entry in found if isinstance(entry, Member) and entry.error is None]
        assert good == [entry for entry in whole if entry.offset + entry.size <= length and entry.offset <= length]
        bad = [entry for entry in found if entry not in good]
        assert len(bad) <= 1
        assert all(isinstance(entry, Damage) or entry.error.reason == "truncated_source" for entry in bad)


def test_reading_goes_on_after_a_damaged_header() -> None:
    middle = bytearray(member("b.jpg", b"2" * 600))
    middle[0] ^= 1
    first = member("a.jpg", b"1")
    data = first + bytes(middle) + tar(("c.jpg", b"3"))
    assert names(data) == ["a.jpg", "?", "c.jpg"]
    assert members(data)[1] == Damage(len(first), len(middle))


@pytest.mark.parametrize(
    "size",
    [b"77777777777\0", b"\x80" + b"\x7f" * 11, b"\xff" * 11 + b"\x01", b"\x80" + bytes(3) + b"\x40" + bytes(7)],
)
def test_a_lying_size_costs_its_member_alone(size: Any) -> None:
    data = member("a.jpg", b"1") + with_size(member("b.jpg", b"2" * 600), size) + tar(("c.jpg", b"3"))
    found = members(data)
    assert [entry.name for entry in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [entry.error and entry.error.reason for entry in found] == [None, "unsafe_member", None]


@pytest.mark.parametrize(
    "odd",
    [
        member("b.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("b.jpg", type=tarfile.LNKTYPE, linkname="a.jpg"),
        member("b.jpg", type=tarfile.CHRTYPE),
        member("b.jpg", type=tarfile.FIFOTYPE),
        member("b.jpg", b"x", type=tarfile.GNUTYPE_SPARSE),
        member("b.jpg", b"x", tarfile.PAX_FORMAT, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.name": "b"}),
        member("b.jpg", b"x", type=b"V"),
    ],
)
def test_links_devices_and_sparse_files_are_unsafe(odd: Any) -> None:
    found = members(member("a.jpg", b"1") + odd + tar(("c.jpg", b"3")))
    assert [(entry.name, entry.error and entry.error.reason) for entry in found] == [
        ("a.jpg", None),
        ("b.jpg", "unsafe_member"),
        ("c.jpg", None),
    ]


@pytest.mark.parametrize(
    "extension",
    [
        b"",
        b"no records at all",
        b"99999999 path=x\n",
        b"-5 path=x\n",
        b"9 path=\n",
        b"12 size=-1\n\n",
        b"\xff\xfe 1",
        b"9" * 600,
    ],
)
def test_odd_pax_headers_are_read_over(extension: Any) -> None:
    data = member("pax", extension, type=b"x") + tar(("a.jpg", b"1"), ("b.jpg", b"2"))
    assert [(entry.offset, entry.size) for entry in members(data)][-1] == (len(data) - 1024 - 512, 1)
    assert len(members(data)) == 2


def test_no_tar_at_all_is_one_damage() -> None:
    assert members(b"<html>" * 500) == [Damage(0, 3000)]
    assert members(b"") == members(bytes(10240)) == []


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_tars_are_unpacked_and_cut_where_they_are_damaged(mode: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as written:
        for i in range(40):
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = 4000
            written.addfile(info, io.BytesIO(bytes((i * j * j) % 251 for j in range(4000))))
    data = buffer.getvalue()
    with unpacked(io.BytesIO(data)) as (plain, packed):
        assert packed and len(list(scan(plain))) == 40
    with unpacked(io.BytesIO(data[: len(data) // 2])) as (plain, _):
        assert len(list(scan(plain))) < 40
