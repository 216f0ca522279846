"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from stages.stage import UserError

Run = Annotated[str | None, typer.Option("--run", help="The run folder: a path or a URI.")]
Folder = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run folder, in place of --run.")]
File = Annotated[str | None, typer.Option("--config", help="The config, a YAML file [the run's own].")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="A config value, e.g. filter.min_score=0.6. Repeatable.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Workers at a time [one per CPU core or GPU].")]
Address = Annotated[str | None, typer.Option("--address", help="A running Ray cluster [a local Ray for this run].")]
Inline = Annotated[bool, typer.Option("--inline", help="One process, no Ray.")]
Parts = Annotated[str | None, typer.Option("--parts", help="Only these parts, e.g. 0-9,12.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be computed, and do nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Recompute what is committed.")]
Deadline = Annotated[
    float, typer.Option("--deadline", min=1.0, help="Seconds that a part may take without progress; jobs are exempt.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Ray's messages, and tracebacks of failed parts.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="PATH",
        help="In place of a config: a folder, tar, table or COCO captions, up to the audit, in runs/NAME.",
    ),
]

RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="The run folder: a path or a URI.")]


def one_of(folder: str | None, run: str | None) -> str | None:
    """The run folder, which may be an argument or an option. Raises UserError where they name two."""
    if folder is not None and run is not None and folder != run:
        raise UserError(f"two run folders are named: {folder} and --run {run}; give one")
    return folder if folder is not None else run
