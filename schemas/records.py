"""Every dataset of a run folder by name: its Arrow schema and its columnar view; keys and the names of part files.

Each schema is that of a record class of `schemas/rows.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from schemas.arrow import schema_of_record, struct_of
from schemas.rows import Box, ExpressionColumns, ImageRef, Phrase
from schemas.tables import (
    CurationTable,
    GoldTable,
    LabelTable,
    MaskTable,
    PairTable,
    PhraseTable,
    PseudoTable,
    RejectTable,
    ScoreTable,
    TableView,
)

OTHER_LABELS = "labels-"  # begins the names of the labels of further teachers
ROWS_PER_PART_LIMIT = 100_000  # five digits of the key

TABLES: dict[str, type[TableView[Any]]] = {
    view.dataset: view
    for view in (
        PairTable, GoldTable, PhraseTable, LabelTable, CurationTable, ScoreTable, PseudoTable, MaskTable
    )
}  # fmt: skip
DATASETS: dict[str, pa.Schema] = {name: schema_of_record(view.record) for name, view in TABLES.items()}
OPTIONAL: dict[str, pa.Schema] = {"phrases": schema_of_record(ExpressionColumns)}  # columns that a run may add
REJECTS = schema_of_record(RejectTable.record)

PAIRS, GOLD, PHRASES = DATASETS["pairs"], DATASETS["gold"], DATASETS["phrases"]
LABELS, PSEUDO = DATASETS["labels"], DATASETS["pseudo"]
CURATION, SCORES, MASKS = DATASETS["curation"], DATASETS["scores"], DATASETS["masks"]
IMAGE, PHRASE, BOX = struct_of(ImageRef), struct_of(Phrase), struct_of(Box)


def schema_of(dataset: str) -> pa.Schema:
    """The schema of a dataset folder; every `rejects/<stage>` has the same one, and every `labels-<teacher>` that of
    labels. Raises KeyError for an unknown name."""
    if dataset.startswith("rejects/"):
        return REJECTS
    return LABELS if dataset.startswith(OTHER_LABELS) else DATASETS[dataset]


def has_schema(dataset: str) -> bool:
    return dataset in DATASETS or dataset.startswith(("rejects/", OTHER_LABELS))


def written_schema(dataset: str, columns: Iterable[str]) -> pa.Schema:
    """The schema of a dataset with those of its optional columns that are among these, behind the others."""
    schema, given = schema_of(dataset), set(columns)
    for field in OPTIONAL.get(dataset, ()):
        schema = schema.append(field) if field.name in given else schema
    return schema


def make_key(part: int, row: int) -> str:
    """Part number (7 digits) and row in the part's slice (5 digits), so that keys sort in input order."""
    if not 0 <= part < 10_000_000 or not 0 <= row < ROWS_PER_PART_LIMIT:
        raise ValueError(f"no key for part {part}, row {row}: at most 7 and 5 digits")
    return f"{part:07d}{row:05d}"


def part_of(key: str) -> int:
    return int(key[:7])


def row_of(key: str) -> int:
    return int(key[7:])


def part_name(part: int, suffix: str = "parquet") -> str:
    return f"part-{part:07d}.{suffix}"
