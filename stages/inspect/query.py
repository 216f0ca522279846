"""`phrasebox query`: SQL over the parts of a run, with DuckDB. Ten useful ones are in docs/queries.md."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from schemas.records import DATASETS, schema_of
from schemas.rows import CORNERS
from stages.stage import UserError

PHRASES_FLAT = """
CREATE VIEW phrases_flat AS
SELECT key, i::INTEGER AS phrase, p.start AS start, p."end" AS "end", p.text AS text, p.head AS head, p.norm AS norm
FROM (SELECT key, unnest(range(len(phrases))) AS i, unnest(phrases) AS p FROM phrases)
"""

BOX_CORNERS = ", ".join(f"b.{side} AS {side}" for side in CORNERS)

# kept and reason are null where the filter has not run, as is what rescore says. A list's dropped entries are few, so
# that looking them up by position costs less than a second join.
BOXES_FLAT = f"""
CREATE VIEW boxes_flat AS
SELECT key, i::INTEGER AS box, b.phrase AS phrase, p.text AS text, p.head AS head, p.norm AS norm,
       {BOX_CORNERS}, b.score AS score, width, height,
       (b.x2 - b.x1) * (b.y2 - b.y1) / (width::DOUBLE * height) AS share,
       CASE WHEN filtered THEN place IS NULL END AS kept, dropped[place].reason AS reason,
       seen[i + 1].score AS region_score, seen[i + 1].best_phrase AS best_phrase, seen[i + 1].best_score AS best_score,
       image_score
FROM (
    SELECT *, phrases[b.phrase + 1] AS p, list_position([d.box FOR d IN dropped], i) AS place
    FROM (
        SELECT l.key AS key, l.width AS width, l.height AS height, f.phrases AS phrases,
               s.key IS NOT NULL AS filtered, s.dropped AS dropped, c.image AS image_score, c.boxes AS seen,
               unnest(range(len(l.boxes))) AS i, unnest(l.boxes) AS b
        FROM labels l JOIN phrases f USING (key) LEFT JOIN pseudo s USING (key) LEFT JOIN scores c USING (key)
    )
)
"""


def query(run: str, sql: str, turned_off: Collection[str] = ()) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Column names and rows, from the tables of `connect`. Raises UserError for SQL that DuckDB refuses."""
    connection = connect(run, turned_off)
    with user_errors():
        cursor = connection.execute(sql)
    names = [column[0] for column in cursor.description or []]
    return names, _rows(cursor)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turns what DuckDB says of a query into a UserError."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise UserError(f"query: {str(error).strip()}") from None


def _rows(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(1000):
        yield from rows


def connect(run: str, turned_off: Collection[str] = ()) -> Any:
    """A DuckDB connection with the run's tables as views; what does not fit into memory goes to a temporary folder.

    Tables: pairs, gold, phrases, labels, pseudo, curation, scores, masks and rejects as stored (empty where the run has
    none); phrases_flat and boxes_flat, one row per phrase and per box; unique_phrases, the table of an audited run.

    `run`: a path, or a URI that fsspec opens. `turned_off`: tables that count as empty, whatever an earlier run left in
    them. Raises UserError where there is no such run.
    """
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET temp_directory = {_quoted(os.path.join(tempfile.gettempdir(), 'phrasebox-query'))}")
    root = _root(connection, run)
    for name in DATASETS:
        pattern = f"{root}/{name}/part-*.parquet"
        _view(connection, name, None if name in turned_off else pattern, schema_of(name))
    _view(connection, "rejects", f"{root}/rejects/*/part-*.parquet", schema_of("rejects/any"))
    _view(connection, "unique_phrases", f"{root}/report/phrases.parquet", None)
    connection.execute(PHRASES_FLAT)
    connection.execute(BOXES_FLAT)
    return connection


def _root(connection: Any, run: str) -> str:
    """The run as DuckDB's globs want it. Raises UserError where there is no such run."""
    if "://" in run and not run.startswith("file://"):
        import fsspec

        connection.register_filesystem(fsspec.core.url_to_fs(run)[0])
        return run.rstrip("/")
    path = run.removeprefix("file://").rstrip("/")
    if not os.path.isdir(path):
        raise UserError(f"query: {path}: no such run folder")
    return glob.escape(os.path.abspath(path))


def _view(connection: Any, name: str, pattern: str | None, schema: Any) -> None:
    """`pattern`: of its files; None for a table that counts as empty."""
    found = pattern and connection.execute(f"SELECT count(*) FROM glob({_quoted(pattern)})").fetchall()[0][0]
    if found and pattern:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({_quoted(pattern)})")
    elif schema is not None:
        connection.register(f"{name}_empty", schema.empty_table())
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {name}_empty")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
