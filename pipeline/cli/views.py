"""Commands that look at a run and change nothing in it: export, show, query, and the comparison of two runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.cli.commands import say
from pipeline.run.config import load_config
from pipeline.run.existing import existing_run, read_run, turned_off
from pipeline.run.plan import read_plan
from pipeline.run.progress import printable
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_folder
from schemas.records import part_of
from stages import stages_of
from stages.stage import UserError

if TYPE_CHECKING:
    from stages.export.exporter import Pictures

SHOWN_ROWS = 10_000  # of a query on a terminal; a pipe gets all


def into(folder: str) -> Callable[[str], AbstractContextManager[BinaryIO]]:
    """Creates files in a folder, each complete under its name or not at all."""
    return RunFiles(open_folder(folder), [], "draft", lambda done, total, message: None).create


def export_run(
    run: str, format: str, out: str | None, min_score: float | None, images: bool, pictures: Pictures, **own: Any
) -> None:
    """`own`: options that only some formats take."""
    from stages.export.formats import export

    target = out or ("shards" if format == "card" else f"export-{format}")
    folder = out or f"{run.rstrip('/')}/{target}"
    config = load_config(None, (), run)
    options: dict[str, Any] = {"min_score": min_score, "images": images, "pictures": pictures, **own}
    made = export(read_run(run), format, into(folder), config=config, **options)
    say(f"{folder}: " + ", ".join(f"{count:,} {what}" for what, count in made.items()))


def read_names(path: str) -> tuple[str, ...]:
    """The distinct lines of a text file, in lower case as heads are. Raises UserError for a file without any."""
    try:
        with open(path, encoding="utf-8") as file:
            names = tuple(dict.fromkeys(line.strip().lower() for line in file if line.strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--categories {path}: cannot be read ({error})") from None
    if not names:
        raise UserError(f"--categories {path}: no line has a name in it")
    return names


def show_samples(
    run: str, keys: Sequence[str], phrase: str | None, limit: int, threshold: float | None, out: str
) -> None:
    """Writes OUT/KEY.png for each sample, and its caption, phrases and boxes to stdout."""
    from stages.inspect.show import show

    create = into(out)
    for shown in show(read_run(run), keys, phrase, limit, threshold):
        say(*shown.lines)
        if shown.png is not None:
            with create(f"{shown.key}.png") as file:
                file.write(shown.png)
            say(f"{out}/{shown.key}.png", "")


def explain_pair(run: str, key: str, out: str) -> None:
    """Writes OUT/KEY-explained.png, and the story of the pair to stdout."""
    from stages.inspect.explain import explain

    storage, config = existing_run(run), load_config(None, (), run)
    piece = read_plan(storage).get(part_of(key)) if key[:7].isdigit() else None
    explained = explain(read_run(run), config, key, piece, [stage.name for stage in stages_of(config)])
    say(*explained.lines)
    if explained.png is not None:
        with into(out)(f"{key}-explained.png") as file:
            file.write(explained.png)
        say(f"{out}/{key}-explained.png")


def query_run(run: str, sql: str, csv: bool) -> None:
    """A table on a terminal, tab-separated values (or `--csv`) elsewhere."""
    from stages.inspect.query import query

    existing_run(run)
    names, rows = query(run, sql, turned_off(run))
    if sys.stdout.isatty() and not csv:
        _table(names, rows)
        return
    import csv as csv_module

    writer = csv_module.writer(sys.stdout, delimiter="," if csv else "\t", lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)


def _table(names: list[str], rows: object) -> None:
    from itertools import islice

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for name in names:
        table.add_column(Text(name))
    listed = list(islice(rows, SHOWN_ROWS + 1))  # type: ignore[call-overload]
    for row in listed[:SHOWN_ROWS]:
        table.add_row(*(Text("" if value is None else printable(str(value))) for value in row))
    Console().print(table)
    if len(listed) > SHOWN_ROWS:
        say(f"... and more: the first {SHOWN_ROWS:,} rows are shown; send the output to a file for all of them")


def compare(run: str, against: str, out: str | None) -> None:
    """Writes the comparison page, to RUN/comparisons/NAME unless told otherwise."""
    from stages.audit.compare import compare_runs

    if os.path.abspath(run) == os.path.abspath(against):
        raise UserError(f"--against {against}: that is the run itself; name another audited run")
    config, other_config = (load_config(None, (), folder) for folder in (run, against))
    name = against.rstrip("/").rpartition("/")[2] or "run"
    folder = out or f"{run.rstrip('/')}/comparisons/{name}"
    changes = compare_runs(read_run(run), read_run(against), config, other_config, into(folder))
    for figure, change in changes.items():
        say(f"  {figure:20} {rounded(change['before'])} -> {rounded(change['after'])}")
    say(f"{folder}/index.html")


def rounded(figure: Any) -> str:
    return f"{figure:.4g}" if isinstance(figure, float) else str(figure)
