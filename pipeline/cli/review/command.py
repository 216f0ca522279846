"""What `phrasebox review` does: serves the page, prints figures, names a threshold, exchanges with other tools."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.commands import say
from pipeline.cli.review.server import ReviewServer
from pipeline.cli.views import into
from pipeline.run.config import load_config
from pipeline.run.existing import existing_run, read_run
from pipeline.storage.base import Storage
from stages.review.draw import draw
from stages.review.figures import Figures, halving, review_figures, suggest
from stages.review.session import Session, refuse_empty
from stages.stage import UserError

if TYPE_CHECKING:
    from schemas.config import Config


def appender(storage: Storage) -> Callable[[str, bytes], None]:
    """Adds whole lines to files of a run, durably. What a power cut has left of a line before them goes."""

    def append(path: str, lines: bytes) -> None:
        known = storage.read_or_none(path) or b""
        whole = known[: known.rfind(b"\n") + 1]
        if whole == known:
            storage.append(path, lines)
        else:
            storage.write(path, whole + lines)

    return append


def serve(run: str, boxes: int, phrases: int, seed: int, port: int) -> None:
    """Serves the page until Ctrl-C or a request to end, then prints the figures."""
    config, io = load_config(None, (), run), read_run(run)
    drawn = draw(io, config, boxes, phrases, seed)
    refuse_empty([*drawn[0], *drawn[1]], run)
    session = Session(io, config, *drawn, appender(existing_run(run)))
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell starts what runs in the background with SIGINT ignored
        signal.signal(ending, signal.default_int_handler)
    with make_server(session, port) as server:
        say(f"{len(drawn[0]):,} boxes and {len(drawn[1]):,} phrases are drawn; open this address in a browser of this")
        say("machine, and press Ctrl-C here when you are done:", "", f"  {server.address}", "")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            say("")
    show_figures(run)


def make_server(session: Session, port: int) -> ReviewServer:
    try:
        return ReviewServer(session, port)
    except OSError as error:
        raise UserError(f"review --port {port}: cannot be served there ({error.strerror}); name another") from None


def show_figures(run: str) -> None:
    config = load_config(None, (), run)
    say(*as_lines(review_figures(read_run(run), config), config))


def show_threshold(run: str, precision: float) -> None:
    """The threshold alone goes to the first line, for scripts."""
    row = suggest(review_figures(read_run(run), load_config(None, (), run)), precision)
    say(f"{row['threshold']:g}")
    say(f"above it, {_interval(row, 'precision')} of {row['boxes']:,} boxes are right ({row['judged']:,} judged):")
    say(f"phrasebox run --run {run} --from filter --set filter.min_score={row['threshold']:g}")


def export_drawn(run: str, boxes: int, seed: int, format: str, out: str | None) -> None:
    """Writes the drawn boxes alone in one of the formats of `phrasebox export`."""
    from stages.export.formats import export
    from stages.review.exchange import drawn_run

    config, io = load_config(None, (), run), read_run(run)
    drawn, _ = draw(io, config, boxes, 0, seed)
    refuse_empty(drawn, run)
    folder = out or f"{run.rstrip('/')}/review-{format}"
    made = export(drawn_run(io, drawn), format, into(folder), config=config)
    say(f"{folder}: " + ", ".join(f"{count:,} {what}" for what, count in made.items()))


def import_corrected(run: str, boxes: int, seed: int, file: str, reviewer: str | None) -> None:
    """Judgements from what people corrected in another tool."""
    from stages.review.exchange import import_corrections

    if reviewer is None:
        raise UserError("review --import: say who corrected with --reviewer NAME")
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"review --import {file}: cannot be read ({error.strerror})") from None
    config, io = load_config(None, (), run), read_run(run)
    drawn, _ = draw(io, config, boxes, 0, seed)
    path, lines, counted = import_corrections(io, config, drawn, data, file, reviewer)
    if lines:
        appender(existing_run(run))(path, lines)
    say(f"{path}: " + ", ".join(f"{count:,} {what}" for what, count in counted.items()))


def as_lines(figures: Figures | None, config: Config) -> list[str]:
    """Figures for a terminal."""
    if figures is None:
        return ["nothing is judged yet"]
    who = ", ".join(f"{name} {count:,}" for name, count in figures["reviewers"].items())
    lines = [f"judged     {figures['boxes']:,} boxes, {figures['phrases']:,} phrases ({who})"]
    if figures["stale"]:
        lines.append(f"           {figures['stale']:,} judgements do not count: their boxes have changed since")
    lines += _lines_at_threshold(figures, config.filter.min_score)
    for pair in figures["agreement"]:
        kappa = "none" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
        lines.append(f"kappa      {kappa} between {' and '.join(pair['reviewers'])}, on {pair['both']:,} units")
    return lines


def _lines_at_threshold(figures: Figures, min_score: float) -> list[str]:
    lines = []
    rows: dict[str, tuple[Any, str]] = {
        "precision": (figures["at_min_score"], "precision"),
        **{f"  {name}": (row, "precision") for name, row in figures["by_frequency_at_min_score"].items()},
        "recall": (figures["recall_at_min_score"], "recall"),
    }
    for name, own in figures.get("by_teacher", {}).items():
        rows |= {name: (own["at_min_score"], "precision"), f"  {name}'s recall": (own["recall_at_min_score"], "recall")}
    for name, (row, key) in rows.items():
        if row is not None:
            more = f"; {halving(row['more'])} the interval" if row.get("more") else ""
            lines.append(f"{name:10} {_interval(row, key)} above {min_score:g} ({row['judged']:,} judged{more})")
    return lines


def _interval(row: Figures, name: str) -> str:
    return f"{row[name]:.1%} ({row['low']:.1%} to {row['high']:.1%})"
