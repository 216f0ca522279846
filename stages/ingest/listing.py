"""From a source's path to its files, and from files to slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stages.ingest.names import base_name, suffix_of
from stages.stage import Files, Slice, SourceFile, UserError

_AT_ONCE = 16  # files looked at together while planning


class Unclear(UserError):
    """Which column is meant? Only the user knows; every other file that cannot be read is a reject among the others."""


class Unused:
    """What lies in a source and nothing is made of: files, columns of tables, members of samples."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.columns: set[str] = set()
        self.members: set[str] = set()  # suffixes

    def counts(self) -> dict[str, int]:
        """How many there are, by what they are."""
        names = sorted(map(base_name, self.files))
        suffixes = sorted({f".{suffix_of(name)}" if "." in name else "without a suffix" for name in names})
        found = [
            ("file", "files", names, names if len(names) <= 3 else suffixes),
            ("column", "columns", self.columns, sorted(self.columns)),
            ("kind of member", "kinds of members", self.members, sorted(self.members)),
        ]
        return {
            f"{one if len(those) == 1 else many} ({_some(shown)})": len(those)
            for one, many, those, shown in found
            if those
        }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def list_files(files: Files, uri: str, option: str = "ingest.source") -> list[SourceFile]:
    """A file, or the files below a folder but hidden ones, sorted. Raises UserError where there is nothing."""
    try:
        found = files.list_source(uri)
    except FileNotFoundError:
        raise UserError(f"{option}: there is no file or folder {uri}") from None
    start = len(uri.rstrip("/"))
    return [file for file in found if not any(_hidden(step) for step in file.uri[start:].split("/"))]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def cut(
    file: SourceFile, rows: int, part_size: int, extra: Mapping[str, Any], offsets: Sequence[int] = ()
) -> list[Slice]:
    """The slices of a file of so many rows; `offsets`: where in the file each of them begins, if that is known."""
    starts = range(0, rows, part_size)
    at = [{"offset": offset} for offset in offsets] if offsets else [{}] * len(starts)
    return [
        Slice(file.uri, start, min(start + part_size, rows), size=file.size, extra={**extra, **where})
        for start, where in zip(starts, at, strict=True)
    ]


def cut_records(
    file: SourceFile, records: Iterable[tuple[int, int]], part_size: int, extra: Mapping[str, Any], many: bool = False
) -> list[Slice]:
    """The slices of a file of records: where each begins, in bytes, and how many pairs it has.

    A record of several pairs (`many`) may be cut: then a slice begins in the record `row`, of which it leaves out the
    first `skip` pairs, and ends before the record `last`.
    """
    begins: list[tuple[int, int, int]] = []  # offset, row, skip of each slice
    ends: list[int] = []
    pairs = row = 0
    for row, (offset, number) in enumerate(records):
        while (start := len(begins) * part_size) < pairs + number:
            ends += [row + (start > pairs)] if begins else []
            begins.append((offset, row, start - pairs))
        pairs += number
    pieces = []
    for number, ((offset, first, skip), last) in enumerate(zip(begins, [*ends, row + 1])):
        rows = {"row": first, "skip": skip, "last": last} if many else {}
        start = number * part_size
        stop = min(start + part_size, pairs)
        pieces.append(Slice(file.uri, start, stop, size=file.size, extra={**extra, "offset": offset, **rows}))
    return pieces


def offsets(lengths: Iterable[int], offset: int = 0) -> Iterator[tuple[int, int]]:
    """For `cut_records`: records of one pair each and of these lengths in bytes, the first of which is at `offset`."""
    for length in lengths:
        yield offset, 1
        offset += length


def plan_files(found: Iterable[SourceFile], plan_file: Callable[[SourceFile], list[Slice]]) -> Iterator[Slice]:
    """The slices of all files in order. A file that cannot be planned is one row, to be rejected with what is wrong.

    Raises UserError, that of the first file, where it is so with every file; and Unclear.
    """
    first: UserError | None = None
    planned = False
    pending = list(found)
    with ThreadPoolExecutor(4) as pool:  # planning mostly waits for storage
        for start in range(0, len(pending), _AT_ONCE):
            window = pending[start : start + _AT_ONCE]
            for file, result in zip(window, pool.map(_caught(plan_file), window)):
                if isinstance(result, Unclear):
                    raise result
                if isinstance(result, UserError):
                    first = first or result
                    yield Slice(file.uri, 0, 1, size=file.size, extra={"damaged": str(result)})
                else:
                    planned = True
                    yield from result
    if first is not None and not planned:
        raise first


def _caught(plan_file: Callable[[SourceFile], list[Slice]]) -> Callable[[SourceFile], list[Slice] | UserError]:
    def call(file: SourceFile) -> list[Slice] | UserError:
        try:
            return plan_file(file)
        except UserError as error:
            return error

    return call
