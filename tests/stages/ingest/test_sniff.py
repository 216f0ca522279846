"""Divider, quoting, header and columns of tables of text, found out from their rows."""

from __future__ import annotations

import csv
import io
from typing import Any

import pandas as pd
import pytest

from schemas.config import IngestConfig
from stages.ingest import delimited, sniff
from stages.ingest.listing import Unclear
from stages.ingest.roles import Columns
from stages.stage import RowError, UserError

URL = "http://x/%d.jpg"


def read(text: str, name: str = "a.csv", **options: Any) -> tuple[delimited.Dialect, Columns, list[Any]]:
    """Dialect, columns, and the captions; RowErrors by their reason."""
    file = io.BytesIO(text.encode())
    dialect, columns, start = sniff.detect(file, name, IngestConfig(**options))
    file.seek(start)
    rows = [
        record.reason if isinstance(record, RowError) else record[columns.caption]
        for record in delimited.read(file, dialect)
    ]
    return dialect, columns, rows


@pytest.mark.parametrize(
    ("text", "delimiter", "captions"),
    [
        (
            "image_name| comment_number| comment\n1001.jpg| 0| A woman in a red coat , with a dog .\n1001.jpg| 1| x\n",
            "| ",
            ["A woman in a red coat , with a dog .", "x"],
        ),
        ("image|caption\n1.jpg|a, b\n2.jpg|c; d\n", "|", ["a, b", "c; d"]),
        ("image | caption\n1.jpg | a | b\n2.jpg | c\n", " | ", ["bad_record", "c"]),
        ("image\tcaption\n1.jpg\tA dog, a cat\n2.jpg\tA bird\n", "\t", ["A dog, a cat", "A bird"]),
        ("image, caption\n1.jpg, a dog\n2.jpg, a cat\n", ", ", ["a dog", "a cat"]),
        ('image, caption\n1.jpg, "a dog, a cat"\n2.jpg, "b"\n', ", ", ["a dog, a cat", "b"]),
        ("image,caption\n1.jpg, a dog\n2.jpg,a cat\n", ",", [" a dog", "a cat"]),  # one row's space is its own
        ("image;caption\n1.jpg;a, b\n2.jpg;c, d\n", ";", ["a, b", "c, d"]),
        ("caption,url\na | b,http://x/1\nc | d,http://x/2\n", ",", ["a | b", "c | d"]),
        (f"{URL % 1}\ta, b\n{URL % 2}\tc, d\n", "\t", ["a, b", "c, d"]),
        (f"{URL % 1},a dog; a cat\n{URL % 2},a pig; a hen\n", ",", ["a dog; a cat", "a pig; a hen"]),
        (f"a dog | b,{URL % 1}\na cat | c,{URL % 2}\n", ",", ["a dog | b", "a cat | c"]),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "captions.txt"])
def test_the_divider_is_what_divides_the_rows(text: str, delimiter: str, captions: list[str], name: str) -> None:
    dialect, _, found = read(text, name)
    assert (dialect.delimiter, found) == (delimiter, captions)


def test_a_first_row_that_differs_decides_nothing() -> None:
    """999 rows against one that has a comma more."""
    rows = "".join(f"{n}.jpg\tcaption {n}\n" for n in range(999))
    dialect, _, captions = read(f"image\tcaption\nfirst.jpg\tone, two, three\n{rows}", "a.csv")
    assert dialect.delimiter == "\t" and len(captions) == 1000 and captions[0] == "one, two, three"


def test_what_comes_after_the_sample_decides_nothing() -> None:
    text = "caption,id\n" + "".join(f"c{n},{n}\n" for n in range(1000)) + "a;b\n" * 5000
    assert read(text)[0].delimiter == ","


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a,b;c\nd,e;f\n", r"ingest\.divider to comma .*\[a\] \[b;c\].* or semicolon .*\[a,b\] \[c\]"),
        ("1.jpg|a, b\n2.jpg|c, d\n", r"ingest\.divider to comma .* or bar"),
    ],
)
def test_two_dividers_ask(text: str, shown: str) -> None:
    with pytest.raises(Unclear, match=f"two readings are possible; set {shown}"):
        read(text)


def test_the_option_decides() -> None:
    text = "caption|id;n\na|1;2\n"
    assert read(text, divider="bar")[2] == ["a"]
    assert read("x|caption;y\n1|a;2\n", divider="semicolon", caption="x|caption")[2] == ["1|a"]
    assert read("a dog,1\n", divider=",", caption=0)[2] == ["a dog"]


@pytest.mark.parametrize("text", ["a dog\na cat\n", "a dog, brown\na cat\na pig, two hens, a horse\n"])
def test_one_column_needs_a_header(text: str) -> None:
    with pytest.raises(Unclear, match=r"no header, and any column may be the caption; set ingest\.caption to one of 0"):
        read(text)
    assert read("caption\na dog\na cat\n")[2] == ["a dog", "a cat"]


def test_one_column_by_its_number() -> None:
    assert read("a dog\na cat\n", caption=0)[2] == ["a dog", "a cat"]
    assert read("caption\na cat\n", caption=0)[2] == ["caption", "a cat"]
    assert read("words\na cat\n", caption="words")[2] == ["a cat"]
    assert read("text\na cat\n", header=False, caption=0)[2] == ["text", "a cat"]
    assert read("1\ta dog\n2\ta cat\n", caption=1)[2] == ["a dog", "a cat"]  # the first row has a 1, too
    assert read(pd.DataFrame([["a", "x"], ["b", "y"]]).to_csv(), caption=1)[2] == ["x", "y"]  # whose columns are 0, 1


ODD = ['sign reading "STOP" on a red pole', "two\nlines", "a tab\tin it", 'only "quoted"', '"', '""', "", "plain, , "]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("sep", ["\t", "|", ",", ";"])
def test_what_pandas_writes_comes_back(sep: str, quoting: int) -> None:
    frame = pd.DataFrame({"url": [URL % n for n in range(len(ODD))], "caption": ODD, "n": range(len(ODD))})
    text = frame.to_csv(sep=sep, quoting=quoting)
    _, columns, captions = read(text, "a.tsv")
    assert captions == ODD
    assert columns.to_json() == {"caption": "caption", "url": "url"}


def test_open_clips_table() -> None:
    """Its defaults: a tab, and the columns `filepath` and `title`."""
    text = pd.DataFrame({"filepath": ["a.jpg", "b.jpg"], "title": ODD[:2]}).to_csv(sep="\t", index=False)
    _, columns, captions = read(text, "train.csv")
    assert (columns.image, columns.caption, captions) == ("filepath", "title", ODD[:2])


@pytest.mark.parametrize(
    "captions",
    [
        ['a 5" nail', "plain"],
        ['"sign" reading "STOP"', "plain"],
        ['"quoted as a whole"', "plain"],  # no cell needs its quotes, and others have none
        ['an open "', '"and another'],
        ['"', "plain"],
    ],
)
def test_quotes_of_a_tab_file_without_quoting_are_characters(captions: list[str]) -> None:
    text = "".join(f"{caption}\t{URL % n}\n" for n, caption in enumerate(captions))
    dialect, _, found = read(text, "a.tsv")
    assert (dialect.quotes, found) == (False, captions)


def test_quotes_that_speak_both_ways_ask() -> None:
    text = f'url\tcaption\n{URL % 1}\t"sign" reading\n{URL % 2}\t"a ""b"""\n'
    shown = r'csv \(a row: .*\[a "b"\]\) or none \(a row: .*\["sign" reading\]\)'
    with pytest.raises(Unclear, match=rf"two readings are possible; set ingest\.quoting to {shown}"):
        read(text)
    assert read(text, quoting="csv")[2] == ["bad_record", 'a "b"']
    assert read(text, quoting="none")[2] == ['"sign" reading', '"a ""b"""']


def test_lines_that_fit_both_ways_ask() -> None:
    """Two captions that are a quote each, or one cell with a line end."""
    text = f'a dog\t{URL % 1}\n"\t{URL % 2}\n"\t{URL % 3}\n'
    with pytest.raises(Unclear, match=r"set ingest\.quoting"):
        read(text)
    assert read(text, quoting="none")[2] == ["a dog", '"', '"']


def test_a_few_stray_quotes_among_many_good_ones() -> None:
    rows = [f'{URL % n}\t"a ""quoted"" word"\n' for n in range(30)]
    dialect, _, captions = read("url\tcaption\n" + "".join(rows) + f'{URL % 99}\t5" nail\n')
    assert dialect.quotes and captions[-1] == '5" nail' and captions[0] == 'a "quoted" word'


def test_a_quote_in_csv_that_ends_too_early_is_a_bad_record_and_none_of_its_text_is_lost() -> None:
    quoted = 'caption,id\n"a, b",1\n"best" dog,2\n'
    assert read(quoted)[2] == ["a, b", "bad_record"]
    assert read('caption,id\n"best" dog,2\nx,3\n')[2] == ['"best" dog', "x"]  # nothing speaks for quoting


def test_an_open_quote_costs_its_line_and_not_the_rows_up_to_the_next_one() -> None:
    rows = "".join(f'c{n},{n}\n"ok, {n}",{n}\n' for n in range(5))
    text = f'caption,id\n{rows}"never closed,7\nafter,8\nsaid "so",9\nlast,10\n'
    assert read(text)[2][10:] == ["bad_record", "after", 'said "so"', "last"]


@pytest.mark.parametrize("quoting", ["auto", "csv"])
def test_a_cell_of_more_than_128_kb(quoting: str) -> None:
    caption = "word, " * 30_000
    assert read(f'caption,id\n"{caption}",1\nx,2\n', quoting=quoting)[2] == [caption, "x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photograph,words\n1.jpg,a dog\n2.jpg,a cat\n", "no column is the caption; .* 'photograph', 'words'"),
        (f"link,words\n{URL % 1},a dog\n{URL % 2},a cat\n", "no column is the caption; .* 'link', 'words'"),
        ("0.jpg,what\n1.jpg,a dog\n2.jpg,a cat\n", r"no header, .* 0 \('0.jpg'\), 1 \('what'\)"),
        ("photograph,words\nx,a dog\ny,a cat\n", r"no header, .* 0 \('photograph'\), 1 \('words'\)"),
    ],
)
def test_a_header_is_a_row_of_names(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(text)


def test_the_header_is_as_the_option_says() -> None:
    assert read(f"text,{URL % 1}\na dog,{URL % 2}\n")[2] == ["text", "a dog"]  # a header has no address
    assert read("text,id\na dog,1\n", header=False, caption=0)[2] == ["text", "a dog"]
    assert read("words,n\na dog,1\n", header=True, caption="words")[2] == ["a dog"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("caption\nü\n".encode("utf-16"), "UTF-16"),
        (b"PAR1 something", "a binary file"),
        (b"", "no rows that can be read"),
        (b"\n\n\r\n", "no rows that can be read"),
    ],
)
def test_what_is_no_table(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sniff.detect(io.BytesIO(data), "a.csv", IngestConfig())
