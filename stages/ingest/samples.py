"""The members of a tar as WebDataset samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from stages.ingest.names import IMAGE_SUFFIXES, IMAGES, OTHER_IMAGES
from stages.ingest.tar import Damage, Member, scan_all
from stages.ingest.text import decode_text
from stages.stage import RowError

TEXTS = ("txt", "caption", "cap", "text")  # suffixes of captions
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TEXT_LIMIT = 1 << 22  # bytes
_JSON_LIMIT = 1 << 24
_KEY = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__(?:$|/)")


@dataclass(frozen=True)
class Places:
    """Where in a sample image and caption are: the suffix of a member, or for the caption a key of the .json; "" stands
    for the usual ones.
    """

    image: str = ""
    caption: str = ""

    @property
    def caption_suffix(self) -> str:
        return self.caption.lstrip(".").lower()

    @property
    def image_suffix(self) -> str:
        return self.image.lstrip(".").lower()

    def to_json(self) -> dict[str, str]:
        return {name: value for name, value in (("image", self.image), ("caption", self.caption)) if value}


@dataclass
class Sample:
    """Members of one name, by suffix (lower case, everything after the first dot of the base name)."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    duplicate: bool = False

    def image(self, places: Places = Places()) -> Member:
        """Raises RowError: missing_image."""
        wanted = (places.image_suffix,) if places.image else IMAGE_SUFFIXES
        member = self._find(wanted) or (self._find(OTHER_IMAGES) if not places.image else None)
        if member is None:
            raise RowError("missing_image", self.has_only())
        if member.error is not None:
            raise member.error
        return member

    def has_only(self) -> str:
        return f"the sample has only: {', '.join(sorted(self.members))[:200]}"

    def _find(self, suffixes: tuple[str, ...]) -> Member | None:
        return next((self.members[suffix] for suffix in suffixes if suffix in self.members), None)

    def text(self, file: BinaryIO, suffixes: tuple[str, ...] = TEXTS) -> str | None:
        """The .txt member, without a byte order mark and line end; None without one. Raises RowError."""
        member = self._find(suffixes)
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
    """`ended`: whether the tar has an end marker, so that nothing was cut off behind a whole member."""

    samples: list[Sample]
    damaged: list[Damage]
    strangers: list[str]  # files that belong to no sample
    ended: bool = False

    @property
    def whole(self) -> bool:
        """Whether the tar can hold nothing that was not found."""
        members = (member for sample in self.samples for member in sample.members.values())
        cut = any(member.error and member.error.reason == "truncated_source" for member in members)
        return self.ended and not self.damaged and not cut


def index_tar(file: BinaryIO, places: Places = Places()) -> TarIndex:
    """Groups members by WebDataset's rule, wherever in the tar they are; a repeated member begins a second sample.

    Where the rule throws many files into one sample because their names have dots (a.001.jpg, a.002.jpg), each of
    them that has an image and no plain image beside it becomes a sample of its own, unless `places` says otherwise.
    """
    index = group(file)
    index.samples = [part for sample in index.samples for part in _split_dotted(sample, places)]
    return index


def group(file: BinaryIO, limit: int | None = None) -> TarIndex:
    """As `index_tar`, but for names with dots. `limit`: so many members are looked at."""
    index = TarIndex([], [], [])
    latest: dict[str, Sample] = {}
    entries, index.ended = scan_all(file, limit)
    for member in entries:
        if isinstance(member, Damage):
            index.damaged.append(member)
            continue
        name = split_name(member.name)
        if name is None:
            index.strangers.append(member.name)
            continue
        key, suffix = name
        sample = latest.get(key)
        if sample is None or suffix in sample.members:
            sample = latest[key] = Sample(key, duplicate=sample is not None)
            index.samples.append(sample)
        sample.members[suffix] = member
    return index


def split_name(name: str) -> tuple[str, str] | None:
    """(key, suffix) of a member's name: its folder counts, and the suffix begins at the first dot of the base name."""
    match = _KEY.fullmatch(name)
    if match is None or _META.match(name):
        return None
    return match[1], match[2].lower()


def _split_dotted(sample: Sample, places: Places) -> Iterator[Sample]:
    if any(suffix in sample.members for suffix in (*IMAGES, places.image_suffix, places.caption_suffix)):
        yield sample
        return
    parts: dict[str, Sample] = {}
    for suffix, member in sample.members.items():
        stem, _, last = suffix.rpartition(".")
        part = parts.setdefault(stem, Sample(f"{sample.key}.{stem}" if stem else sample.key, {}, sample.duplicate))
        part.members[last] = member
    with_image = [part for part in parts.values() if any(s in part.members for s in IMAGES)]
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
