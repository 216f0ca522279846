"""Whether quotes are those of CSV or characters."""

from __future__ import annotations

import csv
import io

import pytest

from stages.ingest.quoting import quoting

CELLS = [['a sign "STOP"', "1"], ["two\nlines", "2"], ["a, b; c\td", "3"], ["plain", "4"]]


@pytest.mark.parametrize("style", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("divider", [",", ";", "\t", "|"])
def test_what_csv_writes_is_told_as_such(divider: str, style: int) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=divider, quoting=style).writerows(CELLS)  # type: ignore[arg-type]
    assert quoting(text.getvalue().encode(), divider) is True


@pytest.mark.parametrize(("divider", "expected"), [(",", True), (";", True), ("\t", False), ("|", False), (", ", True)])
def test_without_a_quote_the_divider_decides(divider: str, expected: bool) -> None:
    assert quoting(f"a{divider}b\n".encode(), divider) is expected


@pytest.mark.parametrize(
    ("text", "divider", "expected"),
    [
        ('a "quoted" word\t1\nnone\t2\n', "\t", False),
        ('"begins" with one\t1\n', "\t", False),
        ('"a"\t"b"\n"c"\t"d"\n', "\t", True),  # every cell is in quotes
        ('"a"\tb\n"c"\td\n', "\t", False),
        ('"a ""b"""\t1\nx "y" z\t2\n', "\t", None),  # for it and against it
        ('5" nail,1\nplain,2\n', ",", True),
        ('"broken" cell,1\nplain,2\n', ",", False),
        ("ü “typographic”\t1\n", "\t", False),
    ],
)
def test_quotes_where_none_belongs_are_characters(text: str, divider: str, expected: bool | None) -> None:
    assert quoting(text.encode(), divider) is expected
