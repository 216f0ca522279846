"""Tars that tarfile reads, whose bytes depend on their members alone."""

from __future__ import annotations

import hashlib
import io
import tarfile

from stages.tar_writer import TarWriter

MEMBERS = {"a.jpg": b"\xff\xd8" * 300, "a.json": b"{}", "empty.txt": b"", "block.bin": bytes(512)}


def written() -> tuple[bytes, dict[str, int], str, int]:
    file = io.BytesIO()
    writer = TarWriter(file)
    offsets = {name: writer.add(name, data) for name, data in MEMBERS.items()}
    digest = writer.finish()
    return file.getvalue(), offsets, digest, writer.size


def test_tarfile_reads_what_was_written() -> None:
    data, offsets, digest, size = written()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        assert all((member.mtime, member.uid, member.uname, member.mode) == (0, 0, "", 0o644) for member in tar)
    assert found == MEMBERS and list(found) == list(MEMBERS)
    assert {name: data[at : at + len(MEMBERS[name])] for name, at in offsets.items()} == MEMBERS
    assert digest == hashlib.sha256(data).hexdigest() and size == len(data)


def test_the_same_members_give_the_same_bytes() -> None:
    assert written() == written()
