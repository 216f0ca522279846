"""Side tables of optional stages (curation, scores, masks, ...), counted alike, whatever their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from schemas.records import OTHER_LABELS
from schemas.tables import CurationTable, GoldTable, LabelTable, PairTable, PhraseTable, PseudoTable

MAIN = {table.dataset for table in (PairTable, GoldTable, PhraseTable, LabelTable, PseudoTable)}


class Tables(Protocol):
    """What a part's tables are read through (the part of PartIO that matters here)."""

    @property
    def datasets(self) -> Sequence[str]: ...

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table: ...

    @property
    def part(self) -> int: ...

    def has(self, dataset: str) -> bool: ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]: ...


def side_tables(tables: Tables) -> dict[str, dict[str, Any]]:
    """By name: `rows`; `items` of the lists in them, e.g. masks; `set_aside`, rows that are not kept, by reason."""
    names = [name for name in tables.datasets if name not in MAIN and "/" not in name]  # no rejects, no summaries
    names = [name for name in names if not name.startswith(OTHER_LABELS)]
    return {name: _figures(tables.read(name)) for name in names}


def _figures(table: pa.Table) -> dict[str, Any]:
    lists = [field.name for field in table.schema if pa.types.is_list(field.type)]
    found: dict[str, Any] = {"rows": table.num_rows}
    if lists:
        found["items"] = pc.sum(pc.list_value_length(table[lists[0]])).as_py() or 0
    if CurationTable.keep in table.column_names:
        aside = table.filter(pc.invert(table[CurationTable.keep]))
        found["set_aside"] = dict(sorted(Counter(aside[CurationTable.reason].to_pylist()).items()))
    return found
