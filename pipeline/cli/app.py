"""The commands. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from pipeline import __version__
from pipeline.cli.evaluate import evaluate_command
from pipeline.cli.options import (
    Address,
    Deadline,
    DryRun,
    File,
    Folder,
    Force,
    Inline,
    Parts,
    Run,
    RunFolder,
    Sets,
    Source,
    Verbose,
    Workers,
    one_of,
)
from pipeline.cli.tools import register
from stages import STAGES
from stages.stage import UserError

app = typer.Typer(
    name="phrasebox",
    help="Turns image-caption pairs into phrase-box labels, shards, a student and a report.",
    epilog="Exit codes: 0 done; 1 some parts failed; 2 bad arguments or config; 130 interrupted, 143 terminated.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # typer does not name the parent of its usage errors itself


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"phrasebox {__version__}\n")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself."""


GRACE = 10.0  # seconds between SIGTERM and the end, at most


def _stage_command(name: str) -> Callable[..., None]:
    def command(
        folder: Folder = None,
        run: Run = None,
        config: File = None,
        set_: Sets = None,
        workers: Workers = None,
        address: Address = None,
        inline: Inline = False,
        parts: Parts = None,
        dry_run: DryRun = False,
        force: Force = False,
        deadline: Deadline = 3600.0,
        verbose: Verbose = False,
    ) -> None:
        from pipeline.cli.commands import Options, run_stage

        options = Options(workers, address, inline, parts, dry_run, force, deadline, verbose)
        run_stage(config, set_ or [], one_of(folder, run), name, options)

    return command


def audit_command(
    folder: Folder = None,
    run: Run = None,
    config: File = None,
    set_: Sets = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="RUN2", help="Compare with another audited run.")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", help="Where the comparison goes [RUN/comparisons/RUN2].")] = None,
    workers: Workers = None,
    address: Address = None,
    inline: Inline = False,
    parts: Parts = None,
    dry_run: DryRun = False,
    force: Force = False,
    deadline: Deadline = 3600.0,
    verbose: Verbose = False,
) -> None:
    from pipeline.cli.commands import Options, run_stage

    chosen = one_of(folder, run)
    if against is not None:
        from pipeline.cli.views import compare

        if chosen is None:
            raise UserError("audit --against: name the run to compare, too: phrasebox audit RUN --against RUN2")
        compare(chosen, against, out)
        return
    options = Options(workers, address, inline, parts, dry_run, force, deadline, verbose)
    run_stage(config, set_ or [], chosen, "audit", options)


def _what_it_does(stage: str) -> str:
    """The first line of the stage's package or module, which is read and not imported: help must come at once."""
    module = STAGES[stage].partition(":")[0]
    spec = find_spec(module.removesuffix(".stage"))
    source = Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin else ""
    return (ast.get_docstring(ast.parse(source)) or stage).splitlines()[0]


WITH_OPTIONS: dict[str, Callable[..., None]] = {"audit": audit_command, "evaluate": evaluate_command}

for _name in STAGES:
    app.command(_name, help=_what_it_does(_name))(WITH_OPTIONS.get(_name) or _stage_command(_name))


@app.command("run", help="All stages in their order; continues where it stopped.")
def run_command(
    config: Annotated[str | None, typer.Argument(metavar="CONFIG", help="A YAML file.")] = None,
    source: Source = None,
    run: Run = None,
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Begin with this stage.")] = None,
    last: Annotated[str | None, typer.Option("--until", metavar="STAGE", help="End with this stage.")] = None,
    set_: Sets = None,
    workers: Workers = None,
    address: Address = None,
    inline: Inline = False,
    parts: Parts = None,
    dry_run: DryRun = False,
    force: Force = False,
    deadline: Deadline = 3600.0,
    verbose: Verbose = False,
) -> None:
    from pipeline.cli.commands import Options, run_rounds
    from pipeline.cli.source import run_source

    options = Options(workers, address, inline, parts, dry_run, force, deadline, verbose)
    if source is None and config is None:
        raise UserError("run: name a config, or a folder of images and captions with --source")
    if source is None:
        run_rounds(config, set_ or [], run, first, last, options)
    elif config is None:
        run_source(source, set_ or [], run, first, last, options)
    else:
        raise UserError(f"run: give the config {config} or --source {source}; a config has its source in ingest.source")


@app.command("status", help="What is done, under way, failed and rejected, stage by stage.")
def status_command(
    run: RunFolder,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="One screen, again and again, until the run ends.")] = False,
) -> None:
    from pipeline.cli.commands import show_status, watch_run

    if watch and json_:
        raise UserError("status: --watch is for people, --json for programs; give one")
    if watch:
        watch_run(run)
    else:
        show_status(run, json_)


@app.command("verify", help="Recount a run from its files and name the parts that are broken.")
def verify_command(
    run: RunFolder,
    quick: Annotated[bool, typer.Option("--quick", help="Sizes and counts only.")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Threads [one per CPU core].")] = None,
) -> None:
    from pipeline.cli.commands import verify_run

    verify_run(run, quick, workers)


@app.command("retry", help="Recompute the parts in which rows were rejected for a reason.")
def retry_command(
    run: RunFolder,
    reason: Annotated[str, typer.Option("--reason", metavar="CODE", help="A reason code, e.g. unsupported_format.")],
    workers: Workers = None,
    address: Address = None,
    inline: Inline = False,
    verbose: Verbose = False,
) -> None:
    from pipeline.cli.commands import Options, retry

    retry(run, reason, Options(workers, address, inline, verbose=verbose))


@app.command("remove", help="Take pairs out of every stage, shards and report included.")
def remove_command(
    run: RunFolder,
    source_ids: Annotated[str, typer.Option("--source-ids", metavar="FILE", help="One source id a line.")],
    workers: Workers = None,
    address: Address = None,
    inline: Inline = False,
    verbose: Verbose = False,
) -> None:
    from pipeline.cli.commands import Options, remove

    remove(run, source_ids, Options(workers, address, inline, verbose=verbose))


@app.command("config", help="Print the resolved config, every default made explicit.")
def config_command(
    config: Annotated[str | None, typer.Argument(metavar="[CONFIG]", help="A YAML file [the defaults].")] = None,
    run: Run = None,
    set_: Sets = None,
) -> None:
    from pipeline.cli.commands import show_config

    show_config(config, set_ or [], run)


register(app)


def main(arguments: list[str] | None = None) -> NoReturn:
    """The command `phrasebox`. Exit codes: 0 done, 1 some parts failed, 2 bad arguments, 130 and 143 stopped."""
    from pipeline.run.failures import NothingUsableError
    from pipeline.storage.retry import StoreError

    signal.signal(signal.SIGTERM, _on_term)
    try:
        code = app(arguments or sys.argv[1:] or ["--help"], prog_name="phrasebox", standalone_mode=False)
    except UserError as error:
        _fail(str(error), 2)
    except (StoreError, NothingUsableError) as error:
        _fail(str(error), 1)
    except USAGE_ERROR as error:
        _fail(error.format_message(), 2)
    except (KeyboardInterrupt, typer.Abort):
        _stop("terminated" if _terminated.is_set() else "interrupted", 143 if _terminated.is_set() else 130)
    except SystemExit as end:
        if _terminated.is_set() or end.code == signal.SIGTERM:  # the latter while Ray starts: it has its own handler
            _stop("terminated", 143)
        raise
    sys.exit(code if isinstance(code, int) else 0)


_terminated = threading.Event()


def _on_term(signal_number: int, frame: Any) -> NoReturn:
    """SIGTERM: like Ctrl-C. Where the way out hangs (on a Ray that got the signal too), it is cut short."""
    _terminated.set()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    timer = threading.Timer(GRACE, _stop, ("terminated", 143))
    timer.daemon = True
    timer.start()
    raise SystemExit(143)


def _stop(how: str, code: int) -> NoReturn:
    """Ends at once: what still runs of Ray dies with this process, and what was committed is complete."""
    from pipeline.cli.commands import complain

    complain(f"{how}; what was committed stays, and the next run goes on from there")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(text: str, code: int) -> NoReturn:
    from pipeline.cli.commands import complain

    complain(text)
    sys.exit(code)


if __name__ == "__main__":
    main()
