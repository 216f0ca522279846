"""Rows of every dataset: full ones, empty lists, nulls."""

from __future__ import annotations

from typing import Any

from schemas import rows
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

BOX = rows.Box(1, 0.5, 1.25, 30.0, 40.75, 0.625)  # all of them float32 exactly
FAR = rows.Box(0, 0.0, 0.0, 639.0, 479.5, 0.1171875)
LABELS = [
    rows.LabelRow("000000100000", 640, 480, (BOX, FAR), (rows.DroppedPhrase(2, "over_token_limit"),)),
    rows.LabelRow("000000100002", 32, 16, (), ()),
    rows.LabelRow("000000100003", 64, 64, (FAR,), ()),
]
EXAMPLES: dict[type[TableView[Any]], list[Any]] = {
    PairTable: [
        rows.Pair("000000000000", "a/1", "Grün 😀", rows.ImageRef("a.tar", 512, 90), 640, 480, 6, "ab12", "CC0", "http://x"),
        rows.Pair("000000000001", "a/2", "", rows.ImageRef("/data/b.jpg"), 3, 2, 1, "cd34", None, None),
        rows.Pair("000000000002", "a/3", "no image", None, None, None, None, None, None, None),
    ],
    GoldTable: [
        rows.GoldRow("000000000000", (rows.Span(0, 4), rows.Span(5, 9)), (
            rows.GoldBox(1, 1.5, 2.0, 3.0, 4.0, "dog"), rows.GoldBox(-1, 0.0, 0.0, 2.5, 2.5, ""))),
        rows.GoldRow("000000000001", (), ()),
    ],
    PhraseTable: [
        rows.PhraseRow("000000000000", "a red ball", (rows.Phrase(0, 10, "a red ball", "ball", "red ball"),), ()),
        rows.PhraseRow("000000000001", "два", (), (rows.DroppedSpan(0, 3, "not_english"),)),
    ],
    LabelTable: LABELS,
    PseudoTable: [
        rows.PseudoRow("000000100000", 640, 480, (BOX,), (rows.DroppedBox(1, "low_score"),)),
        rows.PseudoRow("000000100002", 32, 16, (), ()),
    ],
    RejectTable: [rows.Reject("000000000004", "a/5", "ingest", "empty_image", "")],
    CurationTable: [
        rows.Curation("000000000000", True, None, None, None, None),
        rows.Curation("000000000001", False, "duplicate", "COCO:42", 7, 0.875),
    ],
    ScoreTable: [
        rows.ScoreRow("000000100000", 0.25, (rows.BoxScore(0.5, 1, 0.5), rows.BoxScore(0.25, 1, 0.75))),
        rows.ScoreRow("000000100002", -0.5, ()),
    ],
    MaskTable: [
        rows.MaskRow("000000100000", (rows.Mask(b"\x00PQ\xff", 480, 640, 0.875),)),
        rows.MaskRow("000000100002", ()),
    ],
}  # fmt: skip
