"""The members of a tar as WebDataset samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from stages.ingest.tar import Damage, Member, scan
from stages.ingest.text import decode_text
from stages.stage import RowError

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")
# Taken as the image where there is none of the above, to be rejected by what it is.
OTHER_IMAGES = ("jpe", "jfif", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jxl", "jp2", "svg", "img")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TEXT_LIMIT = 1 << 22  # bytes
_JSON_LIMIT = 1 << 24
_KEY = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__(?:$|/)")


@dataclass
class Sample:
    """Members of one name, by suffix (lower case, everything after the first dot of the base name)."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    duplicate: bool = False

    def image(self) -> Member:
        """Raises RowError: missing_image."""
        member = self._find(IMAGE_SUFFIXES) or self._find(OTHER_IMAGES)
        if member is None:
            raise RowError("missing_image", f"the sample has only: {', '.join(sorted(self.members))[:200]}")
        if member.error is not None:
            raise member.error
        return member

    def _find(self, suffixes: tuple[str, ...]) -> Member | None:
        return next((self.members[suffix] for suffix in suffixes if suffix in self.members), None)

    def text(self, file: BinaryIO) -> str | None:
        """The .txt member, without a byte order mark and line end; None without one. Raises RowError."""
        member = self.members.get("txt") or self.members.get("caption")
        if member is None:
            return None
        if member.error is not None:
            raise member.error
        if member.size > _TEXT_LIMIT:
            raise RowError("caption_too_large", f"{member.size} bytes")
        return caption_of_file(_read(file, member))

    def json(self, file: BinaryIO) -> dict[str, Any]:
        """The .json member; empty without one. Raises RowError."""
        member = self.members.get("json")
        if member is None:
            return {}
        if member.error is not None:
            raise member.error
        if member.size > _JSON_LIMIT:
            raise RowError("bad_record", f"a JSON of {member.size} bytes")
        return parse_object(_read(file, member))


@dataclass
class TarIndex:
    samples: list[Sample]
    damaged: list[Damage]
    other_members: int  # files that belong to no sample

    @property
    def whole(self) -> bool:
        """Whether the tar can hold nothing that was not found."""
        members = (member for sample in self.samples for member in sample.members.values())
        return not self.damaged and not any(m.error and m.error.reason == "truncated_source" for m in members)


def index_tar(file: BinaryIO) -> TarIndex:
    """Groups members by WebDataset's rule, wherever in the tar they are; a repeated member begins a second sample.

    Where the rule throws many files into one sample because their names have dots (a.001.jpg, a.002.jpg), each of
    them that has an image and no plain image beside it becomes a sample of its own.
    """
    index = TarIndex([], [], 0)
    latest: dict[str, Sample] = {}
    for member in scan(file):
        if isinstance(member, Damage):
            index.damaged.append(member)
            continue
        name = split_name(member.name)
        if name is None:
            index.other_members += 1
            continue
        key, suffix = name
        sample = latest.get(key)
        if sample is None or suffix in sample.members:
            sample = latest[key] = Sample(key, duplicate=sample is not None)
            index.samples.append(sample)
        sample.members[suffix] = member
    index.samples = [part for sample in index.samples for part in _split_dotted(sample)]
    return index


def split_name(name: str) -> tuple[str, str] | None:
    """(key, suffix) of a member's name: its folder counts, and the suffix begins at the first dot of the base name."""
    match = _KEY.fullmatch(name)
    if match is None or _META.match(name):
        return None
    return match[1], match[2].lower()


def _split_dotted(sample: Sample) -> Iterator[Sample]:
    if any(suffix in sample.members for suffix in IMAGE_SUFFIXES + OTHER_IMAGES):
        yield sample
        return
    parts: dict[str, Sample] = {}
    for suffix, member in sample.members.items():
        stem, _, last = suffix.rpartition(".")
        part = parts.setdefault(stem, Sample(f"{sample.key}.{stem}" if stem else sample.key, {}, sample.duplicate))
        part.members[last] = member
    with_image = [part for part in parts.values() if any(s in part.members for s in IMAGE_SUFFIXES + OTHER_IMAGES)]
    yield from with_image or [sample]


def caption_of_file(data: bytes) -> str:
    """The text of a caption file: a byte order mark and the line end are the file's, the rest is the caption."""
    return decode_text(data.removeprefix(BYTE_ORDER_MARK)).rstrip("\r\n")


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Raises RowError: bad_record for what is no JSON object, or too deep; caption_not_text for what is not UTF-8."""
    try:
        value = json.loads(data if isinstance(data, str) else decode_text(data.removeprefix(BYTE_ORDER_MARK)))
    except (ValueError, RecursionError) as error:
        raise RowError("bad_record", f"no valid JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise RowError("bad_record", f"a JSON {type(value).__name__} where an object is expected")
    return value


def _read(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)
