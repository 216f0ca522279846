"""What a part's result depends on, as one number. A part whose fingerprint still holds is not recomputed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def canonical(value: Any) -> bytes:
    """JSON with sorted keys: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def fingerprint(
    stage: str,
    version: int,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str | None],
    source: Mapping[str, Any] | None = None,
) -> str:
    """`inputs`: the digest of each input dataset, None for an optional one that is absent; `source`: ingest's slice."""
    parts = {"stage": stage, "version": version, "settings": settings, "inputs": inputs, "source": source}
    return hashlib.sha256(canonical(parts)).hexdigest()


def joined_digest(digests: Iterable[str]) -> str:
    """One digest for a list of files; one file keeps its own."""
    listed = list(digests)
    return listed[0] if len(listed) == 1 else hashlib.sha256("\n".join(listed).encode()).hexdigest()


def columns_digest(table: pa.Table, columns: Sequence[str]) -> str:
    """Hash of the values of some columns, whatever the file's encoding or the versions of its writer.

    A dotted name takes one field out of a list of structs or a struct: `phrases.start`.
    """
    digest = hashlib.sha256(f"{table.num_rows}".encode())
    for column in sorted(columns):
        digest.update(f"\n{column}\n".encode())
        name, *fields = column.split(".")
        _hash_values(table.column(name).combine_chunks(), fields, digest)
    return digest.hexdigest()


def _hash_values(array: Any, fields: list[str], digest: Any) -> None:
    """Feeds an array to the digest: type, validity, lengths, values; `fields` leads to one field of nested structs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks else pa.array([], array.type)
    if array.null_count:
        digest.update(b"nulls")
        digest.update(array.is_valid().cast(pa.uint8()).to_numpy().tobytes())
    if pa.types.is_list(array.type):
        digest.update(b"list")
        digest.update(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).tobytes())
        _hash_values(array.flatten(), fields, digest)
    elif pa.types.is_struct(array.type):
        children = dict(zip((field.name for field in array.type), array.flatten()))
        for name in [fields[0]] if fields else sorted(children):
            digest.update(f"field {name}".encode())
            _hash_values(children[name], fields[1:], digest)
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        digest.update(b"text")
        digest.update(pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False).tobytes())
        for value in array.cast(pa.binary()).to_pylist():
            digest.update(value or b"")
    else:
        digest.update(str(array.type).encode())
        zero = pa.scalar(0).cast(array.type)
        digest.update(pc.fill_null(array, zero).to_numpy(zero_copy_only=False).tobytes())
