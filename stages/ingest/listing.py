"""From a source's path to its files, and from files to slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stages.stage import Files, Slice, SourceFile, UserError

_AT_ONCE = 16  # files looked at together while planning


class Unclear(UserError):
    """Which column is meant? Only the user knows; every other file that cannot be read is a reject among the others."""


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


def base_name(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def folder_of(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[0]


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


def starts(lengths: Iterable[int], offset: int, part_size: int) -> tuple[int, list[int]]:
    """(rows, the offset of every part_size-th one) of records of these lengths, the first of which is at `offset`."""
    rows, offsets = 0, []
    for length in lengths:
        if rows % part_size == 0:
            offsets.append(offset)
        rows += 1
        offset += length
    return rows, offsets


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
